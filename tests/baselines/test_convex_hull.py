"""Convex hulls, exact to the pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from tests.baselines.helpers import picture, seeds
from vidamodal.baselines._convex_hull import convex_hull


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
@settings(max_examples=60)
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
