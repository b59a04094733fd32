"""Association of the instances of single frames with tracks, also after an object was occluded.

Of each living track, only the masks of its last sighting are kept in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float
from scipy.ndimage import center_of_mass, shift
from scipy.optimize import linear_sum_assignment

from vidamodal.types import FrameInstance, InputError

Mask = Bool[np.ndarray, "h w"]
MIN_SCORE = 1e-3
"""Lowest score of a pair that is allowed, however little speaks for it."""


@dataclass(frozen=True)
class TrackerConfig:
    """Rules for matching the instances of different frames to objects.

    In each frame, instances and tracks are paired so that the sum of their scores is the largest. First come the pairs
    that overlap. Their score is a weighted sum of the IoU of the amodal masks, the IoU of the visible masks and the
    relative similarity of their appearance; the masks of a track are moved on by its velocity. Then the remaining
    tracks are recovered by position or appearance; in this step the distance of the amodal masks' centres replaces the
    overlap. The remaining instances start new tracks.
    """

    amodal_weight: float = 1.0
    """Weight of the amodal masks."""
    visible_weight: float = 0.5
    """Weight of the visible masks."""
    appearance_weight: float = 0.5
    """Weight of the appearance."""
    min_overlap: float = 0.3
    """Minimum IoU, of the amodal or the visible masks, of pairs that overlap, and minimum ratio of the areas of pairs
    that are near each other."""
    reach: float = 0.35
    """Distance within which a track is recovered one frame after it was last seen, in square roots of its area; it
    grows with the square root of time. It is measured from the expected position and, for a track that was occluded,
    also from the last one."""
    min_similarity: float = 0.98
    """Minimum cosine of appearances by which a track is recovered anywhere. Features of one frame are all similar: of
    the pairs of the bundled segmenter, 20 % exceed 0.9 and 1 % exceed 0.98."""
    min_birth_score: float = 0.35
    """Minimum score of an instance that starts a track. Weaker ones only continue a track."""
    patience: int = 7
    """Number of frames in which a track may be missing; frames in which it is occluded do not count."""
    occluded_share: float = 0.5
    """A track is occluded if this share of its expected amodal mask lies under the visible masks of other objects."""
    max_unseen: int = 48
    """Number of frames after which an unseen track ends, occluded or not."""
    inertia: float = 0.5
    """Weight of the old velocity and appearance in the running mean with the new ones."""
    min_frames: int = 2
    """Tracks that were seen in fewer frames are dropped, unless the video is shorter."""

    def __post_init__(self) -> None:
        """Raise InputError if a number is out of range."""
        for name, value in vars(self).items():
            least = 1 if name == "min_frames" else 0
            if not (value >= least and (name != "inertia" or value <= 1)):
                raise InputError(
                    f"tracker: {name} must be at least {least}{' and at most 1' * (name == 'inertia')}, not {value}"
                )


@dataclass
class _LiveTrack:
    """A track that may continue."""

    id: int
    frame: int
    """The frame in which it was last seen, with the masks, appearance and centre (row, column) below."""
    amodal: Bool[np.ndarray, "s s"]
    visible: Bool[np.ndarray, "s s"]
    appearance: Float[np.ndarray, " d"] | None
    centre: Float[np.ndarray, " 2"]
    velocity: Float[np.ndarray, " 2"] = field(default_factory=lambda: np.zeros(2))
    """Rows and columns a frame."""
    missed: int = 0
    """Frames since then in which it should have been visible."""

    @staticmethod
    def start(number: int, frame: int, instance: FrameInstance) -> _LiveTrack:
        centre = np.array(center_of_mass(instance.amodal))
        return _LiveTrack(number, frame, instance.amodal, instance.visible, instance.appearance, centre)

    def expected_masks(self, frame: int) -> tuple[Bool[np.ndarray, "s s"], Bool[np.ndarray, "s s"]]:
        """Its amodal and visible mask in a later frame, moved on by its velocity."""
        step = np.rint(self.velocity * (frame - self.frame))
        if not step.any():
            return self.amodal, self.visible
        return shift_mask(self.amodal, step), shift_mask(self.visible, step)

    def expected_centre(self, frame: int) -> Float[np.ndarray, " 2"]:
        centre: Float[np.ndarray, " 2"] = self.centre + self.velocity * (frame - self.frame)
        return centre

    def update(self, frame: int, instance: FrameInstance, inertia: float) -> None:
        """Continue the track with an instance of a later frame."""
        centre = np.array(center_of_mass(instance.amodal))
        self.velocity = inertia * self.velocity + (1 - inertia) * (centre - self.centre) / (frame - self.frame)
        if instance.appearance is not None:
            old = instance.appearance if self.appearance is None else self.appearance
            mean = inertia * old + (1 - inertia) * instance.appearance
            self.appearance = mean / max(float(np.linalg.norm(mean)), 1e-9)
        self.frame, self.amodal, self.visible, self.centre = frame, instance.amodal, instance.visible, centre
        self.missed = 0


@dataclass(frozen=True)
class _Candidates:
    """The n instances and m living tracks that are compared in one frame."""

    frame: int
    instances: list[FrameInstance]
    tracks: list[_LiveTrack]
    expected: list[tuple[Mask, Mask]]
    """Expected amodal and visible mask of each track."""
    cosines: Float[np.ndarray, "n m"]
    """Cosines of the appearances; NaN where one is unknown."""


@dataclass
class Tracker:
    """Assigns track ids to the instances of successive frames.

    The order of a frame's instances affects only the numbers of new tracks.
    """

    rules: TrackerConfig = field(default_factory=TrackerConfig)
    _tracks: list[_LiveTrack] = field(default_factory=list)
    _next_id: int = 1

    def update(self, frame: int, instances: Sequence[FrameInstance]) -> list[int | None]:
        """Return the track ids of a frame's instances; None for an instance that is too weak to start a track.

        Args:
            frame: Frame number, one more than in the last call.
            instances: The instances of the frame.
        """
        self._tracks = sorted(filter(lambda track: self._is_alive(track, frame), self._tracks), key=_track_sort_key)
        # Sorted, because the assignment takes the first of equal pairs.
        rows = sorted((k for k, one in enumerate(instances) if one.amodal.any()), key=lambda k: _sort_key(instances[k]))
        candidates = self._compare(frame, [instances[k] for k in rows])
        pairs = {rows[row]: track for row, track in self._assign(candidates).items()}
        self._count_missed(candidates, instances, list(pairs.values()))
        return [self._continue(frame, one, pairs.get(k), k in rows) for k, one in enumerate(instances)]

    def _is_alive(self, track: _LiveTrack, frame: int) -> bool:
        return track.missed <= self.rules.patience and frame - track.frame <= self.rules.max_unseen

    def _compare(self, frame: int, instances: list[FrameInstance]) -> _Candidates:
        cosines = np.full((len(instances), len(self._tracks)), np.nan)
        for k, one in enumerate(instances):
            for j, track in enumerate(self._tracks):
                if one.appearance is not None and track.appearance is not None:
                    cosines[k, j] = one.appearance @ track.appearance
        expected = [track.expected_masks(frame) for track in self._tracks]
        return _Candidates(frame, instances, list(self._tracks), expected, cosines)

    def _assign(self, candidates: _Candidates) -> dict[int, _LiveTrack]:
        """The track of each instance that continues one: by overlap first, then by position or appearance."""
        pairs: dict[int, int] = {}
        for scores in (self._overlap_scores(candidates), self._recovery_scores(candidates)):
            free = [k for k in range(len(candidates.instances)) if k not in pairs]
            waiting = [j for j in range(len(candidates.tracks)) if j not in pairs.values()]
            for row, column in zip(*linear_sum_assignment(-scores[np.ix_(free, waiting)]), strict=True):
                if scores[free[row], waiting[column]] > 0:
                    pairs[free[row]] = waiting[column]
        return {k: candidates.tracks[j] for k, j in pairs.items()}

    def _overlap_scores(self, candidates: _Candidates) -> Float[np.ndarray, "n m"]:
        """The scores of pairs that overlap, 0 for all others."""
        amodal = _pairwise_iou([one.amodal for one in candidates.instances], [m for m, _ in candidates.expected])
        visible = _pairwise_iou([one.visible for one in candidates.instances], [m for _, m in candidates.expected])
        scores = self.rules.amodal_weight * amodal + self.rules.visible_weight * visible
        scores += self.rules.appearance_weight * _relative_similarity(candidates.cosines)
        return np.where(np.maximum(amodal, visible) >= self.rules.min_overlap, scores, 0.0)

    def _recovery_scores(self, candidates: _Candidates) -> Float[np.ndarray, "n m"]:
        """The scores of pairs that are near each other or look alike, 0 for all others."""
        rules, tracks, cosines = self.rules, candidates.tracks, candidates.cosines
        area = np.array([np.count_nonzero(one.amodal) for one in candidates.instances], dtype=float)[:, None]
        track_area = np.array([np.count_nonzero(track.amodal) for track in tracks], dtype=float)[None]
        ratio = np.minimum(area, track_area) / np.maximum(area, track_area)
        near = self._nearness(candidates, np.maximum(area, track_area))
        near = np.where(ratio >= rules.min_overlap, near, 0.0)
        scores = rules.amodal_weight * near * ratio + rules.appearance_weight * _relative_similarity(cosines)
        allowed = (near > 0) | (np.nan_to_num(cosines, nan=-1.0) >= rules.min_similarity)
        return np.where(allowed, np.maximum(scores, MIN_SCORE), 0.0)

    def _nearness(self, candidates: _Candidates, area: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
        """1 where the centres coincide, falling to 0 at the reach."""
        frame, tracks = candidates.frame, candidates.tracks
        centres = np.array([center_of_mass(one.amodal) for one in candidates.instances]).reshape(-1, 1, 2)
        expected = np.array([track.expected_centre(frame) for track in tracks]).reshape(1, -1, 2)
        last = np.array([track.centre for track in tracks]).reshape(1, -1, 2)
        was_occluded = np.array([frame - track.frame - 1 > track.missed for track in tracks], dtype=bool)
        since = np.array([frame - track.frame for track in tracks], dtype=float)[None]

        def within_reach(centre: Float[np.ndarray, "1 m 2"]) -> Float[np.ndarray, "n m"]:
            if not self.rules.reach:
                return np.zeros(area.shape)
            distance = np.linalg.norm(centres - centre, axis=2) / np.sqrt(area * since)
            return np.asarray(np.maximum(0, 1 - distance / self.rules.reach))

        near = within_reach(expected)
        # An occluded object may have stopped or turned back behind its occluder.
        return np.where((near == 0) & was_occluded, within_reach(last), near)

    def _count_missed(
        self, candidates: _Candidates, instances: Sequence[FrameInstance], continued: Sequence[_LiveTrack]
    ) -> None:
        """Count the frame as missed for the tracks that should be visible in it and are not."""
        seen = {track.id for track in continued}
        shown = np.any([one.visible for one in instances], axis=0) if instances else None
        for track, (amodal, _) in zip(candidates.tracks, candidates.expected, strict=True):
            if track.id in seen:
                continue
            covered = 0 if shown is None else np.count_nonzero(amodal & shown)
            track.missed += int(covered < max(self.rules.occluded_share * np.count_nonzero(amodal), 1))

    def _continue(self, frame: int, instance: FrameInstance, track: _LiveTrack | None, is_valid: bool) -> int | None:
        """Continue a track with an instance, or start a new one if it is strong enough; return its id."""
        if track is not None:
            track.update(frame, instance, self.rules.inertia)
            return track.id
        if not is_valid or instance.score < self.rules.min_birth_score:
            return None
        track = _LiveTrack.start(self._next_id, frame, instance)
        self._tracks.append(track)
        self._next_id += 1
        return track.id


def shift_mask(mask: Bool[np.ndarray, "h w"], step: Float[np.ndarray, " 2"]) -> Bool[np.ndarray, "h w"]:
    """Return a mask shifted by whole rows and columns."""
    return np.asarray(shift(mask.astype(np.uint8), step, order=0, prefilter=False) > 0)


def _pairwise_iou(ones: Sequence[Mask], others: Sequence[Mask]) -> Float[np.ndarray, "n m"]:
    """IoU of every pair; 0 if both are empty."""
    if not ones or not others:
        return np.zeros((len(ones), len(others)))
    one, other = (rearrange(np.stack(m), "n h w -> n (h w)").astype(np.float32) for m in (ones, others))
    shared = one @ other.T
    return np.asarray(shared / np.maximum(one.sum(axis=1)[:, None] + other.sum(axis=1)[None] - shared, 1))


def _relative_similarity(cosines: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
    """How much an instance resembles a track more than it resembles the tracks on average; 0 where unknown."""
    known = np.isfinite(cosines)
    mean = np.where(known, cosines, 0).sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, cosines - mean, 0.0)


def _sort_key(instance: FrameInstance) -> tuple[float, bytes, bytes]:
    """Orders instances by their content, so that the order in which they come does not matter."""
    return -instance.score, np.packbits(instance.amodal).tobytes(), np.packbits(instance.visible).tobytes()


def _track_sort_key(track: _LiveTrack) -> tuple[int, bytes, bytes, tuple[float, ...]]:
    """Orders tracks by their content, not by their ids."""
    amodal, visible = (np.packbits(mask).tobytes() for mask in (track.amodal, track.visible))
    return track.frame, amodal, visible, tuple(track.velocity.tolist())
