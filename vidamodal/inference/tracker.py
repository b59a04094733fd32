"""From instances of single frames to tracks: who is who, also after having been hidden.

What stays of a frame is run lengths and, of each living track, the masks it was last seen with.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float
from scipy.ndimage import center_of_mass, shift
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from vidamodal.geometry import Window, paste
from vidamodal.inference.predictor import Timings
from vidamodal.occlusion.order import OrderKeeper
from vidamodal.types import ClipTracks, FrameInstance, FrameOrder, InputError, Rle, Track, VideoInfo

Mask = Bool[np.ndarray, "h w"]
LEAST = 1e-3
"""Score of a pair that may be one object, however little speaks for it."""


@dataclass(frozen=True)
class Association:
    """When instances of different frames are one object.

    In each frame, instances and tracks are paired so that the sum of their scores is the greatest. First those that
    overlap: the score is a weighted sum of the IoU of the amodal masks, the IoU of the visible masks, and how much more
    alike the two are than the instance is to the tracks on average (by the cosine of the appearances, where they are
    told); a track's masks are moved on as it moved before. Then, among those left over, a track is found again by place
    or by appearance: in place of the overlap counts how near the centres of the amodal masks are. What remains begins
    new tracks.
    """

    amodal: float = 1.0
    """Weight of the amodal masks."""
    visible: float = 0.5
    """Weight of the visible masks."""
    appearance: float = 0.5
    """Weight of the appearance."""
    overlap: float = 0.3
    """Least IoU, of the amodal or of the visible masks, of a pair that overlaps; and least ratio of the areas of a pair
    that is near."""
    reach: float = 0.35
    """How far from its expected place a track is found again, in square roots of its area, one frame after it was seen;
    grows with the root of the time since. One that was hidden is else found as near to where it was last seen."""
    alike: float = 0.98
    """Least cosine of appearances by which a track is found again wherever it is. Features of one frame are all rather
    alike: of the pairs of the bundled segmenter one in five has more than 0.9, and one in a hundred more than 0.98."""
    birth: float = 0.35
    """Least score of an instance that begins a track. Those below only carry one on; the bundled segmenter leaves them
    out itself (``least_score``), since they led tracks astray."""
    patience: int = 7
    """Frames that a track may be missing from and be found again; those in which it is hidden do not count."""
    covered: float = 0.5
    """Share of a track's expected amodal mask under the visible masks of others from which it is hidden."""
    hidden: int = 48
    """Frames after which a track that is not seen ends, hidden or not."""
    inertia: float = 0.5
    """Share of its last movement, and of its appearance, that a track keeps in the mean with the new one."""
    least: int = 2
    """Tracks seen in fewer frames are left out, unless the video is shorter."""

    def __post_init__(self) -> None:
        """InputError for a number that means nothing."""
        for name, value in vars(self).items():
            if not (value >= (1 if name == "least" else 0) and (name != "inertia" or value <= 1)):
                raise InputError(f"association: {name} cannot be {value}")


@dataclass
class _Living:
    """A track that may go on: when and how it was last seen, how it moved (rows and columns a frame), and for how many
    frames it has been missed where it should show."""

    id: int
    frame: int
    amodal: Bool[np.ndarray, "s s"]
    visible: Bool[np.ndarray, "s s"]
    looks: Float[np.ndarray, " d"] | None
    centre: Float[np.ndarray, " 2"]
    speed: Float[np.ndarray, " 2"] = field(default_factory=lambda: np.zeros(2))
    missed: int = 0

    @staticmethod
    def born(number: int, frame: int, instance: FrameInstance) -> _Living:
        """A new one."""
        centre = np.array(center_of_mass(instance.amodal))
        return _Living(number, frame, instance.amodal, instance.visible, instance.appearance, centre)

    def expected(self, frame: int) -> tuple[Bool[np.ndarray, "s s"], Bool[np.ndarray, "s s"]]:
        """Its amodal and visible mask in a later frame."""
        step = np.rint(self.speed * (frame - self.frame))
        if not step.any():
            return self.amodal, self.visible
        return moved(self.amodal, step), moved(self.visible, step)

    def place(self, frame: int) -> Float[np.ndarray, " 2"]:
        """Where the centre of its amodal mask is expected."""
        return self.centre + self.speed * (frame - self.frame)

    def see(self, frame: int, instance: FrameInstance, inertia: float) -> None:
        """It is this instance."""
        centre = np.array(center_of_mass(instance.amodal))
        self.speed = inertia * self.speed + (1 - inertia) * (centre - self.centre) / (frame - self.frame)
        if instance.appearance is not None:
            old = instance.appearance if self.looks is None else self.looks
            mixed = inertia * old + (1 - inertia) * instance.appearance
            self.looks = mixed / max(float(np.linalg.norm(mixed)), 1e-9)
        self.frame, self.amodal, self.visible, self.centre = frame, instance.amodal, instance.visible, centre
        self.missed = 0


