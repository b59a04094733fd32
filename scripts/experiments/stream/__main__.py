"""Compare live prediction with prediction of whole clips, in accuracy and cost: docs/results/stream.md.

python -m scripts.experiments.stream --truth data/worlds-validation --clips 12
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from scripts.experiments.common import RESULTS, experiment_parser, markdown_table, run_experiment, spread_clips
from vidamodal.formats import Clip
from vidamodal.inference.predictor import Predictor
from vidamodal.inference.stream import Stream
from vidamodal.media.files import write_text
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.primary import PrimaryScores, mean_scores, score_video
from vidamodal.metrics.tables import percent
from vidamodal.models.folder import LoadedModel, load_model
from vidamodal.types import ClipTracks, Rle, Track

MEASURES_SHOWN = ("full", "occ", "hidden", "false_completion", "ghosts", "flicker")
SCENES = {True: "exhaustive scenes", False: "partial scenes"}


@dataclass
class Row:
    """Scores and cost of one method."""

    scores: dict[bool, list[PrimaryScores]] = field(default_factory=lambda: {kind: [] for kind in SCENES})
    """By whether the scene is exhaustive."""
    seconds: float = 0.0
    object_frames: int = 0

    def add(self, predicted: ClipTracks, truth: ClipTracks, key: str, seconds: float) -> None:
        """Add a clip."""
        self.scores[truth.exhaustive].append(score_video(count_video(key, predicted, truth)))
        self.seconds += seconds
        self.object_frames += sum(mask is not None for track in predicted.tracks for mask in track.amodal or ())

    @property
    def cost(self) -> float:
        """CPU-seconds of an object-frame."""
        return self.seconds / self.object_frames


def main() -> None:
    """Parse the command line, predict and write the page."""
    parser = experiment_parser("stream", __doc__)
    parser.add_argument("--truth", type=Path, required=True, help="a data set")
    parser.add_argument("--model", default="tiny", help="a model folder or name (default: the bundled one)")
    parser.add_argument("--clips", type=int, default=12, help="number of clips, evenly spread over the data set")
    parser.add_argument("--frames", type=int, default=24, help="first frames of each clip that are predicted")
    parser.add_argument("--windows", type=int, nargs="+", default=[24, 12, 6], help="frames that a step sees")
    parser.add_argument("--out", type=Path, default=RESULTS / "stream.md", help="page to write")
    options = parser.parse_args()

    def run() -> None:
        clips = spread_clips(options.truth, options.clips)
        rows = run_study(clips, load_model(options.model), options.windows, options.frames)
        write_text(options.out, page(rows, options, len(clips)))

    run_experiment("stream", run)


def run_study(clips: Sequence[Clip], model: LoadedModel, windows: Sequence[int], frames: int) -> dict[str, Row]:
    """Predict the first frames of all clips with every method."""
    predictor = Predictor(model.model)
    rows = {"whole clip": Row(), **{f"live, {window} frames": Row() for window in windows}}
    for clip in tqdm(clips, desc="stream", unit="clip"):
        truth = first_frames(clip.tracks(), frames)
        known = replace(truth, tracks=tuple(Track(track.id, track.visible) for track in truth.tracks), order=None)
        began = time.process_time()
        whole = predictor.predict(known)
        rows["whole clip"].add(whole, truth, clip.key, time.process_time() - began)
        for window in windows:
            predicted, seconds = predict_live(Stream(model, exhaustive=known.exhaustive, window=window), known)
            rows[f"live, {window} frames"].add(predicted, truth, clip.key, seconds)
    return rows


def first_frames(clip: ClipTracks, count: int) -> ClipTracks:
    """Return the visible and amodal masks of the first frames of a clip."""
    tracks = tuple(
        Track(t.id, t.visible[:count], None if t.amodal is None else t.amodal[:count], label=t.label)
        for t in clip.tracks
    )
    video = replace(clip.video, frames=min(count, clip.video.frames), canvas=None)
    return replace(clip, video=video, tracks=tracks, order=None)


def predict_live(stream: Stream, clip: ClipTracks) -> tuple[ClipTracks, float]:
    """Return the tracks of a clip as a stream predicts them, and the CPU time of its steps."""
    amodal: dict[int, list[Rle | None]] = {track.id: [] for track in clip.tracks}
    seconds = 0.0
    for frame in range(clip.video.frames):
        visible = {t.id: None if (mask := t.visible[frame]) is None else mask.decode() for t in clip.tracks}
        began = time.process_time()
        masks = stream.step(None, visible)
        seconds += time.process_time() - began
        for key, row in amodal.items():
            row.append(Rle.encode(masks[key]) if key in masks else None)
    tracks = tuple(
        replace(t, amodal=tuple(amodal[t.id]), confidence=tuple(None if m is None else 1.0 for m in amodal[t.id]))
        for t in clip.tracks
    )
    return replace(clip, tracks=tracks), seconds


def page(rows: dict[str, Row], options: Namespace, clips: int) -> str:
    """Return the page."""
    first = next(iter(rows.values()))
    table = [["", *(name.replace("_", " ") for name in MEASURES_SHOWN), "CPU time of an object-frame"]]
    for name, row in rows.items():
        table.append([name, *_values([s for kind in SCENES for s in row.scores[kind]]), f"{row.cost / first.cost:.1f}"])
        for kind, title in SCENES.items():
            if row.scores[kind]:
                table.append([f"{title} ({len(row.scores[kind])})", *_values(row.scores[kind]), ""])
    windows = " ".join(map(str, options.windows))
    command = (
        f"python -m scripts.experiments.stream --truth {options.truth} --clips {clips} --frames {options.frames} "
        f"--windows {windows}"
    )
    return f"""# Live prediction

Written by `{command}`:
the first {options.frames} frames of {clips} clips of validation worlds with their true visible masks. In per cent;
the time is relative to the whole clip, on one thread of one run.

{markdown_table(table)}

*Whole clip* is `predict`, which sees all frames and completes each twice. *Live* is `vidamodal.Stream`, which sees the
newest frame and those before it, and completes that many of the last frames in every step. Before an object shows its
first pixel, a stream has no mask of it, which counts as a miss.

In partial scenes a judge decides which completed parts outside all listed masks are kept
([partial scenes](partial.md)). Without later frames the network completes more parts that are not there, at any time
and not only in the first frames.
"""


def _values(scores: Sequence[PrimaryScores]) -> list[str]:
    mean = mean_scores(scores)
    return [percent(getattr(mean, measure)) for measure in MEASURES_SHOWN]


if __name__ == "__main__":
    main()
