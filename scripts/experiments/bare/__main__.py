"""Score ways from a bare video to amodal tracks and write docs/results/bare.md.

    python -m scripts.experiments.bare --truth NAME=PATH ... --segmenters NAME=MODEL ... [--model tiny] [--clips 12]

Compares segmenters alone, segmenters completed by a model, the model on true visible masks, and regions that move or
have one colour.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from jaxtyping import Bool
from tqdm import tqdm

from scripts.experiments.bare.regions import Kind, RegionFinder
from scripts.experiments.bare.track_detections import MIN_TRACK_IOU, DetectionCounts, count_detections, score_detections
from scripts.experiments.common import RESULTS, experiment_parser, first_clips, parse_names, run_experiment, section
from vidamodal.formats import Clip
from vidamodal.geometry import Cropper, Window
from vidamodal.inference.finders.segmenter import SegmenterFinder
from vidamodal.inference.predictor import Predictor
from vidamodal.inference.runtime import Timings
from vidamodal.inference.track_builder import build_tracks
from vidamodal.inference.tracker import TrackerConfig
from vidamodal.media.files import write_text
from vidamodal.metrics.tables import percent
from vidamodal.models.folder import load_model, load_segmenter
from vidamodal.occlusion.layers import layers_of_clip
from vidamodal.types import ClipTracks, FrameInstance, Rle

HEADER = ("", "track AP", "AP50", "AR", "found", "IoU of found", "kept", "switched", "IDSW", "order", "s/frame")


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        run: Predicts tracks from a clip and its input tracks.
        after: The method whose result is the input; None for the ground truth.
    """

    run: Callable[[Clip, ClipTracks], ClipTracks]
    after: str | None = None


def main() -> None:
    """Parse the command line, score and write the page."""
    parser = experiment_parser("bare", __doc__)
    parser.add_argument("--truth", nargs="+", required=True, metavar="NAME=PATH", help="data sets with frames")
    parser.add_argument("--segmenters", nargs="*", default=[], metavar="NAME=MODEL", help="folders or names")
    parser.add_argument("--model", default="tiny", help="folder or name of the model that completes visible masks")
    parser.add_argument("--clips", type=int, default=12, help="number of clips of each data set, from its beginning")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=RESULTS / "bare.md", help="page to write")
    options = parser.parse_args()

    def run() -> None:
        truths, segmenters = parse_names(options.truth), parse_names(options.segmenters)
        text = render_page(truths, segmenters, options.model, options.clips, options.device)
        write_text(options.out, text)
        print(text)

    run_experiment("bare", run)


def render_page(
    truths: Mapping[str, str], segmenters: Mapping[str, str], model: str, clips: int, device: str = "auto"
) -> str:
    """Score all methods and return the page as Markdown.

    Raises:
        InputError: A data set or a model cannot be read; raised before anything is predicted.
    """
    sets = {name: first_clips(path, clips) for name, path in truths.items()}
    methods = load_methods(segmenters, model, device)
    arguments = ["--truth", *(f"{n}={p}" for n, p in truths.items())]
    if segmenters:
        arguments += ["--segmenters", *(f"{n}={m}" for n, m in segmenters.items())]
    command = f"python -m scripts.experiments.bare {shlex.join(arguments)} --model {model} --clips {clips}"
    sections = [
        "# From a bare video to amodal tracks",
        f"Written by `{command}`.",
        "Scores of amodal masks in per cent. *track AP*, *AP50* and *AR*: average precision and recall of whole "
        "tracks, as in YouTube-VIS. *found*: share of the objects that match a track with track IoU above "
        f"{MIN_TRACK_IOU}; *IoU of found*: their mean IoU over frames. *kept* and *switched*: share of the full "
        "occlusions after which the object has the same track, or another one; in the remaining cases it has none. "
        "*IDSW*: identity switches. *order*: share of the overlapping pairs of found objects in the right order. "
        "*s/frame*: CPU-seconds per frame on one core. *True instances, joined* receives the true masks of every frame "
        "and only joins them over time. The true visible masks are passed as a partial scene, as detected ones are.",
    ]
    for name, chosen in sets.items():
        rows, occlusions = score_rows(count_methods(chosen, methods, name))
        note = f"{len(chosen)} clips with {occlusions} full occlusions after which the object reappears."
        sections += [section(name[:1].upper() + name[1:], rows), note]
    return "\n\n".join(sections) + "\n"