@dataclass
class Tracker:
    """Gives the instances of one frame after the other the ids of their tracks.

    The order in which a frame's instances come decides nothing but the numbers of new tracks.
    """

    rules: Association = field(default_factory=Association)
    _living: list[_Living] = field(default_factory=list)
    _next: int = 1

    def follow(self, frame: int, instances: Sequence[FrameInstance]) -> list[int | None]:
        """The ids of a frame's instances; None for one that is of no track and too weak to begin one. Frame numbers
        rise by one from call to call."""
        rules = self.rules
        self._living = sorted(
            (k for k in self._living if k.missed <= rules.patience and frame - k.frame <= rules.hidden), key=_track_key
        )
        places = sorted((k for k, one in enumerate(instances) if one.amodal.any()), key=lambda k: _key(instances[k]))
        expected = [track.expected(frame) for track in self._living]
        seen = [instances[k] for k in places]
        cosine = self._cosines(seen)
        found: dict[int, _Living] = {}
        for scores in (self._overlap(seen, expected, cosine), self._nearness(frame, seen, cosine)):
            taken = {id(track) for track in found.values()}
            free = [row for row, k in enumerate(places) if k not in found]
            waiting = [j for j, track in enumerate(self._living) if id(track) not in taken]
            for row, j in zip(*linear_sum_assignment(-scores[np.ix_(free, waiting)]), strict=True):
                if scores[free[row], waiting[j]] > 0:
                    found[places[free[row]]] = self._living[waiting[j]]
        self._miss(frame, instances, found, expected)
        ids: list[int | None] = []
        for k, instance in enumerate(instances):
            if k in found:
                found[k].see(frame, instance, rules.inertia)
                ids.append(found[k].id)
            elif k in places and instance.score >= rules.birth:
                self._living.append(_Living.born(self._next, frame, instance))
                ids.append(self._next)
                self._next += 1
            else:
                ids.append(None)
        return ids

    def _overlap(
        self, seen: Sequence[FrameInstance], expected: Sequence[tuple[Mask, Mask]], cosine: Float[np.ndarray, "n m"]
    ) -> Float[np.ndarray, "n m"]:
        """The scores of pairs that overlap, 0 of others."""
        amodal = _ious([one.amodal for one in seen], [masks[0] for masks in expected])
        visible = _ious([one.visible for one in seen], [masks[1] for masks in expected])
        scores = self.rules.amodal * amodal + self.rules.visible * visible
        scores += self.rules.appearance * _likeness(cosine)
        return np.where(np.maximum(amodal, visible) >= self.rules.overlap, scores, 0.0)

    def _nearness(
        self, frame: int, seen: Sequence[FrameInstance], cosine: Float[np.ndarray, "n m"]
    ) -> Float[np.ndarray, "n m"]:
        """The scores of pairs that are near or look alike, 0 of others."""
        rules, shape = self.rules, cosine.shape
        here = np.array([center_of_mass(one.amodal) for one in seen]).reshape(-1, 1, 2)
        there = np.array([track.place(frame) for track in self._living]).reshape(1, -1, 2)
        last = np.array([track.centre for track in self._living]).reshape(1, -1, 2)
        hidden = np.array([frame - track.frame - 1 > track.missed for track in self._living], dtype=bool)
        area = np.array([np.count_nonzero(one.amodal) for one in seen], dtype=float)[:, None]
        other = np.array([np.count_nonzero(track.amodal) for track in self._living], dtype=float)[None]
        largest, ratio = np.maximum(area, other), np.minimum(area, other) / np.maximum(area, other)
        since = np.array([frame - track.frame for track in self._living], dtype=float)[None]
        apart = [np.linalg.norm(here - place, axis=2) / np.sqrt(largest * since) for place in (there, last)]
        near, stayed = (np.maximum(0, 1 - d / rules.reach) if rules.reach else np.zeros(shape) for d in apart)
        # What is hidden may have stopped or turned back behind what hides it.
        near = np.where((near == 0) & hidden, stayed, near)
        near = np.where(ratio >= rules.overlap, near, 0.0)
        scores = rules.amodal * near * ratio + rules.appearance * _likeness(cosine)
        allowed = (near > 0) | (np.nan_to_num(cosine, nan=-1.0) >= rules.alike)
        return np.where(allowed, np.maximum(scores, LEAST), 0.0)

    def _cosines(self, seen: Sequence[FrameInstance]) -> Float[np.ndarray, "n m"]:
        """Of the appearances; NaN where one is not told."""
        out = np.full((len(seen), len(self._living)), np.nan)
        for k, one in enumerate(seen):
            for j, track in enumerate(self._living):
                if one.appearance is not None and track.looks is not None:
                    out[k, j] = one.appearance @ track.looks
        return out

    def _miss(
        self,
        frame: int,
        instances: Sequence[FrameInstance],
        found: dict[int, _Living],
        expected: Sequence[tuple[Mask, Mask]],
    ) -> None:
        """Count the frame for the tracks that should show and do not."""
        seen = {id(track) for track in found.values()}
        shown = np.any([one.visible for one in instances], axis=0) if instances else None
        for track, (amodal, _) in zip(self._living, expected, strict=True):
            if id(track) in seen:
                continue
            under = 0 if shown is None else np.count_nonzero(amodal & shown)
            track.missed += int(under < max(self.rules.covered * np.count_nonzero(amodal), 1))


