"""What keeps a model from a higher score: its predictions with one thing at a time made right.

    python -m scripts.experiments.limits --truth data/test [--model tiny] [--clips 24]

Without any order, and given the true one: who lies in front of whom. Fully hidden masks put in their places: moved so
that the middles of their boxes are the true ones; what is left is their shape. The truth through the windows: cut to
the windows and cells that the model works in and pasted back, which is the best that any network could do in them.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vidamodal.data.crops import boxes_and_areas
from vidamodal.formats import find_dataset
from vidamodal.geometry import Cropper, Windows, paste
from vidamodal.inference.predictor import Predictor
from vidamodal.metrics.averages import bootstrap_interval
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.primary import PrimaryScores, mean_scores, score_video
from vidamodal.metrics.tables import format_table
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import load_model
from vidamodal.types import ClipTracks, FrameOrder, Rle, Track
from vidamodal.windows import follow_scene, lay_windows


def main() -> None:
    """Predict, change, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, required=True, help="a data set in a known layout")
    parser.add_argument("--model", default="tiny", help="a model folder or name (default: the bundled one)")
    parser.add_argument("--clips", type=int, default=24)
    options = parser.parse_args()
    model = load_model(options.model).model
    if not isinstance(model, AmodalModel):
        raise SystemExit(f"{options.model}: works in a box of each frame, which has no limits of its own here")
    predictor = Predictor(model)
    rows: dict[str, list[PrimaryScores]] = {}
    clips = find_dataset(options.truth).clips
    for key, clip in tqdm(islice(clips.items(), options.clips), total=min(options.clips, len(clips)), unit="video"):
        truth = clip.tracks()
        found = predictor.predict(truth, frames=clip.frames)
        made = {"as predicted": found, "fully hidden masks in their places": placed(found, truth)}
        if model.view.order:
            nothing: list[FrameOrder] = [()] * truth.video.frames
            made["without any order"] = predictor.predict(truth, frames=clip.frames, order=nothing)
            made["given the true order"] = predictor.predict(truth, frames=clip.frames, order=truth.order)
        made["the truth through the windows"] = through_windows(truth, model)
        for name, tracks in made.items():
            rows.setdefault(name, []).append(score_video(count_video(key, tracks, truth, shapes=False)))
    print(format_table({name: mean_scores(videos) for name, videos in rows.items()}))
    for name in ("full", "occ", "hidden"):
        low, high = bootstrap_interval([getattr(video, name) for video in rows["as predicted"]]) or (np.nan, np.nan)
        print(f"{name} as predicted: 95 % of bootstraps over videos within {100 * low:.1f} .. {100 * high:.1f}")


def placed(found: ClipTracks, truth: ClipTracks) -> ClipTracks:
    """Predictions with fully hidden masks moved to where the true ones lie."""
    true = {track.id: track for track in truth.tracks}

    def move(track: Track) -> Track:
        whole, seen = true[track.id].amodal, true[track.id].visible
        if track.amodal is None or whole is None:
            return track
        masks = [
            moved(mask, target) if mask is not None and target is not None and v is not None and not v.area() else mask
            for mask, target, v in zip(track.amodal, whole, seen, strict=True)
        ]
        return replace(track, amodal=tuple(masks))

    return replace(found, tracks=tuple(map(move, found.tracks)))


def moved(mask: Rle, target: Rle) -> Rle:
    """The mask with the middle of its box where that of the target is, to whole pixels."""
    ours, theirs = mask.box(), target.box()
    if ours is None or theirs is None:
        return mask
    down, right = (round((theirs[k] + theirs[k + 2] - ours[k] - ours[k + 2]) / 2) for k in (0, 1))
    rows, columns = np.nonzero(mask.decode())
    rows, columns = rows + down, columns + right
    inside = (rows >= 0) & (rows < mask.height) & (columns >= 0) & (columns < mask.width)
    out = np.zeros((mask.height, mask.width), dtype=bool)
    out[rows[inside], columns[inside]] = True
    return Rle.encode(out)


def through_windows(truth: ClipTracks, model: AmodalModel) -> ClipTracks:
    """The truth at the resolution of the model's windows, laid as in a second pass whose first was right."""
    tracks = [track for track in truth.tracks if track.ever_visible and track.amodal is not None]
    visible, amodal = (
        np.stack([[mask.decode() for mask in masks if mask is not None] for masks in kind])
        for kind in ([t.visible for t in tracks], [t.amodal for t in tracks if t.amodal is not None])
    )
    boxes, areas = boxes_and_areas(visible)
    whole, truth_areas = boxes_and_areas(amodal)
    config, (height, width) = model.config.windows, visible.shape[2:]
    windows = lay_windows(boxes, areas, height, width, config)
    if config.passes == 2:
        shares = areas / np.maximum(truth_areas, 1)
        windows = follow_scene(windows, np.where(areas[..., None] > 0, whole, 0.0), shares, config)
    cells = model.config.tokenizer.crop
    masks = [
        tuple(_back(amodal[k, t], windows, k, t, cells) for t in range(truth.video.frames)) for k in range(len(tracks))
    ]
    made = {track.id: replace(track, amodal=found) for track, found in zip(tracks, masks, strict=True)}
    return replace(truth, tracks=tuple(made.get(track.id, track) for track in truth.tracks))


def _back(mask: np.ndarray, windows: Windows, track: int, frame: int, cells: int) -> Rle:
    window = windows.at(track, frame)
    cropper = Cropper.at(window, cells, *mask.shape)
    share = cropper.cut(mask) / np.maximum(cropper.inside, 1e-6)
    rows, columns, values = paste(share, window, *mask.shape)
    out = np.zeros_like(mask)
    out[rows, columns] = values > 0.5
    return Rle.encode(out)


if __name__ == "__main__":
    main()
