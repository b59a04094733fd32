"""Measure what one true mask of each track is worth for its other frames: docs/results/anchors.md.

    python -m scripts.experiments.anchors --truth data/worlds-validation data/worlds-movi_d-validation --model tiny

The anchor of a track is the true mask of the frame in which its prediction without anchors is worst.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from scripts.experiments.common import (
    RESULTS,
    experiment_parser,
    interval_text,
    markdown_table,
    run_experiment,
    spread_clips,
)
from vidamodal.formats import Clip
from vidamodal.inference.predictor import Predictor
from vidamodal.media.files import write_text
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.counts import TrackCounts
from vidamodal.metrics.primary import PrimaryScores, mean_scores, paired_differences, score_video
from vidamodal.metrics.tables import percent
from vidamodal.models.folder import load_model
from vidamodal.types import ClipTracks

MEASURES_SHOWN = ("full", "occ", "hidden", "false_completion")


def main() -> None:
    """Parse the command line, measure and write the page."""
    parser = experiment_parser("anchors", __doc__)
    parser.add_argument("--truth", type=Path, nargs="+", required=True, help="data sets with ground truth")
    parser.add_argument("--model", default="tiny", help="a model folder or name (default: the bundled one)")
    parser.add_argument("--clips", type=int, default=6, help="number of clips, evenly spread over each data set")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "anchors.md", help="the page")
    options = parser.parse_args()
    run_experiment("anchors", lambda: run_study(options))


def run_study(options: Namespace) -> None:
    """Measure and write the page."""
    predictor = Predictor(load_model(options.model).model, options.device)
    results = {}
    for path in options.truth:
        clips = spread_clips(path, options.clips)
        results[path.name] = [measure_clip(predictor, clip) for clip in tqdm(clips, desc=path.name, unit="clip")]
    text = render_page(options, results)
    write_text(options.out, text)
    print(text)


@dataclass(frozen=True)
class Scores:
    """Scores of a clip over all frames but those of the anchors."""

    plain: PrimaryScores
    anchored: PrimaryScores


def measure_clip(predictor: Predictor, clip: Clip) -> Scores:
    """Complete a clip without anchors, and then with one for each track."""
    truth = clip.tracks()
    plain = predictor.predict(truth, frames=clip.frames)
    worst = {track.id: worst_frame(track) for track in count_video(clip.key, plain, truth, shapes=False).tracks}
    frames = {key: frame for key, frame in worst.items() if frame is not None}
    anchored = predictor.predict(truth, frames=clip.frames, anchors=select_frames(truth, frames, keep=True))
    rest = select_frames(truth, frames, keep=False)
    return Scores(*(score_video(count_video(clip.key, found, rest, shapes=False)) for found in (plain, anchored)))


def worst_frame(track: TrackCounts) -> int | None:
    """Return the frame with the lowest IoU of a track among those that are scored; None if none is."""
    either = track.pixels() - track.pixels(p=0, a=0)
    iou = track.pixels(p=1, a=1) / np.maximum(either, 1)
    return int(np.where(track.scored, iou, np.inf).argmin()) if track.scored.any() else None


def select_frames(truth: ClipTracks, frames: Mapping[int, int], keep: bool) -> ClipTracks:
    """Return the ground truth with the amodal masks of one frame of each track alone, or of all others."""
    tracks = tuple(
        replace(
            track,
            amodal=tuple(
                mask if (frames.get(track.id) == t) == keep else None for t, mask in enumerate(track.amodal or ())
            ),
            amodal_full=None,
        )
        for track in truth.tracks
    )
    return replace(truth, tracks=tracks)


def render_page(options: Namespace, results: Mapping[str, Sequence[Scores]]) -> str:
    """Return the page as Markdown."""
    rows = [["data", "anchors", *(name.replace("_", " ") for name in MEASURES_SHOWN), "occ gained", "object-frames"]]
    for name, clips in results.items():
        gain = paired_differences([clip.anchored for clip in clips], [clip.plain for clip in clips])["occ"]
        for kind in ("plain", "anchored"):
            scores = mean_scores([getattr(clip, kind) for clip in clips])
            cells = [percent(getattr(scores, measure)) for measure in MEASURES_SHOWN]
            anchors, gained = "none", ""
            if kind == "anchored":
                anchors, gained = "one", f"{percent(gain.mean)} ({interval_text(gain.interval)})"
            rows.append([name, anchors, *cells, gained, str(scores.object_frames)])
    model, names = Path(options.model).name, " ".join(results)
    text = (
        f"Written by `python -m scripts.experiments.anchors --truth {names} --model {model} --clips {options.clips}`: "
        "the frame in which a track is predicted worst gets its true mask as an anchor, and all other frames are "
        "completed from it. Scores of the primary protocol in per cent, over all frames but those of the anchors; "
        "in brackets the 95 % bootstrap interval over videos."
    )
    return f"# Anchors\n\n{text}\n\n{markdown_table(rows)}\n"


if __name__ == "__main__":
    main()