def join_instances(
    video: VideoInfo,
    frames: Iterable[Sequence[FrameInstance]],
    rules: Association,
    timings: Timings,
    quiet: bool = True,
) -> ClipTracks:
    """Tracks with visible and amodal masks and the order of every frame, from the instances of each frame of a video on
    a canvas as `on_canvas` lays it, those in front first.

    A track's label is the one that its instances have by most of their scores. Where a track is not seen between two
    sightings, its visible mask is not known, and its amodal mask moves from the one to the other.
    """
    tracker, seen = Tracker(rules), {}  # type: ignore[var-annotated]
    ranks: list[list[int]] = []
    for t, instances in enumerate(tqdm(frames, total=video.frames, desc="segment", unit="frame", disable=quiet)):
        began = time.perf_counter()
        ids = tracker.follow(t, instances)
        followed = [(key, one) for key, one in zip(ids, instances, strict=True) if key is not None]
        enlarged = _enlarged([one for _, one in followed], video.height, video.width)
        for (key, _), sighting in zip(followed, enlarged, strict=True):
            if sighting is not None:
                seen.setdefault(key, {})[t] = sighting
        ranks.append([key for key, _ in followed])
        timings.add("join", began)
    least = min(rules.least, video.frames)
    tracks = [_track(key, at, video) for key, at in seen.items() if len(at) >= least]
    timings.object_frames += sum(m is not None for track in tracks for m in track.amodal or ())
    return ClipTracks(video, tuple(tracks), exhaustive=False, order=tuple(_order(tracks, ranks)))


def moved(mask: Bool[np.ndarray, "h w"], step: Float[np.ndarray, " 2"]) -> Bool[np.ndarray, "h w"]:
    """A mask moved by whole rows and columns."""
    return np.asarray(shift(mask.astype(np.uint8), step, order=0, prefilter=False) > 0)


@dataclass(frozen=True)
class _Sighting:
    """An instance at the size of the video."""

    visible: Rle
    amodal: Rle
    score: float
    label: str | None


