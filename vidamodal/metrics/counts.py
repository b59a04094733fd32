"""The prediction store: pixel counts of each object-frame, from which every measure and protocol is computed.

Everywhere in this package P is the predicted amodal mask of an object, A its true amodal mask, V its true visible mask
and O the union of the true visible masks of all other objects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from vidamodal.metrics.averages import area_ratio
from vidamodal.occlusion.thresholds import least_counted_area

_OCCLUDED_FROM = 20
"""An object counts as occluded if at least 1/20 = 5 % of its amodal area is occluded."""


@dataclass(frozen=True)
class IouTable:
    """IoU of n predicted masks with m true masks of one frame, or of n predicted with m true tracks of one video.

    Empty masks and tracks are left out.
    """

    predicted_ids: tuple[int, ...]
    true_ids: tuple[int, ...]
    iou: Float[np.ndarray, "n m"]
    score: Float[np.ndarray, " n"]
    """Confidence of each prediction."""
    ignored: Bool[np.ndarray, " m"]
    """True masks that may be detected but need not be, such as those of fully occluded objects."""
    predicted_layer: Int[np.ndarray, " n"]
    """Occlusion layer of each predicted mask, 1 in front."""
    true_layer: Int[np.ndarray, " m"]

    def with_perfect_prediction(self) -> IouTable:
        """Return the table of a perfect predictor: every true mask with confidence 1 in its layer, and nothing else."""
        count = len(self.true_ids)
        return IouTable(
            self.true_ids, self.true_ids, np.eye(count), np.ones(count), self.ignored, self.true_layer, self.true_layer
        )

    def requiring_only(self, required: Bool[np.ndarray, " m"]) -> IouTable:
        """Return the table with all true masks ignored that are not required."""
        return replace(self, ignored=self.ignored | ~required)

    def with_predictions(self, kept: Bool[np.ndarray, " n"]) -> IouTable:
        """Return the table without the predictions for which ``kept`` is false."""
        return replace(
            self,
            predicted_ids=tuple(number for number, keep in zip(self.predicted_ids, kept, strict=True) if keep),
            iou=self.iou[kept],
            score=self.score[kept],
            predicted_layer=self.predicted_layer[kept],
        )


@dataclass(frozen=True)
class TrackCounts:
    """Pixel counts of one ground-truth track and its prediction, one entry per frame.

    ``boundary_f``, ``adaptive_f``, ``drift`` and ``eroded`` are NaN, NaN, NaN and 0 if the video was counted without
    shapes.
    """

    id: int
    height: int
    """Height of the image in pixels."""
    cells: Int[np.ndarray, "t 2 2 2 2"]
    """``cells[t, p, a, v, o]``: pixels inside (1) or outside (0) P, A, V and O; they add up to the image."""
    error_change: Int[np.ndarray, " t"]
    """|E_t xor E_t-1| with the error mask E = P xor A; 0 if frame t - 1 is not known."""
    known: Bool[np.ndarray, " t"]
    """Frames in which the ground truth has both A and V; all counts of other frames are 0."""
    leaving: Bool[np.ndarray, " t"]
    """Frames in which A touches the border of the image or, if the ground truth has a canvas, extends beyond it."""
    eroded: Int[np.ndarray, "t 3"]
    """Areas of P minus V, of A minus V, each eroded by 5 x 5 pixels, and of their intersection."""
    boundary_f: Float[np.ndarray, " t"]
    """DAVIS' boundary F of P and A; NaN if A is empty."""
    adaptive_f: Float[np.ndarray, " t"]
    """MOSEv2's boundary F of P and A; NaN if A is empty."""
    drift: Float[np.ndarray, " t"]
    """Distance of the centroids of P and A over the square root of A's area; NaN unless V is empty and P and A are
    not."""

    def pixels(
        self, p: int | None = None, a: int | None = None, v: int | None = None, o: int | None = None
    ) -> Int[np.ndarray, " t"]:
        """Return the number of pixels inside (1), outside (0) or regardless of (None) P, A, V and O in every frame."""
        sides = (slice(None) if side is None else slice(side, side + 1) for side in (p, a, v, o))
        return np.asarray(self.cells[(slice(None), *sides)].sum(axis=(1, 2, 3, 4)))

    @property
    def scored(self) -> Bool[np.ndarray, " t"]:
        """Frames that the primary protocol scores: at least 64 amodal pixels when scaled to a height of 256."""
        return np.asarray(self.known & (self.pixels(a=1) >= least_counted_area(self.height)))

    @property
    def visible(self) -> Bool[np.ndarray, " t"]:
        """Known frames with at least one visible pixel."""
        return np.asarray(self.pixels(v=1) > 0)

    @property
    def present(self) -> Bool[np.ndarray, " t"]:
        """Known frames with at least one amodal pixel."""
        return self.pixels(a=1) > 0

    @property
    def occluded(self) -> Bool[np.ndarray, " t"]:
        """Frames in which at least 5 % of A is occluded."""
        return self.pixels(a=1, v=0) * _OCCLUDED_FROM >= self.pixels(a=1)

    @property
    def occluded_share(self) -> Float[np.ndarray, " t"]:
        """Occluded share of A in every frame, 0 where A is empty."""
        return area_ratio(self.pixels(a=1, v=0), self.pixels(a=1))

    @property
    def iou(self) -> Float[np.ndarray, " t"]:
        """IoU of P and A in every frame, 0 where both are empty."""
        return area_ratio(self.pixels(p=1, a=1), self.pixels() - self.pixels(p=0, a=0))

    @property
    def occluded_iou(self) -> Float[np.ndarray, " t"]:
        """IoU of P minus V and A minus V in every frame, 0 where both are empty."""
        return area_ratio(self.pixels(p=1, a=1, v=0), self.pixels(v=0) - self.pixels(p=0, a=0, v=0))

    def with_perfect_prediction(self) -> TrackCounts:
        """Return the counts of a perfect predictor on the same ground truth: P = A."""
        cells = np.zeros_like(self.cells)
        for side in (0, 1):
            cells[:, side, side] = self.cells[:, :, side].sum(axis=1)
        return replace(
            self,
            cells=cells,
            error_change=np.zeros_like(self.error_change),
            eroded=self.eroded[:, [1, 1, 1]],
            boundary_f=np.where(np.isnan(self.boundary_f), np.nan, 1.0),
            adaptive_f=np.where(np.isnan(self.adaptive_f), np.nan, 1.0),
            drift=np.where(self.present & ~self.visible, 0.0, np.nan),
        )


