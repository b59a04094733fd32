"""Tracks of a whole video from the instances of its single frames."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from einops import reduce
from jaxtyping import Bool
from scipy.ndimage import center_of_mass

from vidamodal.geometry import Window, paste
from vidamodal.inference.runtime import Timings
from vidamodal.inference.tracker import Tracker, TrackerConfig, shift_mask
from vidamodal.occlusion.order import OrderKeeper
from vidamodal.progress import progress
from vidamodal.types import ClipTracks, FrameInstance, FrameOrder, Rle, Track, VideoInfo

Mask = Bool[np.ndarray, "h w"]
COMPARED_SIDE = 512
"""Larger side in cells of the masks that are compared with those of other frames."""


@dataclass(frozen=True)
class _Sighting:
    """An instance at the size of the video."""

    visible: Rle
    amodal: Rle
    score: float
    label: str | None


def build_tracks(
    video: VideoInfo,
    frames: Iterable[Sequence[FrameInstance]],
    rules: TrackerConfig,
    timings: Timings,
    quiet: bool = True,
) -> ClipTracks:
    """Join the instances of a video's frames into tracks with visible and amodal masks, and order every frame.

    The label of a track is the one with the largest sum of scores. Where a track is unseen between two sightings, its
    visible mask is unknown, and its amodal mask moves in a straight line from one to the other.

    Args:
        video: Size and length of the video.
        frames: The instances of each frame, those in front first, at the size of the video or on a canvas as
            `frame_on_canvas` lays it. Instances with a key belong to the track of this key.
        rules: How instances without a key are associated.
        timings: Where the time spent is added, as the step "join".
        quiet: Show no progress bar.
    """
    tracker = Tracker(rules)
    sightings: dict[int, dict[int, _Sighting]] = {}
    front_to_back: list[list[int]] = []
    for t, instances in enumerate(progress(frames, video.frames, "segment", "frame", quiet)):
        began = time.perf_counter()
        ids = [one.key for one in instances]
        if not ids or None in ids:
            ids = tracker.update(t, list(map(_reduced, instances)))
        tracked = [(key, one) for key, one in zip(ids, instances, strict=True) if key is not None]
        resized = _resize([one for _, one in tracked], video.height, video.width)
        for (key, _), sighting in zip(tracked, resized, strict=True):
            if sighting is not None:
                sightings.setdefault(key, {})[t] = sighting
        front_to_back.append([key for key, _ in tracked])
        timings.add("join", began)
    least = min(rules.min_frames, video.frames)
    tracks = [_build_track(key, seen, video.frames) for key, seen in sightings.items() if len(seen) >= least]
    timings.object_frames += sum(m is not None for track in tracks for m in track.amodal or ())
    order = tuple(_order(tracks, front_to_back, video.height))
    return ClipTracks(video, tuple(tracks), exhaustive=False, order=order)


def _resize(instances: Sequence[FrameInstance], height: int, width: int) -> list[_Sighting | None]:
    """The instances of a frame, those in front first, at the size of the video; None where nothing is visible.

    A pixel in several visible masks belongs to the object in front. The amodal mask includes the visible one.
    """
    taken, out = np.zeros((height, width), dtype=bool), []
    for instance in instances:
        visible = _resize_mask(instance.visible, height, width) & ~taken
        taken |= visible
        amodal = _resize_mask(instance.amodal, height, width) | visible
        sighting = _Sighting(Rle.encode(visible), Rle.encode(amodal), instance.score, instance.label)
        out.append(sighting if visible.any() else None)
    return out


def _reduced(instance: FrameInstance) -> FrameInstance:
    """The instance with smaller masks, in which a cell is inside if any of its pixels is."""
    step = -(-max(instance.amodal.shape) // COMPARED_SIDE)
    if step == 1:
        return instance
    visible, amodal = (_any_in_cells(mask, step) for mask in (instance.visible, instance.amodal))
    return replace(instance, visible=visible, amodal=amodal)


def _any_in_cells(mask: Mask, step: int) -> Bool[np.ndarray, "p q"]:
    padded = np.pad(mask, [(0, -length % step) for length in mask.shape])
    return np.asarray(reduce(padded, "(p a) (q b) -> p q", "any", a=step, b=step))


def _resize_mask(mask: Mask, height: int, width: int) -> Mask:
    if mask.shape == (height, width):
        return mask
    rows, columns, values = paste(2.0 * mask - 1, Window.around(height, width), height, width)
    out = np.zeros((height, width), dtype=bool)
    out[rows, columns] = values > 0
    return out


def _build_track(key: int, sightings: dict[int, _Sighting], frames: int) -> Track:
    """A track from its sightings by frame number, with amodal masks in the gaps between them."""
    visible: list[Rle | None] = [None] * frames
    amodal: list[Rle | None] = [None] * frames
    confidence: list[float | None] = [None] * frames
    votes: dict[str, float] = {}
    for t, sighting in sightings.items():
        visible[t], amodal[t], confidence[t] = sighting.visible, sighting.amodal, sighting.score
        if sighting.label is not None:
            votes[sighting.label] = votes.get(sighting.label, 0.0) + sighting.score
    times = sorted(sightings)
    for before, after in itertools.pairwise(times):
        score = min(sightings[before].score, sightings[after].score)
        for t, mask in _interpolate(sightings[before].amodal, sightings[after].amodal, before, after):
            amodal[t], confidence[t] = mask, score
    label = min(votes, key=lambda name: (-votes[name], name)) if votes else None
    return Track(key, tuple(visible), tuple(amodal), tuple(confidence), label=label)


def _interpolate(first: Rle, last: Rle, before: int, after: int) -> Iterator[tuple[int, Rle]]:
    """The first mask in the frames between two frames, moved in a straight line towards the last one."""
    if after - before == 1:
        return
    mask = first.decode()
    path = np.subtract(center_of_mass(last.decode()), center_of_mass(mask))
    for t in range(before + 1, after):
        yield t, Rle.encode(shift_mask(mask, np.rint(path * (t - before) / (after - before))))


def _order(tracks: Sequence[Track], front_to_back: Sequence[Sequence[int]], height: int) -> Iterator[FrameOrder]:
    """The order of each frame, from the ids of the instances detected in it."""
    keeper = OrderKeeper(height)
    for t, ids in enumerate(front_to_back):
        amodal = {k.id: mask for k in tracks if k.amodal is not None and (mask := k.amodal[t]) is not None}
        yield keeper.from_ranks(amodal, ids)
