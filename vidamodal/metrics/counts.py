"""The prediction store: each object-frame is counted once, and every measure and protocol is read off the counts.

Areas are counted on run lengths, so their cost depends on the outlines of the masks, not on the size of the frame; only
outlines, erosion and centres look at pixels, in a box around the object. A clip leaves numbers behind, never masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from pycocotools import mask as coco

from vidamodal.metrics.detection import Matches
from vidamodal.metrics.shapes import boundary_f, boundary_reach, centre, erode
from vidamodal.occlusion.layers import layers_from_order
from vidamodal.occlusion.order import order_from_visible
from vidamodal.occlusion.thresholds import least_counted_area
from vidamodal.rle import Packed, overlaps, pack, shared_area
from vidamodal.types import ClipTracks, Rle, Track

_MASKS = 4  # P, A, V and O


@dataclass(frozen=True)
class TrackCounts:
    """One track in numbers; one entry a frame.

    P is the predicted, A the true amodal and V the true visible mask, O what is visible of all other objects.
    ``cells[t, p, a, v, o]`` counts the pixels inside (1) or outside (0) of each: a frame's cells make up the image.
    ``change[t]`` is |E_t xor E_t-1| with the error mask E = P xor A; 0 where frame t - 1 is not known.
    ``known[t]`` says that the truth tells both A and V; all counts of other frames are 0.
    ``leaving[t]``: A touches the border of the image or, where the truth has a canvas, goes on beyond it.
    ``eroded[t]`` holds the areas of P minus V, of A minus V and of what they share, each of the two eroded by 5 x 5
    pixels. ``boundary[t]`` is DAVIS' F of P and A, NaN where A is empty. ``drift[t]`` is the distance of the centres of
    P and A over the square root of A's area, NaN where V is not empty or P or A is. These three are 0, NaN and NaN in
    a store counted without shapes.
    """

    id: int
    height: int
    cells: Int[np.ndarray, "t 2 2 2 2"]
    change: Int[np.ndarray, " t"]
    known: Bool[np.ndarray, " t"]
    leaving: Bool[np.ndarray, " t"]
    eroded: Int[np.ndarray, "t 3"]
    boundary: Float[np.ndarray, " t"]
    drift: Float[np.ndarray, " t"]

    def pixels(
        self, p: int | None = None, a: int | None = None, v: int | None = None, o: int | None = None
    ) -> Int[np.ndarray, " t"]:
        """Pixels inside (1), outside (0) or wherever (None) of P, A, V and O in every frame."""
        sides = (slice(None) if side is None else slice(side, side + 1) for side in (p, a, v, o))
        return self.cells[(slice(None), *sides)].sum(axis=(1, 2, 3, 4))

    @property
    def counted(self) -> Bool[np.ndarray, " t"]:
        """Frames that the primary protocol scores: at least 64 amodal pixels when scaled to a height of 256."""
        return self.known & (self.pixels(a=1) >= least_counted_area(self.height))

    @property
    def seen(self) -> Bool[np.ndarray, " t"]:
        """Known frames with at least one visible pixel."""
        return self.pixels(v=1) > 0

    @property
    def present(self) -> Bool[np.ndarray, " t"]:
        """Known frames with at least one amodal pixel."""
        return self.pixels(a=1) > 0

    @property
    def hidden_share(self) -> Float[np.ndarray, " t"]:
        """Hidden share of A in every frame, 0 where A is empty."""
        return _ratio(self.pixels(a=1, v=0), self.pixels(a=1))

    @property
    def iou(self) -> Float[np.ndarray, " t"]:
        """IoU of P and A in every frame, 0 where both are empty."""
        return _ratio(self.pixels(p=1, a=1), self.pixels() - self.pixels(p=0, a=0))

    @property
    def iou_outside_visible(self) -> Float[np.ndarray, " t"]:
        """IoU of P minus V and A minus V in every frame, 0 where both are empty."""
        return _ratio(self.pixels(p=1, a=1, v=0), self.pixels(v=0) - self.pixels(p=0, a=0, v=0))

    def perfected(self) -> TrackCounts:
        """The counts of a perfect predictor on the same truth: P = A."""
        cells = np.zeros_like(self.cells)
        for side in (0, 1):
            cells[:, side, side] = self.cells[:, :, side].sum(axis=1)
        hidden = self.present & ~self.seen
        return replace(
            self,
            cells=cells,
            change=np.zeros_like(self.change),
            eroded=self.eroded[:, [1, 1, 1]],
            boundary=np.where(np.isnan(self.boundary), np.nan, 1.0),
            drift=np.where(hidden, 0.0, np.nan),
        )


@dataclass(frozen=True)
class VideoCounts:
    """The scored tracks of one video: those that are ever visible and have an amodal truth.

    ``frames`` say, one entry a frame, how all predicted masks lie on the true ones, also those of tracks that the truth
    does not have; ``whole`` says it of whole tracks, with intersections and unions summed over the frames.
    """

    key: str
    tracks: tuple[TrackCounts, ...]
    frames: tuple[Matches, ...] = ()
    whole: Matches | None = None

    def perfected(self) -> VideoCounts:
        """The counts of a perfect predictor on the same truth."""
        return VideoCounts(
            self.key,
            tuple(track.perfected() for track in self.tracks),
            tuple(frame.perfected() for frame in self.frames),
            self.whole and self.whole.perfected(),
        )


def scored_tracks(truth: ClipTracks) -> tuple[Track, ...]:
    """The tracks of a truth that are scored: ever visible, with amodal masks."""
    return tuple(track for track in truth.tracks if track.amodal is not None and track.ever_visible)


def count_video(key: str, prediction: ClipTracks | None, truth: ClipTracks, shapes: bool = True) -> VideoCounts:
    """Counts a video. Tracks match by id; one that is missing, or without amodal masks, is empty in every frame.

    Both must have the same size and length; ``prediction`` None stands for a video without any. ``shapes`` False
    leaves out what the primary protocol does without: outlines, erosion, drift and matches, most of the time spent.
    """
    scored = scored_tracks(truth)
    predicted = {track.id: track.amodal for track in prediction.tracks} if prediction else {}
    others = _others(scored, truth)
    tracks = tuple(_count_track(predicted.get(track.id), track, others[track.id], truth, shapes) for track in scored)
    if not shapes:
        return VideoCounts(key, tracks)
    frames, whole = _matches(scored, prediction, truth)
    return VideoCounts(key, tracks, frames, whole)


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are not None; None if there is none."""
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None


