"""Live prediction: what a step may depend on, keeps and costs."""

from __future__ import annotations

import numpy as np
import pytest

from tests.inference.helpers import behind_a_bar, clip_of, disc
from vidamodal.inference.stream import Stream
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import LoadedModel
from vidamodal.types import ClipTracks, InputError, Mask


@pytest.fixture
def loaded(model: AmodalModel) -> LoadedModel:
    return LoadedModel(model, "small", "", "")


def visible_in(clip: ClipTracks, frame: int) -> dict[int, Mask]:
    return {t.id: mask.decode() for t in clip.tracks if (mask := t.visible[frame]) is not None}


def run(stream: Stream, clip: ClipTracks) -> list[dict[int, Mask]]:
    return [stream.step(None, visible_in(clip, t)) for t in range(clip.video.frames)]


def test_every_mask_holds_the_visible_one_and_lies_under_occluders(loaded: LoadedModel) -> None:
    clip = behind_a_bar(16, drift=1.0, exhaustive=True)
    stream = Stream(loaded, exhaustive=True)
    for t, masks in enumerate(run(stream, clip)):
        visible = visible_in(clip, t)
        assert masks.keys() == visible.keys()
        for key, mask in masks.items():
            assert (mask >= visible[key]).all() and not (mask & ~np.any(list(visible.values()), axis=0)).any()
    assert stream.prediction is not None and stream.prediction.number == 15
    assert all(0 <= found.confidence[0] <= 1 for found in stream.prediction.objects.values())


def test_a_step_depends_on_no_later_frame_and_is_repeatable(loaded: LoadedModel) -> None:
    one, other = behind_a_bar(12), behind_a_bar(12, drift=-1.0)
    joined = [visible_in(one, t) for t in range(8)] + [visible_in(other, t) for t in range(8, 12)]
    first, second, stream = run(Stream(loaded), one), run(Stream(loaded), one), Stream(loaded)
    third = [stream.step(None, masks) for masks in joined]
    for t in range(12):
        assert all(np.array_equal(first[t][key], second[t][key]) for key in first[t])
        assert t >= 8 or all(np.array_equal(first[t][key], third[t][key]) for key in first[t])


def test_what_is_kept_does_not_grow_with_the_length(loaded: LoadedModel) -> None:
    clip = behind_a_bar(1)
    stream = Stream(loaded, window=4, forget=6)
    sizes = []
    for t in range(120):
        stream.step(None, visible_in(clip, 0))
        kept = [len(frames) for item in stream._objects for frames in (item.seen, item.completed, item.kept)]
        assert stream._carried is not None
        sizes.append((t, sum(kept), len(stream._carried.evidence)))
    assert sizes[60][1:] == sizes[-1][1:]


def test_an_object_that_is_not_seen_is_completed_until_it_is_forgotten(loaded: LoadedModel) -> None:
    stream = Stream(loaded, forget=5)
    for _ in range(6):
        masks = stream.step(None, {7: disc(30, 24, 10), 3: disc(50, 24, 6)})
    assert list(masks) == [3, 7]
    hidden = [stream.step(None, {3: disc(50, 24, 6)}) for _ in range(6)]
    assert [7 in masks for masks in hidden] == [True] * 5 + [False] and all(3 in masks for masks in hidden)
    assert 7 in stream.step(None, {7: disc(30, 24, 10)})


def test_an_object_may_be_forgotten_later_than_windows_look_back(loaded: LoadedModel) -> None:
    stream = Stream(loaded, window=2, forget=60)
    stream.step(None, {7: disc(30, 24, 10), 3: disc(50, 24, 6)})
    hidden = [stream.step(None, {3: disc(50, 24, 6)}) for _ in range(61)]
    assert [7 in masks for masks in hidden] == [True] * 60 + [False]


def test_a_refused_frame_does_not_set_the_size(loaded: LoadedModel) -> None:
    stream = Stream(loaded)
    with pytest.raises(InputError, match="first one has"):
        stream.step(np.zeros((10, 10, 3), np.uint8), {1: disc(30, 24, 10)})
    assert 1 in stream.step(None, {1: disc(30, 24, 10)})


def test_unknown_masks_are_not_empty_ones(loaded: LoadedModel) -> None:
    stream = Stream(loaded)
    clip = behind_a_bar(6)
    for t in range(5):
        stream.step(None, visible_in(clip, t))
    stream.step(None, {1: None, 2: visible_in(clip, 5)[2]})
    one, two = stream._objects
    assert one.seen[5].visible is None and two.seen[5].visible is not None and not one.kept[5].is_known
    stream.step(None, None)
    assert one.seen[6].visible is None and two.seen[6].visible is None


def test_a_map_of_ids_is_the_same_as_masks(loaded: LoadedModel) -> None:
    clip = clip_of({2: [disc(20, 20, 8)] * 3, 5: [disc(50, 30, 9)] * 3})
    ids = np.zeros((clip.video.height, clip.video.width), dtype=np.uint8)
    for key, mask in visible_in(clip, 0).items():
        ids[mask] = key
    by_mask, by_map = Stream(loaded), Stream(loaded)
    for t in range(3):
        one, other = by_mask.step(None, visible_in(clip, t)), by_map.step(None, ids)
        assert one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def test_frames_without_objects_and_bad_input(loaded: LoadedModel) -> None:
    stream = Stream(loaded)
    assert stream.step(None, {}) == {} and stream.step(np.zeros((48, 64, 3), np.uint8), None) == {}
    with pytest.raises(InputError, match="8 x 8 pixels, but the first one has 48 x 64"):
        stream.step(None, {1: np.ones((8, 8), bool)})
    with pytest.raises(InputError, match="ids must lie"):
        stream.step(None, {-1: np.ones((48, 64), bool)})
    with pytest.raises(InputError, match="window= must lie between 1 and 12"):
        Stream(loaded, window=13)
    with pytest.raises(InputError, match="forget="):
        Stream(loaded, forget=0)
