"""Make docs/bare.md: from bare videos to amodal tracks, several ways in one table.

    python -m scripts.experiments.bare --truth NAME=PATH ... --segmenters NAME=MODEL ... [--model tiny] [--clips 12]

Every segmenter alone, with its own amodal masks, and completed by the transformer of --model; the transformer from the
true visible masks; and two ways without a model, regions that move and regions of one colour. One thread.
"""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from jaxtyping import Bool
from tqdm import tqdm

from scripts.experiments.bare.regions import Kind, RegionFinder
from scripts.experiments.bare.track_detections import FOUND, FoundCounts, count_found, score_found
from scripts.experiments.presets.__main__ import named
from scripts.experiments.results.__main__ import section
from vidamodal.formats import Clip, find_dataset
from vidamodal.geometry import Cropper, Window
from vidamodal.inference.finders.base import Finder
from vidamodal.inference.finders.segmenter import SegmenterFinder
from vidamodal.inference.predictor import Predictor
from vidamodal.inference.runtime import Timings
from vidamodal.inference.track_builder import build_tracks
from vidamodal.inference.tracker import TrackerConfig
from vidamodal.media.files import write_text
from vidamodal.metrics.tables import percent
from vidamodal.models.folder import load_model, load_segmenter
from vidamodal.occlusion.layers import layers_of_clip
from vidamodal.types import ClipTracks, FrameInstance, InputError, Rle

Method = Callable[[Clip, ClipTracks], ClipTracks]
"""A clip and its truth, or what another way found in it, to tracks."""


@dataclass(frozen=True)
class Way:
    """A row of the table."""

    run: Method
    after: str | None = None
    """The way before it in the table that finds what it completes; None: it starts from the truth's clip."""


HEADS = ("", "track AP", "AP50", "AR", "found", "IoU of found", "kept", "switched", "IDSW", "order", "s/frame")