def _count_track(
    prediction: Sequence[Rle | None] | None,
    truth: Track,
    others: Sequence[Packed],
    clip: ClipTracks,
    shapes: bool,
) -> TrackCounts:
    """Counts one track against the predicted amodal masks; None, in whole or for a frame, is empty."""
    height, width, frames = clip.video.height, clip.video.width, clip.video.frames
    empty = pack(Rle.empty(height, width))
    reach = boundary_reach(height, width)
    # inside[t, p, a, v, o]: area of the intersection of those of P, A, V and O whose index is 1
    inside = np.zeros((frames, *(2,) * _MASKS), dtype=np.int64)
    change = np.zeros(frames, dtype=np.int64)
    known, leaving = np.zeros((2, frames), dtype=bool)
    eroded = np.zeros((frames, 3), dtype=np.int64)
    boundary, drift = np.full((2, frames), np.nan)
    previous: _Error | None = None
    for t, (mask, a, v) in enumerate(
        zip(prediction or (None,) * frames, truth.amodal or (), truth.visible, strict=True)
    ):
        if a is None or v is None:
            previous = None
            continue
        known[t] = True
        leaving[t] = _leaves(truth, t, clip)
        p = pack(mask) if mask is not None else empty
        inside[t] = _intersections((p, pack(a), pack(v), others[t]), height * width)
        error = _Error.between(p, pack(a))
        change[t] = error.change(previous) if previous else 0
        previous = error
        if shapes and inside[t, 0, 1, 0, 0]:
            predicted, true, visible = _cut((p, pack(a), pack(v)))
            boundary[t] = boundary_f(predicted, true, reach)
            if not visible.any() and predicted.any():
                offset = centre(predicted) - centre(true)
                drift[t] = np.hypot(*offset) / np.sqrt(np.count_nonzero(true))
            hidden = [erode(m & ~visible) for m in (predicted, true)]
            eroded[t] = [np.count_nonzero(m) for m in (*hidden, hidden[0] & hidden[1])]
    return TrackCounts(truth.id, height, _cells(inside), change, known, leaving, eroded, boundary, drift)


