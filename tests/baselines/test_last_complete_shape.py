"""The last complete shape, moved along its path."""

from __future__ import annotations

from tests.baselines.helpers import picture
from vidamodal.baselines import last_complete_shape
from vidamodal.types import Rle


def test_a_hidden_object_keeps_its_shape_and_moves_on() -> None:
    frames = [picture("##....", "##...."), picture(".##...", ".##..."), None, picture("......", "......")]
    visible = [None if mask is None else Rle.encode(mask) for mask in frames]
    covered = [Rle.empty(2, 6) if mask is None else mask for mask in visible]
    masks = [mask.decode() for mask in last_complete_shape.complete(visible, covered)]
    assert [int(mask.argmax(axis=1)[0]) for mask in masks] == [0, 1, 2, 3]
    assert all(mask.sum() == 4 for mask in masks)


def test_a_touched_object_gets_the_shape_of_an_untouched_frame() -> None:
    whole, part, occluder = picture(".###.", ".###."), picture(".#...", ".#..."), picture("..##.", "..##.")
    visible = [Rle.encode(whole), Rle.encode(part)]
    covered = [Rle.encode(whole), Rle.encode(part | occluder)]
    assert (last_complete_shape.complete(visible, covered)[1].decode() == whole).all()


def test_a_sighting_counts_after_thousands_of_frames() -> None:
    shape, nothing = Rle.encode(picture("##....", "##....")), Rle.empty(2, 6)
    visible = [nothing] * 7000 + [shape]
    masks = last_complete_shape.complete(visible, visible)
    assert masks[0] == masks[-1] == shape
