"""Score models and baselines on real video, and write docs/results/real.md with film strips.

    python -m scripts.experiments.real --composites DIR --kitti DIR [--model NAME|DIR ...]

The sets measure and nothing else: they are neither trained on nor used to choose a model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from scripts.experiments.common import RESULTS, experiment_parser, run_experiment
from scripts.experiments.real.depth import DEGRADATIONS
from scripts.experiments.real.page import render_page
from scripts.experiments.real.pictures import write_strips, write_video_strips
from scripts.experiments.real.sets import RealClip, read_composites, read_kitti
from vidamodal.baselines import load_baselines, predict_baseline
from vidamodal.inference.predictor import Predictor
from vidamodal.media.files import write_text
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.counts import VideoCounts
from vidamodal.models.folder import load_model
from vidamodal.types import ClipTracks, InputError

Method = Callable[[RealClip], ClipTracks]

TRAINED_DEPTH = ("right", "rough")
"""Degradations of the depth of which training shows the kind."""

STRIP_SETTINGS = ("whole, alone", "behind, alone", "behind, exhaustive")
"""Settings whose best, median and worst clips are shown."""


@dataclass
class Run:
    """The counts and the predictions of one method in one setting, in the order of the clips."""

    counts: list[VideoCounts] = field(default_factory=list)
    predictions: list[ClipTracks] = field(default_factory=list)
    seconds: float = 0.0
    """CPU time of all predictions."""
    refused: int = 0
    """Clips whose depth was refused."""


def main() -> None:
    """Parse the command line, score all settings and write the page."""
    parser = experiment_parser("real", __doc__)
    parser.add_argument("--composites", type=Path, required=True, help="folder of whole/ and behind/")
    parser.add_argument("--kitti", type=Path, required=True, help="folder of pieces of KITTI tracking")
    parser.add_argument("--model", nargs="+", default=["tiny"], help="model folders or names")
    parser.add_argument(
        "--videos", type=Path, nargs="*", default=[], help="folders of a video and its masks/, to show as film strips"
    )
    parser.add_argument("--pixels", action="store_true", help="show the videos in the film strips, which are not ours")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "real.md", help="page; its pictures lie beside it")
    options = parser.parse_args()

    def run() -> None:
        clips = {**read_composites(options.composites), "kitti": read_kitti(options.kitti)}
        runs = score_settings(clips, load_methods(options.model, options.device))
        depths = score_depths(clips, Predictor(load_model(options.model[0]).model, options.device))
        first = Path(options.model[0]).name
        strips = {s: write_strips(options.out, s, clips[s], runs[s][first], options.pixels) for s in STRIP_SETTINGS}
        if options.videos:
            shown = write_video_strips(options.out, options.videos, options.model, options.device, options.pixels)
            strips["masks of a segmenter, without any truth"] = shown
        text = render_page(clips, runs, strips, depths)
        write_text(options.out, text)
        print(text)

    run_experiment("real", run)


def load_methods(models: Sequence[str], device: str) -> dict[str, Method]:
    """Return the models by the last part of their names, then the baselines."""

    def model_method(name: str) -> Method:
        predictor = Predictor(load_model(name).model, device)
        return partial(_predict, predictor)

    def baseline_method(name: str) -> Method:
        return lambda clip: predict_baseline(name, clip.inputs)

    methods = {Path(name).name: model_method(name) for name in models}
    return methods | {name: baseline_method(name) for name in load_baselines()}


def _predict(predictor: Predictor, clip: RealClip, degradation: str = "right") -> ClipTracks:
    depth = None if clip.depth is None else clip.depth(degradation)
    return predictor.predict(clip.inputs, frames=clip.frames, depth=depth)


def score_depths(clips: Mapping[str, Sequence[RealClip]], predictor: Predictor) -> dict[str, dict[str, Run]]:
    """Run a model on the settings with depth, for every degradation of the depth, and as in training without the rule.

    Returns:
        The runs by row of the table and setting; a model that reads no depth has no rows without the rule.
    """
    settings = [setting for setting in clips if setting.endswith("with depth")]
    rows: dict[str, dict[str, Run]] = {}
    for degradation in tqdm(DEGRADATIONS, desc="depth", unit="degradation"):
        planes = {"no rule": False} if predictor.model.view.depth and degradation in TRAINED_DEPTH else {}
        for rule, predictor.depth_rule in {"rule": True, **planes}.items():
            row = rows[f"{degradation}, {rule}"] = {setting: Run() for setting in settings}
            for setting, run in row.items():
                for clip in clips[setting]:
                    _score_or_refuse(run, clip, partial(_predict, predictor, clip, degradation))
    predictor.depth_rule = True
    return rows


def _score_or_refuse(run: Run, clip: RealClip, predict: Callable[[], ClipTracks]) -> None:
    try:
        prediction = predict()
    except InputError:
        run.refused += 1
        return
    run.counts.append(count_video(clip.key, only_true_objects(prediction, clip.truth), clip.truth))


def score_settings(clips: Mapping[str, Sequence[RealClip]], methods: Mapping[str, Method]) -> dict[str, dict[str, Run]]:
    """Run every method in every setting."""
    runs: dict[str, dict[str, Run]] = {setting: {name: Run() for name in methods} for setting in clips}
    tasks = [(setting, clip) for setting, each in clips.items() for clip in each]
    for setting, clip in tqdm(tasks, desc="real video", unit="clip"):
        for name, method in methods.items():
            run, began = runs[setting][name], time.process_time()
            prediction = method(clip)
            run.seconds += time.process_time() - began
            run.predictions.append(prediction)
            run.counts.append(count_video(clip.key, only_true_objects(prediction, clip.truth), clip.truth))
    return runs


def only_true_objects(prediction: ClipTracks, truth: ClipTracks) -> ClipTracks:
    """Return a prediction without the occluders, whose whole shape is unknown, so that they are no false positives."""
    ids = {track.id for track in truth.tracks}
    return replace(prediction, tracks=tuple(track for track in prediction.tracks if track.id in ids))


if __name__ == "__main__":
    main()
