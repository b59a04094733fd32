"""Tracks of a whole video: gaps, labels, sizes and order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.inference.detections import box, detections, disc, tracks_of
from vidamodal.inference.runtime import Timings
from vidamodal.inference.track_builder import COMPARED_SIDE, build_tracks
from vidamodal.inference.tracker import TrackerConfig
from vidamodal.types import FrameInstance, Rle, VideoInfo


def passing(speed: float = 1.5) -> list[list[FrameInstance]]:
    """A disc that passes behind a wide box, and is altogether hidden for longer than an unseen track waits."""
    frames = [detections(box(16, 50), disc(6 + speed * t, 32)) for t in range(int(52 / speed))]
    assert sum(len(instances) == 1 for instances in frames) > TrackerConfig().patience
    return frames


def test_an_object_keeps_its_id_when_it_passes_behind_another() -> None:
    clip = tracks_of(passing())
    assert [track.id for track in clip.tracks] == [1, 2]
    behind = clip.tracks[1]
    assert behind.visible[0] is not None and behind.visible[-1] is not None and None in behind.visible
    assert behind.amodal is not None and all(mask is not None for mask in behind.amodal)
    hidden = behind.visible.index(None)
    assert (behind.amodal[hidden].decode() & box(16, 50)).any()  # type: ignore[union-attr]
    assert clip.order is not None and clip.order[hidden] == ((1, 2),)
    assert len(tracks_of(passing(), occluded_share=2.0).tracks) == 3  # were no place taken for a hidden one
    assert len(tracks_of(passing(), max_unseen=6).tracks) == 3  # nor does it wait for ever


def test_frames_without_any_instance_count_as_missed() -> None:
    there = detections(disc(20, 20))
    assert len(tracks_of([there] * 5 + [[]] * 25 + [there] * 5, patience=7).tracks) == 2
    assert len(tracks_of([there] * 5 + [[]] * 5 + [there] * 5, patience=7).tracks) == 1


def test_the_label_has_the_largest_sum_of_scores() -> None:
    def told(label: str | None, score: float) -> list[FrameInstance]:
        return [replace(detections(disc(20, 20))[0], label=label, score=score)]

    assert tracks_of([told("mug", 0.5), told("mug", 0.5), told("bowl", 0.9), told(None, 0.9)]).tracks[0].label == "mug"
    assert tracks_of([told("mug", 0.4), told("bowl", 0.9), told("mug", 0.4)]).tracks[0].label == "bowl"
    assert tracks_of([told(None, 0.9)] * 2).tracks[0].label is None


def test_visible_masks_are_disjoint_and_inside_the_amodal_masks() -> None:
    front, back = disc(30, 30), disc(34, 30)
    clip = tracks_of([[FrameInstance(front, front, 1, None, 0.9), FrameInstance(back, disc(34, 30, 3), 2, None, 0.9)]])
    one, other = clip.tracks
    assert one.visible[0] == Rle.encode(front) and other.visible[0] == Rle.encode(back & ~front)
    assert other.amodal == (Rle.encode(disc(34, 30, 3) | (back & ~front)),)


def test_the_order_of_a_pair_persists_while_one_is_missed() -> None:
    pair = detections(disc(30, 30), disc(36, 30))
    clip = tracks_of([pair, pair, pair[1:], pair[:1], pair])
    assert clip.order == (((1, 2),),) * 5
    assert tracks_of([pair[::-1], pair[1:], pair[::-1]]).order == (((1, 2),),) * 3  # by the order that they came in


def test_instances_with_a_key_belong_to_its_track() -> None:
    near, far = detections(disc(20, 20))[0], detections(disc(50, 50))[0]
    frames = [[replace(near, key=4)], [replace(far, key=4), replace(near, key=2)], [replace(near, key=2)]]
    assert [(track.id, [mask is not None for mask in track.visible]) for track in tracks_of(frames).tracks] == [
        (4, [True, True, False]), (2, [False, True, True]),
    ]  # fmt: skip


def test_masks_of_large_frames_are_compared_at_reduced_size() -> None:
    def enlarge(instance: FrameInstance) -> FrameInstance:
        visible, amodal = (np.kron(mask, np.ones((9, 9))) > 0 for mask in (instance.visible, instance.amodal))
        return replace(instance, visible=visible, amodal=amodal)

    frames = passing()
    large = [list(map(enlarge, instances)) for instances in frames]
    size = large[0][0].visible.shape[0]
    assert size > COMPARED_SIDE
    clip = build_tracks(VideoInfo("v.mp4", size, size, len(large), 12.0), large, TrackerConfig(), Timings())
    small = tracks_of(frames)
    assert [track.id for track in clip.tracks] == [track.id for track in small.tracks] == [1, 2]
    for one, other in zip(clip.tracks, small.tracks, strict=True):
        assert [mask is None for mask in one.visible] == [mask is None for mask in other.visible]
