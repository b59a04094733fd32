"""The masks tell which way the values of depth maps point."""

from __future__ import annotations

import numpy as np
import pytest

from tests.inference.depth.depth_scenes import FLOOR, disc_behind_bar
from tests.inference.helpers import H, W, clip_of, disc
from vidamodal.inference.depth.depth_sign import SignVotes, compare, count_votes, orient
from vidamodal.inference.depth.depth_source import DepthKind, DepthSource
from vidamodal.occlusion.evidence import front_confidence_from_order
from vidamodal.types import ClipTracks, InputError

ORDER = front_confidence_from_order([((2, 1),)] * 4, [1, 2])


def _sign(clip: ClipTracks, maps: np.ndarray, front: np.ndarray | None = None) -> int:
    return count_votes(clip, DepthSource(maps.__getitem__), front).verdict().sign


@pytest.mark.parametrize("shape", [(H, W), (30, 100)])
def test_the_order_of_touching_objects_decides(shape: tuple[int, int]) -> None:
    clip, disparity = disc_behind_bar()
    rows, columns = (np.arange(n) * m // n for n, m in zip(shape, (H, W), strict=True))
    maps = disparity[:, rows[:, None], columns]
    votes = count_votes(clip, DepthSource(maps.__getitem__), ORDER)
    assert votes.order == [4, 0] and votes.touching == 4
    assert _sign(clip, maps, ORDER) == 1 and _sign(clip, -maps, ORDER) == -1
    # An upside-down camera: the order outweighs the ground.
    assert _sign(clip, np.where(maps > 1.1, maps, maps[:, ::-1]), ORDER) == 1


def test_without_an_order_the_surroundings_and_the_ground_decide_together() -> None:
    clip = clip_of({1: [disc(32, 24, 10)] * 4})
    maps = np.where(disc(32, 24, 10), 0.9, FLOOR)[None].repeat(4, axis=0)
    assert _sign(clip, maps) == 1 and _sign(clip, -maps) == -1
    behind = np.where(disc(32, 24, 10), 0.0, FLOOR)[None].repeat(4, axis=0)  # farther than all around it
    assert _sign(clip, behind) == 1
    assert _sign(clip, np.concatenate([behind[:2], behind[2:, ::-1]])) == 0
    assert _sign(clip, np.random.default_rng(0).random((4, H, W))) == 0


def _reversed(disparity: np.ndarray) -> np.ndarray:
    return disparity.max() - disparity


@pytest.mark.parametrize("kind", ["disparity", "depth"])
def test_a_kind_that_the_order_contradicts_is_refused(kind: DepthKind) -> None:
    clip, disparity = disc_behind_bar()
    maps = _reversed(disparity) if kind == "disparity" else disparity
    source = DepthSource(maps.__getitem__, kind, name="maps")
    direction = "farther" if kind == "disparity" else "nearer"
    expected = f"larger values are {direction}, as 4 of 4 touching pairs .* show, but depth_kind= says otherwise"
    with pytest.raises(InputError, match=expected):
        orient(source, clip, count_votes(clip, source, ORDER))
    maps_read, note = orient(source, clip, count_votes(clip, source, None))  # the ground alone may err
    assert note is not None and "the ground and the surroundings of the objects show" in note
    read = maps_read.read(0)
    assert read is not None and (np.argsort(read, axis=None) == np.argsort(_reversed(disparity)[0], axis=None)).all()


def test_without_a_kind_distances_are_recognised_and_reversed_scales_refused() -> None:
    clip, disparity = disc_behind_bar()
    near = DepthSource(disparity.__getitem__, "auto")
    maps, note = orient(near, clip, count_votes(clip, near, ORDER))
    assert maps.conversion == "as is" and note is not None and "larger values are read as nearer" in note
    far = DepthSource((1 / disparity).__getitem__, "auto")
    maps, note = orient(far, clip, count_votes(clip, far, ORDER))
    read = maps.read(0)
    assert read is not None and np.allclose(read, disparity[0])
    assert note is not None and "values are read as distances" in note
    scale = DepthSource(_reversed(disparity).__getitem__, "auto")
    with pytest.raises(InputError, match="no distances from a camera"):
        orient(scale, clip, count_votes(clip, scale, ORDER))


@pytest.mark.parametrize(("kind", "taken"), [("auto", "nearer"), ("disparity", "nearer"), ("depth", "farther")])
def test_what_nothing_shows_is_noted(kind: DepthKind, taken: str) -> None:
    clip = clip_of({1: [disc(32, 24, 10)] * 4})
    source = DepthSource(np.random.default_rng(0).random((4, H, W)).__getitem__, kind)
    _, note = orient(source, clip, count_votes(clip, source, None))
    assert note is not None and note.endswith(f"larger values are taken as {taken}")


@pytest.mark.parametrize(("value", "message"), [(0.5, "all values of a map are the same"), (np.nan, "no depth in any")])
def test_maps_that_hold_nothing_are_refused(value: float, message: str) -> None:
    clip, disparity = disc_behind_bar()
    source = DepthSource(np.full_like(disparity, value).__getitem__, "disparity")
    with pytest.raises(InputError, match=message):
        orient(source, clip, count_votes(clip, source, None))


def test_only_frames_with_a_map_are_observed() -> None:
    clip, disparity = disc_behind_bar(10)
    source = DepthSource(dict(enumerate(disparity[5:8], start=5)).__getitem__, frames=(5, 6, 7))
    assert count_votes(clip, source, None).touching == 3


def test_few_and_divided_observations_of_the_order_do_not_decide() -> None:
    assert SignVotes(order=[2, 0]).verdict().sign == 1 and SignVotes(order=[2, 0]).verdict(least=3).sign == 0
    assert SignVotes(order=[5, 2]).verdict().sign == 0 and SignVotes(order=[1, 6]).verdict().sign == -1
    low, high = np.linspace(0, 1, 50, dtype=np.float32), np.linspace(0.8, 2, 50, dtype=np.float32)
    assert compare(high, low) == 1 and compare(low, high) == -1 and compare(low, low) == 0
    assert compare(high[:5], low) == 0  # too few


def test_a_certain_kind_is_never_refused() -> None:
    clip, disparity = disc_behind_bar()

    def note(maps: np.ndarray, front: np.ndarray | None = ORDER) -> str | None:
        source = DepthSource(maps.__getitem__, "disparity", certain=True, name="model")
        return orient(source, clip, count_votes(clip, source, front))[1]

    assert note(disparity) is None and note(-disparity, None) is None
    assert note(-disparity) == "model: 4 of 4 touching pairs of objects whose order is known contradict it"
    assert "all values of a map are the same" in (note(np.zeros_like(disparity)) or "")