def _intersections(masks: Sequence[Packed], image: int) -> Int[np.ndarray, "2 2 2 2"]:
    """The area shared by each subset of the masks; the empty subset shares the image."""
    areas = np.zeros(1 << len(masks), dtype=np.int64)
    areas[0] = image
    shared: dict[int, Packed] = {}
    for subset in range(1, len(areas)):
        rest = subset & (subset - 1)
        lowest = masks[(subset ^ rest).bit_length() - 1]
        if rest and not areas[rest]:
            continue
        shared[subset] = coco.merge([shared[rest], lowest], intersect=True) if rest else lowest
        areas[subset] = coco.area(shared[subset])
    return areas.reshape(
        (2,) * len(masks)
    ).transpose()  # bit 0 of a subset, the fastest axis, stands for the first mask


def _cells(inside: Int[np.ndarray, "t 2 2 2 2"]) -> Int[np.ndarray, "t 2 2 2 2"]:
    """From areas of intersections to areas of the disjoint cells: outside a mask = everywhere minus inside it."""
    cells = inside.copy()
    for axis in range(1, cells.ndim):
        everywhere, within = (np.take(cells, side, axis=axis) for side in (0, 1))
        cells = np.stack([everywhere - within, within], axis=axis)
    return cells


def _leaves(track: Track, t: int, clip: ClipTracks) -> bool:
    amodal = track.amodal[t] if track.amodal else None
    beyond = track.amodal_full[t] if track.amodal_full else None
    if amodal is not None and beyond is not None:
        return beyond.area() > amodal.area()
    box = amodal.box() if amodal is not None else None
    if box is None:
        return False
    return box[0] == 0 or box[1] == 0 or box[2] == clip.video.height or box[3] == clip.video.width


def _others(scored: Sequence[Track], truth: ClipTracks) -> dict[int, list[Packed]]:
    """What is visible of all other tracks, frame by frame, for each scored track."""
    empty = pack(Rle.empty(truth.video.height, truth.video.width))
    wanted = {track.id for track in scored}
    others: dict[int, list[Packed]] = {number: [] for number in wanted}
    for t in range(truth.video.frames):
        seen = [pack(v) if (v := track.visible[t]) is not None else empty for track in truth.tracks]
        before, after = [empty], [empty]
        for forward, backward in zip(seen, reversed(seen), strict=True):
            before.append(coco.merge([before[-1], forward]))
            after.append(coco.merge([after[-1], backward]))
        for k, track in enumerate(truth.tracks):
            if track.id in wanted:
                others[track.id].append(coco.merge([before[k], after[len(seen) - 1 - k]]))
    return others