def load_methods(segmenters: Mapping[str, str], model: str, device: str) -> dict[str, Method]:
    """Return all methods by name; a method follows the one it depends on."""
    loaded = load_model(model)
    predictor = Predictor(loaded.model, device)

    def detect(finder: SegmenterFinder | RegionFinder) -> Method:
        return Method(lambda clip, truth: finder.find(truth.video, clip.frames))

    def complete(clip: Clip, tracks: ClipTracks) -> ClipTracks:
        return predictor.predict(tracks, frames=clip.frames)

    def complete_true_masks(clip: Clip, truth: ClipTracks) -> ClipTracks:
        visible_only = tuple(replace(track, amodal=None, amodal_full=None) for track in truth.tracks)
        return predictor.predict(replace(truth, tracks=visible_only, exhaustive=False), frames=clip.frames)

    methods: dict[str, Method] = {}
    for name, folder in segmenters.items():
        methods[f"{name} alone"] = detect(SegmenterFinder(load_segmenter(folder).model, device))
        methods[f"{name} + {loaded.name}"] = Method(complete, after=f"{name} alone")
    methods[f"true visible masks + {loaded.name}"] = Method(complete_true_masks)
    methods["true instances, joined"] = Method(join_true_instances)
    return methods | {f"regions of {kind}": detect(RegionFinder(kind)) for kind in get_args(Kind)}


def join_true_instances(_clip: Clip, truth: ClipTracks) -> ClipTracks:
    """Join the detections of a perfect segmenter over time."""
    return build_tracks(truth.video, true_instances(truth), TrackerConfig(), Timings())


def true_instances(truth: ClipTracks) -> Iterator[list[FrameInstance]]:
    """Yield the visible objects of each frame, front to back, on a square canvas with the pixels of the video."""
    height, width = truth.video.height, truth.video.width
    cropper = Cropper.at(Window.around(height, width), max(height, width), height, width)

    def on_canvas(mask: Rle) -> Bool[np.ndarray, "s s"]:
        return np.asarray(cropper.cut(mask.decode()) >= 0.5)

    for t, layers in enumerate(layers_of_clip(truth)):
        masks = {k.id: (v, a) for k in truth.tracks if (v := k.visible[t]) and v.area() and (a := (k.amodal or ())[t])}
        yield [
            FrameInstance(on_canvas(masks[key][0]), on_canvas(masks[key][1]), layers[key], None, 1.0)
            for key in sorted(masks, key=lambda key: layers[key])
        ]


def count_methods(
    clips: Sequence[Clip], methods: Mapping[str, Method], title: str
) -> dict[str, tuple[list[DetectionCounts], float]]:
    """Run every method on every clip, one clip in memory at a time; return its counts and CPU-seconds per frame."""
    counts: dict[str, list[DetectionCounts]] = {name: [] for name in methods}
    seconds, frames = dict.fromkeys(methods, 0.0), 0
    with tqdm(total=len(clips) * len(methods), desc=title, unit="prediction") as bar:
        for clip in clips:
            truth = clip.tracks()
            frames += truth.video.frames
            results: dict[str, ClipTracks] = {}
            spent: dict[str, float] = {}
            for name, method in methods.items():
                began = time.process_time()
                results[name] = method.run(clip, truth if method.after is None else results[method.after])
                spent[name] = time.process_time() - began + (spent[method.after] if method.after else 0.0)
                seconds[name] += spent[name]
                counts[name].append(count_detections(results[name], truth))
                bar.update()
    return {name: (videos, seconds[name] / max(frames, 1)) for name, videos in counts.items()}


def score_rows(counts: Mapping[str, tuple[Sequence[DetectionCounts], float]]) -> tuple[list[list[str]], int]:
    """Return the header with a row per method, and the number of full occlusions."""
    rows, occlusions = [list(HEADER)], 0
    for name, (videos, seconds) in counts.items():
        scores = score_detections(videos)
        occlusions = scores.occlusions
        ranked = [percent(scores.track_ap[key]) for key in ("ap", "ap50", "ar")]
        means = [percent(scores.found), percent(scores.iou)]
        identity = [percent(part / occlusions if occlusions else None) for part in (scores.kept, scores.switched)]
        cells = [*ranked, *means, *identity, str(scores.switches), percent(scores.order), f"{seconds:.3f}"]
        rows.append([name, *cells])
    return rows, occlusions


if __name__ == "__main__":
    main()