def main() -> None:
    """Find, score and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", nargs="+", required=True, metavar="NAME=PATH", help="data sets with pictures")
    parser.add_argument("--segmenters", nargs="*", default=[], metavar="NAME=MODEL", help="folders or names")
    parser.add_argument("--model", default="tiny", help="what completes visible masks: a folder or a name")
    parser.add_argument("--clips", type=int, default=12, help="the first so many clips of each set")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("docs/results/bare.md"), help="page to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        segmenters = named(options.segmenters)
        text = page(named(options.truth), segmenters, options.model, options.clips, options.device)
    except InputError as error:
        raise SystemExit(f"bare.py: {error}") from None
    write_text(options.out, text)
    print(text)


def page(truths: Mapping[str, str], segmenters: Mapping[str, str], model: str, clips: int, device: str = "auto") -> str:
    """The page as Markdown. InputError, before anything is found, for a set or a model that cannot be read."""
    if clips < 1:
        raise InputError(f"--clips must be at least 1, not {clips}")
    sets = {name: list(islice(find_dataset(path).clips.values(), clips)) for name, path in truths.items()}
    ways = methods(segmenters, model, device)
    asked = ["--truth", *(f"{n}={p}" for n, p in truths.items())]
    if segmenters:
        asked += ["--segmenters", *(f"{n}={m}" for n, m in segmenters.items())]
    sections = [
        "# From a bare video to amodal tracks",
        f"Made by `python -m scripts.experiments.bare {shlex.join(asked)} --model {model} --clips {clips}`.",
        "Per cent, of amodal masks. *track AP*, *AP50* and *AR*: average precision and recall of whole tracks, by "
        f"the rule of YouTube-VIS. *found*: a scene's objects with a track of their own at track IoU over {FOUND}; "
        "*IoU of found*: the mean over the frames of these. *kept* and *switched*: of the times that an object is "
        "hidden altogether and comes back, how often it has the same track again and how often another one; the others "
        "lost it. *IDSW*: how often an object's track changes, all in all. *order*: pairs of found objects that lie "
        "over each other in a frame, in the right order. *s/frame*: seconds of one CPU core. *True instances, joined* "
        "have the true masks of what a frame shows and only join them over time; the true visible masks are given as "
        "those of a partial scene, as found ones are.",
    ]
    for name, picked in sets.items():
        rows, spells = table(score(picked, ways, name))
        hidings = f"{len(picked)} clips in which objects are hidden and come back {spells} times."
        sections += [section(name[:1].upper() + name[1:], rows), hidings]
    return "\n\n".join(sections) + "\n"


def methods(segmenters: Mapping[str, str], model: str, device: str) -> dict[str, Way]:
    """All ways, by name."""
    loaded = load_model(model)
    predictor = Predictor(loaded.model, device)

    def found(finder: Finder | RegionFinder) -> Way:
        return Way(lambda clip, truth: finder.find(truth.video, clip.frames))

    def completed(clip: Clip, tracks: ClipTracks) -> ClipTracks:
        return predictor.predict(tracks, frames=clip.frames)

    def given(clip: Clip, truth: ClipTracks) -> ClipTracks:
        bare = tuple(replace(track, amodal=None, amodal_full=None) for track in truth.tracks)
        return predictor.predict(replace(truth, tracks=bare, exhaustive=False), frames=clip.frames)

    ways: dict[str, Way] = {}
    for name, folder in segmenters.items():
        finder = SegmenterFinder(load_segmenter(folder).model, device)
        ways |= {f"{name} alone": found(finder), f"{name} + {loaded.name}": Way(completed, f"{name} alone")}
    ways |= {f"true visible masks + {loaded.name}": Way(given), "true instances, joined": Way(joined)}
    return ways | {f"regions of {kind}": found(RegionFinder(kind)) for kind in get_args(Kind)}


def joined(_clip: Clip, truth: ClipTracks) -> ClipTracks:
    """The tracks of a perfect segmenter, which finds whatever shows in a frame and knows of no other."""
    return build_tracks(truth.video, true_instances(truth), TrackerConfig(), Timings())


def true_instances(truth: ClipTracks) -> Iterator[list[FrameInstance]]:
    """What shows of the objects in each frame, those in front first, on a canvas with the pixels of the video."""
    height, width = truth.video.height, truth.video.width
    cropper = Cropper.at(Window.around(height, width), max(height, width), height, width)

    def laid(mask: Rle) -> Bool[np.ndarray, "s s"]:
        return cropper.cut(mask.decode()) >= 0.5

    for t, layers in enumerate(layers_of_clip(truth)):
        shown = {k.id: (v, a) for k in truth.tracks if (v := k.visible[t]) and v.area() and (a := (k.amodal or ())[t])}
        yield [
            FrameInstance(laid(shown[key][0]), laid(shown[key][1]), layers[key], None, 1.0)
            for key in sorted(shown, key=lambda key: layers[key])
        ]


def score(clips: Sequence[Clip], ways: Mapping[str, Way], name: str) -> dict[str, tuple[list[FoundCounts], float]]:
    """Every way over every clip, and its seconds of CPU a frame. One clip is held at a time."""
    counts: dict[str, list[FoundCounts]] = {way: [] for way in ways}
    seconds, frames = dict.fromkeys(ways, 0.0), 0
    with tqdm(total=len(clips) * len(ways), desc=name, unit="prediction") as bar:
        for clip in clips:
            truth = clip.tracks()
            frames += truth.video.frames
            results: dict[str, ClipTracks] = {}
            spent: dict[str, float] = {}
            for name_of_way, way in ways.items():
                began = time.process_time()
                results[name_of_way] = way.run(clip, truth if way.after is None else results[way.after])
                spent[name_of_way] = time.process_time() - began + (spent[way.after] if way.after else 0.0)
                seconds[name_of_way] += spent[name_of_way]
                counts[name_of_way].append(count_found(results[name_of_way], truth))
                bar.update()
    return {way: (videos, seconds[way] / max(frames, 1)) for way, videos in counts.items()}


def table(rows: Mapping[str, tuple[Sequence[FoundCounts], float]]) -> tuple[list[list[str]], int]:
    """The heads and a row for each way; and the number of hidings."""
    out, spells = [list(HEADS)], 0
    for way, (videos, seconds) in rows.items():
        scores = score_found(videos)
        spells = scores.spells
        ranked = [percent(scores.track_ap[key]) for key in ("ap", "ap50", "ar")]
        kept = [percent(part / spells if spells else None) for part in (scores.kept, scores.switched)]
        means = [percent(scores.share), percent(scores.iou)]
        out.append([way, *ranked, *means, *kept, str(scores.switches), percent(scores.order), f"{seconds:.3f}"])
    return out, spells


if __name__ == "__main__":
    main()