@dataclass(frozen=True)
class BoxCounts:
    """Comparison of one ground-truth track of amodal boxes with its prediction, one entry per frame."""

    id: int
    iou: Float[np.ndarray, " t"]
    """IoU of the predicted and the true box, both cut to the image; NaN in frames without a true box."""
    occlusion: Int[np.ndarray, " t"]
    """Annotated occlusion level (see `Track.occlusion`), 3 where it is not annotated."""
    truncated: Bool[np.ndarray, " t"]
    """True if the object is annotated to extend beyond the image, or its true box does."""
    gone: Bool[np.ndarray, " t"]
    """Frames before the first and after the last true box, in which the prediction has an amodal mask or knows that
    there is none."""
    ghosts: Bool[np.ndarray, " t"]
    """Frames of ``gone`` with a predicted mask of at least 64 pixels when scaled to a height of 256."""


@dataclass(frozen=True)
class VideoCounts:
    """Counts of one video: its scored tracks, which are ever visible and have a true amodal mask."""

    key: str
    """Name of the video within its data set."""
    tracks: tuple[TrackCounts, ...]
    frame_ious: tuple[IouTable, ...] = ()
    """One table per frame, which includes predicted tracks that the ground truth does not have; empty if the video was
    counted without shapes."""
    track_ious: IouTable | None = None
    """IoU of whole tracks, with intersections and unions summed over the frames; None likewise."""
    hypotheses: tuple[tuple[TrackCounts, ...], ...] = ()
    """Counts of all sampled hypotheses of each track in ``tracks``; empty if the prediction has none."""
    boxes: tuple[BoxCounts, ...] = ()
    """Counts of the tracks whose ground truth has amodal boxes."""
    copied_boxes: tuple[BoxCounts, ...] = ()
    """The same for the boxes of the visible masks that the prediction repeats."""
    exhaustive: bool = False
    """True if the prediction was made for an exhaustive scene."""

    def with_perfect_prediction(self) -> VideoCounts:
        """Return the counts of a perfect predictor on the same ground truth."""
        return VideoCounts(
            self.key,
            tuple(track.with_perfect_prediction() for track in self.tracks),
            tuple(table.with_perfect_prediction() for table in self.frame_ious),
            self.track_ious and self.track_ious.with_perfect_prediction(),
            exhaustive=self.exhaustive,
        )
