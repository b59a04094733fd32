"""The section on hypotheses of the page on calibration: their scores, and a picture of one track."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from scripts.experiments.calibration.hypothesis_scores import HypothesisScores, score_hypotheses
from scripts.experiments.calibration.measure import decode_or_empty
from scripts.experiments.common import markdown_table
from vidamodal.formats import Clip
from vidamodal.inference.predictor import Predictor
from vidamodal.metrics.averages import mean
from vidamodal.metrics.tables import percent
from vidamodal.models.folder import Model
from vidamodal.report.overlay import ObjectMasks, render_overlay
from vidamodal.report.sheet import contact_sheet
from vidamodal.types import ClipTracks, Frame, Rle, Track

MEASURES_SHOWN = ("full", "occ", "hidden", "flicker")
_COLUMNS = 5


def sample_hypotheses(
    model: Model, clips: Sequence[Clip], count: int, device: str
) -> tuple[list[HypothesisScores], Frame]:
    """Sample hypotheses of every clip; return their scores, and a picture of one track of the first clip."""
    predictor = Predictor(model, device, hypotheses=count)
    scores, example = [], None
    for source in tqdm(clips, desc=f"{count} hypotheses", unit="clip"):
        truth = source.tracks()
        prediction = predictor.predict(truth, frames=source.frames)
        scores.append(score_hypotheses(prediction, truth, _numbers_shown(count)))
        example = _render_track(prediction, truth) if example is None else example
    assert example is not None  # a data set has at least one clip
    return scores, example


def render_section(scores: Sequence[HypothesisScores], count: int, picture: str) -> str:
    """Return the section as Markdown; ``picture`` is the file name of the picture."""
    shown = _numbers_shown(count)
    lines = [(f"best of {k}", [s.best[k] for s in scores], [s.spread[k] for s in scores]) for k in shown]
    lines += [(f"own choice of {k}", [s.picked[k] for s in scores], []) for k in shown if k > 1]
    lines += [("single pass", [s.each[0] for s in scores], [])]
    lines += [("average sample", [each for s in scores for each in s.each[1:]], [])]
    rows = [["hypotheses", *MEASURES_SHOWN, "spread"]]
    for title, values, spreads in lines:
        cells = [percent(mean(each[m] for each in values)) for m in MEASURES_SHOWN]
        rows.append([title, *cells, percent(mean(spreads))])
    return "\n".join(
        [
            "\n## Hypotheses\n",
            f"Scores of the tracks of {len(scores)} of the clips. The first hypothesis is the single pass, the others "
            "are samples. The best one is chosen with the ground truth, once per track and separately for each "
            "measure; *own choice* is the one with the highest predicted score, which needs no ground truth.\n",
            markdown_table(rows),
            "\nSpread is the mean over pairs of hypotheses of 1 - IoU outside the visible mask, over the track.\n",
            f"![Hypotheses of one track through its clip]({picture})\n",
        ]
    )


def _numbers_shown(count: int) -> list[int]:
    return sorted({k for k in (1, 4, count) if k <= count})


def _render_track(prediction: ClipTracks, truth: ClipTracks) -> Frame:
    """Render the most occluded track in some frames (columns): ground truth, the single pass and the samples (rows)."""
    occluded = {t.id: sum(_areas(t.amodal)) - sum(_areas(t.visible)) for t in truth.tracks if t.ever_visible}
    track_id = max(occluded, key=lambda n: occluded[n])
    track = next(t for t in prediction.tracks if t.id == track_id)
    true = next(t for t in truth.tracks if t.id == track_id)
    frames = np.linspace(0, truth.video.frames - 1, _COLUMNS).round().astype(int)
    rows: list[tuple[str, Sequence[Rle | None]]] = [("truth", true.amodal or ())]
    rows += [("single pass" if h == 0 else f"sample {h}", x.amodal) for h, x in enumerate(track.hypotheses)]
    panels = [_render_frame(truth, track, masks, int(t)) for _, masks in rows for t in frames]
    return contact_sheet(panels, _COLUMNS, [f"{title}, frame {t}" for title, _ in rows for t in frames])


def _areas(masks: Sequence[Rle | None] | None) -> Iterator[int]:
    return (0 if mask is None else mask.area() for mask in masks or ())


def _render_frame(truth: ClipTracks, track: Track, amodal: Sequence[Rle | None], t: int) -> Frame:
    """Render one completion in one frame, over the visible masks of the other objects in grey, about 256 px large."""
    ground = np.full((truth.video.height, truth.video.width, 3), 60, dtype=np.uint8)
    for k, other in enumerate(truth.tracks):
        if other.id != track.id:
            ground[decode_or_empty(other.visible[t], ground[..., 0] > 0)] = 90 + 70 * k // len(truth.tracks)
    visible, whole = (None if mask is None else mask.decode() for mask in (track.visible[t], amodal[t]))
    picture = ground
    if visible is not None or whole is not None:
        picture = render_overlay(ground, [ObjectMasks(track.id, visible, whole, label="")])
    step = max(1, len(picture) // 256)
    return picture[::step, ::step]