def _matches(
    scored: Sequence[Track], prediction: ClipTracks | None, truth: ClipTracks
) -> tuple[tuple[Matches, ...], Matches]:
    """How predicted masks lie on true ones: in every frame, and over the whole video.

    An object with nothing visible in a frame is there to be matched, but neither missed nor asked for. What the truth
    does not know is no false alarm: tracks that are not scored, and those of frames where it is null, are left out.
    """
    unscored = {track.id for track in truth.tracks} - {track.id for track in scored}
    given = [t for t in prediction.tracks if t.amodal is not None and t.id not in unscored] if prediction else []
    shared = np.zeros((len(given), len(scored)))
    united = np.zeros_like(shared)
    scores: list[list[float]] = [[] for _ in given]
    frames = []
    for t in range(truth.video.frames):
        blank = {track.id for track in scored if not _is_known(track, t)}
        known = [g for g, track in enumerate(scored) if track.id not in blank]
        found = [d for d, track in enumerate(given) if track.id not in blank] if known else []
        predicted, true = (
            {k: mask for k in ks if (mask := (tracks[k].amodal or ())[t]) is not None and mask.area()}
            for ks, tracks in ((found, given), (known, scored))
        )
        iou, common, areas, true_areas = overlaps(list(predicted.values()), list(true.values()))
        shared[np.ix_(list(predicted), list(true))] += common
        for d, area in zip(predicted, areas, strict=True):
            united[d, known] += area
        for g, area in zip(true, true_areas, strict=True):
            united[:, g] += area
        for d in predicted:
            confidence = given[d].confidence
            score = confidence[t] if confidence is not None else None
            scores[d].append(1.0 if score is None else score)
        guessed, actual = (
            _layers(clip, tracks, masks, t)
            for clip, tracks, masks in ((prediction or truth, given, predicted), (truth, scored, true))
        )
        frames.append(
            Matches(
                tuple(given[d].id for d in predicted),
                tuple(scored[g].id for g in true),
                iou,
                np.array([scores[d][-1] for d in predicted]),
                np.array([not _shows(scored[g], t) for g in true], dtype=bool),
                guessed,
                actual,
            )
        )
    united -= shared
    whole = [d for d, score in enumerate(scores) if score]
    present = [g for g, track in enumerate(scored) if any(m is not None and m.area() for m in track.amodal or ())]
    ones = np.ones(len(present), dtype=np.int64)
    return tuple(frames), Matches(
        tuple(given[d].id for d in whole),
        tuple(scored[g].id for g in present),
        _ratio(shared, united)[np.ix_(whole, present)],
        np.array([np.mean(scores[d]) for d in whole]),
        np.zeros(len(present), dtype=bool),
        np.ones(len(whole), dtype=np.int64),
        ones,
    )


def _layers(clip: ClipTracks, tracks: Sequence[Track], masks: Mapping[int, Rle], t: int) -> Int[np.ndarray, " n"]:
    """The occlusion layers of the objects in one frame: by the clip's own order, or by what is seen to hide what."""
    ids = [tracks[k].id for k in masks]
    if clip.order is not None:
        return layers_from_order(ids, clip.order[t])
    visible = {tracks[k].id: v for k in masks if (v := tracks[k].visible[t]) is not None and v.area()}
    return layers_from_order(ids, order_from_visible({tracks[k].id: mask for k, mask in masks.items()}, visible))


def _is_known(track: Track, t: int) -> bool:
    return track.amodal is not None and track.amodal[t] is not None and track.visible[t] is not None


def _shows(track: Track, t: int) -> bool:
    visible = track.visible[t]
    return visible is not None and visible.area() > 0


def _cut(masks: Sequence[Packed]) -> list[Bool[np.ndarray, "h w"]]:
    """The masks within one box around them all, with an empty pixel on every side where the image goes on."""
    left, top, width, height = (int(v) for v in coco.toBbox(coco.merge(list(masks))))
    box = np.s_[max(top - 1, 0) : top + height + 1, max(left - 1, 0) : left + width + 1]
    return [coco.decode(mask)[box].astype(bool) for mask in masks]


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole; 0 where whole is 0."""
    return part / np.maximum(whole, 1)


@dataclass(frozen=True)
class _Error:
    """An error mask E = P xor A, held as the union and the intersection of P and A: E = union minus intersection."""

    union: Packed
    common: Packed
    area: int

    @staticmethod
    def between(p: Packed, a: Packed) -> _Error:
        union, common = coco.merge([p, a]), coco.merge([p, a], intersect=True)
        return _Error(union, common, shared_area(union) - shared_area(common))

    def change(self, other: _Error) -> int:
        """|E xor E'|; as common lies within union, |E and E'| follows by inclusion and exclusion."""
        both = (
            shared_area(self.union, other.union)
            - shared_area(self.union, other.common)
            - shared_area(self.common, other.union)
            + shared_area(self.common, other.common)
        )
        return self.area + other.area - 2 * both
