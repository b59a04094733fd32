"""The baselines: what they complete, and the rules that they keep as every prediction does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidamodal.baselines import load_baselines, predict_baseline
from vidamodal.baselines._convex_hull import convex_hull
from vidamodal.formats.tracks import dumps_tracks, loads_tracks
from vidamodal.types import ClipTracks, InputError, Rle, Track, VideoInfo

seeds = st.integers(0, 2**32 - 1)


def clip_of(visible: dict[int, list[np.ndarray | None]], exhaustive: bool = True) -> ClipTracks:
    frames = len(next(iter(visible.values())))
    height, width = next(m for masks in visible.values() for m in masks if m is not None).shape
    tracks = tuple(
        Track(number, tuple(None if m is None else Rle.encode(m) for m in masks), label="thing")
        for number, masks in visible.items()
    )
    return ClipTracks(VideoInfo("video.mp4", height, width, frames, 12.0), tracks, exhaustive)


def amodal(clip: ClipTracks, number: int, frame: int) -> np.ndarray | None:
    masks = {track.id: track.amodal for track in clip.tracks}[number]
    assert masks is not None
    mask = masks[frame]
    return None if mask is None else mask.decode()


def picture(*rows: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in row] for row in rows])


def random_masks(seed: int, frames: int = 4) -> dict[int, list[np.ndarray | None]]:
    """Disjoint visible masks of three objects; some frames empty or unknown, one object never visible."""
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, 20, size=2))
    owners = rng.integers(4, size=(frames, height // 4 + 1, width // 4 + 1)).repeat(4, axis=1).repeat(4, axis=2)
    owners = owners[:, :height, :width] * (rng.random((frames, height, width)) < 0.8)
    masks: dict[int, list[np.ndarray | None]] = {
        number: [None if rng.random() < 0.2 else frame == number for frame in owners] for number in (1, 2, 3)
    }
    masks[7] = [np.zeros((height, width), dtype=bool)] * frames
    return masks


def test_the_hull_of_an_l_is_filled_along_its_diagonal() -> None:
    mask = picture(
        ".......",
        ".#.....",
        ".#.....",
        ".#.....",
        ".####..",
        ".......",
    )
    assert (convex_hull(mask) == picture(".......", ".#.....", ".##....", ".###...", ".####..", ".......")).all()


def exact_hull(mask: np.ndarray) -> np.ndarray:
    """Pixel centres on the inner side of every edge of the hull of all pixel squares, in integers (half pixels)."""
    ys, xs = np.nonzero(mask)
    points = sorted(
        {(2 * int(x) + i, 2 * int(y) + j) for x, y in zip(xs, ys, strict=True) for i in (0, 2) for j in (0, 2)}
    )

    def turn(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> int:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    def chain(ordered: list[tuple[int, int]]) -> list[tuple[int, int]]:
        out: list[tuple[int, int]] = []
        for point in ordered:
            while len(out) > 1 and turn(out[-2], out[-1], point) <= 0:
                out.pop()
            out.append(point)
        return out

    outline = chain(points)[:-1] + chain(points[::-1])[:-1]
    edges = list(zip(outline, outline[1:] + outline[:1], strict=True))
    inside = np.zeros_like(mask)
    for y, x in np.ndindex(*mask.shape):
        inside[y, x] = all(turn(a, b, (2 * x + 1, 2 * y + 1)) > 0 for a, b in edges) if edges else False
    return inside


@given(seeds)
@settings(deadline=None, max_examples=60)
def test_the_hull_is_exact_and_holds_every_pixel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 18, size=2)) < rng.choice([0.02, 0.1, 0.5])
    hull = convex_hull(mask)
    assert (hull == exact_hull(mask)).all()
    assert not (mask & ~hull).any()
    for turned in (np.fliplr, np.flipud, np.transpose):
        assert (convex_hull(turned(mask)) == turned(hull)).all()


def test_the_hull_of_a_convex_shape_is_the_shape_also_when_it_is_large() -> None:
    y, x = np.mgrid[:720, :1280] + 0.5
    disc = (y - 300) ** 2 + (x - 700) ** 2 < 250**2
    bitten = disc & ~((x > 600) & (x < 800) & (y > 200) & (y < 400))
    assert (convex_hull(bitten) == convex_hull(disc)).all()
    assert convex_hull(disc).sum() - disc.sum() < 0.01 * disc.sum()


def test_each_baseline_completes_what_its_name_says() -> None:
    ring = picture("####", "#..#", "####")
    other = picture("....", ".#..", "....")
    clip = clip_of({1: [ring], 2: [other]})
    expected = {
        "copy-visible": ring,
        "hull": picture("####", "####", "####"),
        "hull-under-occluders": picture("####", "##.#", "####"),
    }
    assert set(load_baselines()) == {*expected, "last-complete-shape"}
    for name, mask in expected.items():
        completed = amodal(predict_baseline(name, clip), 1, 0)
        assert completed is not None and (completed == mask).all()


def test_null_and_empty_frames() -> None:
    seen, nothing = picture("##", "#."), picture("..", "..")
    clip = clip_of({1: [None, nothing, seen, None, seen, None], 2: [nothing] * 6})
    for name in load_baselines():
        tracks = {track.id: track for track in predict_baseline(name, clip).tracks}
        masks = tracks[1].amodal
        assert masks is not None
        remembers = name == "last-complete-shape"
        assert [m and m.area() > 0 for m in masks] == [None, remembers, True, remembers, True, None]
        assert tracks[1].confidence == (None, 1.0, 1.0, 1.0, 1.0, None)
        assert tracks[2].amodal == (None,) * 6 == tracks[2].confidence


@given(seeds, st.sampled_from(sorted(load_baselines())))
@settings(deadline=None, max_examples=40)
def test_predictions_keep_the_format_s_rules(seed: int, name: str) -> None:
    visible = random_masks(seed)
    clip = clip_of(visible)
    predicted = predict_baseline(name, clip)
    assert loads_tracks(dumps_tracks(predicted), "predicted") == predicted  # the writer and the reader check it
    for before, after in zip(clip.tracks, predicted.tracks, strict=True):
        assert (after.id, after.visible, after.label) == (before.id, before.visible, before.label)
        span = before.span if before.ever_visible else None
        assert after.amodal is not None
        for t, mask in enumerate(after.amodal):
            assert (mask is not None) == (span is not None and span[0] <= t < span[1])
            seen = visible[after.id][t]
            if mask is None or seen is None:
                continue
            completed = mask.decode()
            assert not (seen & ~completed).any()
            if predicted.exhaustive:
                others = [masks[t] for number, masks in visible.items() if number != after.id]
                under = np.any([m for m in others if m is not None], axis=0)
                assert not (completed & ~seen & ~under).any()


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match="copy-visible"):
        predict_baseline("best", clip_of({1: [picture("#")]}))
