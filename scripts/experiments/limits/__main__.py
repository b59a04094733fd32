"""Find what limits a model: score its predictions with one error at a time corrected, and print a table.

    python -m scripts.experiments.limits --truth data/test [--model tiny] [--clips 24]

Compares: no order and the true order; fully occluded masks moved to their true positions, which leaves errors of shape;
and the true masks at the resolution of the model's windows, an upper bound for any network that uses them.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from tqdm import tqdm

from scripts.experiments.common import experiment_parser, run_experiment
from vidamodal.data.crops import boxes_and_areas
from vidamodal.errors import InputError
from vidamodal.formats import Clip, find_dataset
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

AS_PREDICTED = "as predicted"


def main() -> None:
    """Parse the command line, score and print the table."""
    parser = experiment_parser("limits", __doc__)
    parser.add_argument("--truth", type=Path, required=True, help="a data set")
    parser.add_argument("--model", default="tiny", help="a model folder or name (default: the bundled one)")
    parser.add_argument("--clips", type=int, default=24, help="number of clips, from the beginning of the data set")
    options = parser.parse_args()
    run_experiment("limits", lambda: print_limits(options.truth, options.model, options.clips))


def print_limits(truth: Path, name: str, count: int) -> None:
    """Score all corrections and print them."""
    model = load_model(name).model
    if not isinstance(model, AmodalModel):
        raise InputError(f"{name}: its windows do not follow tracks. Use a model with windows.mode track.")
    predictor = Predictor(model)
    scores: dict[str, list[PrimaryScores]] = {}
    clips = find_dataset(truth).clips
    for key, clip in tqdm(islice(clips.items(), count), total=min(count, len(clips)), unit="video"):
        true = clip.tracks()
        for correction, tracks in predict_corrected(predictor, model, clip, true).items():
            scores.setdefault(correction, []).append(score_video(count_video(key, tracks, true, shapes=False)))
    print(format_table({correction: mean_scores(videos) for correction, videos in scores.items()}))
    for measure in ("full", "occ", "hidden"):
        values = [getattr(video, measure) for video in scores[AS_PREDICTED]]
        low, high = bootstrap_interval(values) or (np.nan, np.nan)
        print(f"{measure} {AS_PREDICTED}: 95 % bootstrap interval over videos {100 * low:.1f} .. {100 * high:.1f}")


def predict_corrected(predictor: Predictor, model: AmodalModel, clip: Clip, truth: ClipTracks) -> dict[str, ClipTracks]:
    """Return the prediction and its corrected variants by name."""
    predicted = predictor.predict(truth, frames=clip.frames)
    variants = {AS_PREDICTED: predicted, "fully occluded masks moved": move_occluded_masks(predicted, truth)}
    if model.view.order:
        no_order: list[FrameOrder] = [()] * truth.video.frames
        variants["without any order"] = predictor.predict(truth, frames=clip.frames, order=no_order)
        variants["with the true order"] = predictor.predict(truth, frames=clip.frames, order=truth.order)
    variants["true masks through the windows"] = resample_in_windows(truth, model)
    return variants


def move_occluded_masks(predicted: ClipTracks, truth: ClipTracks) -> ClipTracks:
    """Move fully occluded masks to the positions of the true ones."""
    true = {track.id: track for track in truth.tracks}

    def move_track(track: Track) -> Track:
        amodal, visible = true[track.id].amodal, true[track.id].visible
        if track.amodal is None or amodal is None:
            return track
        masks = [
            move_mask(mask, target)
            if mask is not None and target is not None and v is not None and not v.area()
            else mask
            for mask, target, v in zip(track.amodal, amodal, visible, strict=True)
        ]
        return replace(track, amodal=tuple(masks))

    return replace(predicted, tracks=tuple(map(move_track, predicted.tracks)))


def move_mask(mask: Rle, target: Rle) -> Rle:
    """Move a mask by whole pixels so that the centre of its box coincides with that of the target."""
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


def resample_in_windows(truth: ClipTracks, model: AmodalModel) -> ClipTracks:
    """Crop the true masks to the windows of a perfect first pass, at the model's resolution, and paste them back."""
    tracks = [track for track in truth.tracks if track.ever_visible and track.amodal is not None]
    visible, amodal = (
        np.stack([[mask.decode() for mask in masks if mask is not None] for masks in kind])
        for kind in ([t.visible for t in tracks], [t.amodal for t in tracks if t.amodal is not None])
    )
    windows = _true_windows(visible, amodal, model)
    cells = model.config.tokenizer.crop
    resampled = {
        track.id: tuple(_resample(amodal[k, t], windows, k, t, cells) for t in range(truth.video.frames))
        for k, track in enumerate(tracks)
    }
    changed = (replace(t, amodal=resampled[t.id]) if t.id in resampled else t for t in truth.tracks)
    return replace(truth, tracks=tuple(changed))


def _true_windows(
    visible: Bool[np.ndarray, "n t h w"], amodal: Bool[np.ndarray, "n t h w"], model: AmodalModel
) -> Windows:
    """Return the windows that the last pass would use if the first pass had predicted the true masks."""
    boxes, areas = boxes_and_areas(visible)
    amodal_boxes, amodal_areas = boxes_and_areas(amodal)
    config, (height, width) = model.config.windows, visible.shape[2:]
    windows = lay_windows(boxes, areas, height, width, config)
    if config.passes > 1:
        shares = areas / np.maximum(amodal_areas, 1)
        windows = follow_scene(windows, np.where(areas[..., None] > 0, amodal_boxes, 0.0), shares, config)
    return windows


def _resample(mask: np.ndarray, windows: Windows, track: int, frame: int, cells: int) -> Rle:
    window = windows.at(track, frame)
    height, width = mask.shape
    cropper = Cropper.at(window, cells, height, width)
    share = cropper.cut(mask) / np.maximum(cropper.inside, 1e-6)
    rows, columns, values = paste(share, window, height, width)
    out = np.zeros_like(mask)
    out[rows, columns] = values > 0.5
    return Rle.encode(out)


if __name__ == "__main__":
    main()