def _enlarged(instances: Sequence[FrameInstance], height: int, width: int) -> list[_Sighting | None]:
    """Instances at the size of the video; None where nothing is visible. Of a pixel that two show, the one in front
    has it; what is visible is part of the whole."""
    taken, out = np.zeros((height, width), dtype=bool), []
    for instance in instances:
        visible = _on_video(instance.visible, height, width) & ~taken
        taken |= visible
        amodal = _on_video(instance.amodal, height, width) | visible
        sighting = _Sighting(Rle.encode(visible), Rle.encode(amodal), instance.score, instance.label)
        out.append(sighting if visible.any() else None)
    return out


def _on_video(mask: Bool[np.ndarray, "s s"], height: int, width: int) -> Mask:
    rows, columns, values = paste(2.0 * mask - 1, Window.around(height, width), height, width)
    out = np.zeros((height, width), dtype=bool)
    out[rows, columns] = values > 0
    return out


def _track(key: int, at: dict[int, _Sighting], video: VideoInfo) -> Track:
    """One object, with the gaps between its sightings filled."""
    visible: list[Rle | None] = [None] * video.frames
    amodal: list[Rle | None] = [None] * video.frames
    confidence: list[float | None] = [None] * video.frames
    votes: dict[str, float] = {}
    for t, sighting in at.items():
        visible[t], amodal[t], confidence[t] = sighting.visible, sighting.amodal, sighting.score
        if sighting.label is not None:
            votes[sighting.label] = votes.get(sighting.label, 0.0) + sighting.score
    times = sorted(at)
    for before, after in zip(times, times[1:], strict=False):
        if after - before == 1:
            continue
        mask, end = at[before].amodal.decode(), at[after].amodal.decode()
        way = np.subtract(center_of_mass(end), center_of_mass(mask))
        for t in range(before + 1, after):
            there = moved(mask, np.rint(way * (t - before) / (after - before)))
            amodal[t], confidence[t] = Rle.encode(there), min(at[before].score, at[after].score)
    label = min(votes, key=lambda name: (-votes[name], name)) if votes else None
    return Track(key, tuple(visible), tuple(amodal), tuple(confidence), label=label)


def _order(tracks: Sequence[Track], ranks: Sequence[Sequence[int]]) -> Iterator[FrameOrder]:
    """Yield the order of each frame, from the ids of the instances detected in it, front to back."""
    keeper = OrderKeeper()
    for t, front_to_back in enumerate(ranks):
        amodal = {k.id: mask.decode() for k in tracks if k.amodal is not None and (mask := k.amodal[t]) is not None}
        yield keeper.from_ranks(amodal, front_to_back)


def _ious(ones: Sequence[Mask], others: Sequence[Mask]) -> Float[np.ndarray, "n m"]:
    """IoU of every pair, 0 where both are empty."""
    if not ones or not others:
        return np.zeros((len(ones), len(others)))
    one, other = (rearrange(np.stack(m), "n h w -> n (h w)").astype(np.float32) for m in (ones, others))
    shared = one @ other.T
    return shared / np.maximum(one.sum(axis=1)[:, None] + other.sum(axis=1)[None] - shared, 1)


def _likeness(cosine: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
    """How much more alike an instance and a track are than the instance is to the tracks on average; 0 where one of
    them does not tell."""
    told = np.isfinite(cosine)
    mean = np.where(told, cosine, 0).sum(axis=1, keepdims=True) / np.maximum(told.sum(axis=1, keepdims=True), 1)
    return np.where(told, cosine - mean, 0.0)


def _key(instance: FrameInstance) -> tuple[float, bytes, bytes]:
    """Sorts a frame's instances by what they are: the assignment takes the first of equal pairs."""
    return -instance.score, np.packbits(instance.amodal).tobytes(), np.packbits(instance.visible).tobytes()


def _track_key(track: _Living) -> tuple[int, bytes, bytes, tuple[float, ...]]:
    """Sorts tracks by what they are, not by their ids."""
    masks = (np.packbits(mask).tobytes() for mask in (track.amodal, track.visible))
    return (track.frame, *masks, tuple(track.speed.tolist()))  # type: ignore[return-value]
