"""Cutting windows out of images and pasting them back."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from tests.helpers import DISC_SCENE_SIZE
from vidamodal.geometry import Cropper, Window, crop_weights, paste, paste_matrix

SEEDS = st.integers(0, 2**32 - 1)

CELLS = 64
centers = st.floats(-40, 140)
sides = st.floats(4, 250)


def square(center: tuple[float, float], side: float) -> Window:
    return Window(center, (side, side))


def ellipse(height: int, width: int, center: tuple[float, float], radii: tuple[float, float]) -> np.ndarray:
    """Pixels whose centres lie within an ellipse about (x, y)."""
    y, x = np.mgrid[:height, :width] + 0.5
    return ((x - center[0]) / radii[0]) ** 2 + ((y - center[1]) / radii[1]) ** 2 <= 1


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(90, 170), st.integers(90, 170)),
    st.tuples(st.floats(40, 60), st.floats(40, 60)),
    st.floats(5, 35),
    st.floats(0.6, 1.0),
    st.floats(1.8, 2.6),
)
def test_cutting_and_pasting_preserves_a_mask(
    size: tuple[int, int], center: tuple[float, float], radius: float, aspect: float, scale: float
) -> None:
    height, width = size
    mask = ellipse(height, width, center, (radius, radius * aspect))
    side = scale * 2 * radius
    values = Cropper.at(square(center, side), CELLS, height, width).cut(mask)
    rows, columns, back = paste(values, square(center, side), height, width)
    pasted = np.zeros_like(mask)
    pasted[rows, columns] = back > 0.5
    assert np.count_nonzero(mask & pasted) >= 0.95 * np.count_nonzero(mask | pasted)


@settings(max_examples=100, deadline=None)
@given(centers, sides, st.sampled_from([8, 64]), st.integers(1, 120))
def test_crop_weights_sum_to_one_inside_and_to_less_at_the_border(
    center: float, side: float, cells: int, pixels: int
) -> None:
    sums = crop_weights(center, side, cells, slice(0, pixels)).shares
    at = center - side / 2 + (np.arange(cells) + 0.5) * side / cells
    reach = max(side / cells, 1.0) + 1
    assert sums.min() >= 0 and sums.max() <= 1 + 1e-5
    assert np.allclose(sums[(at >= reach) & (at <= pixels - reach)], 1, atol=1e-5)
    assert not sums[(at < -reach) | (at > pixels + reach)].any()


@settings(max_examples=60, deadline=None)
@given(st.floats(20, 60), sides, st.integers(-15, 15))
def test_crops_are_equivariant_to_shifts_by_whole_pixels(center: float, side: float, move: int) -> None:
    line = np.zeros(400, dtype=np.float32)
    line[150:250] = np.random.default_rng(0).random(100)
    whole = slice(0, 400)
    here = crop_weights(center + 150, side, CELLS, whole).cells(line[:, None], 0)
    there = crop_weights(center + 150 + move, side, CELLS, whole).cells(np.roll(line, move)[:, None], 0)
    assert np.allclose(here, there, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(centers, centers, sides, st.integers(1, 99), st.integers(1, 99))
def test_an_image_of_ones_is_cut_to_the_share_inside(x: float, y: float, side: float, height: int, width: int) -> None:
    cropper = Cropper.at(square((x, y), side), CELLS, height, width)
    assert np.allclose(cropper.cut(np.ones((height, width), dtype=bool)), cropper.inside, atol=1e-5)


def full_weights(center: float, side: float, pixels: int) -> np.ndarray:
    """Weights of all pixels of a line, computed cell by cell."""
    pitch = side / CELLS
    reach = max(pitch, 1.0)
    out = np.zeros((CELLS, pixels))
    for cell in range(CELLS):
        at = center - side / 2 + (cell + 0.5) * pitch
        index = np.arange(int(at - reach) - 2, int(at + reach) + 3)
        weight = np.maximum(1 - np.abs(index + 0.5 - at) / reach, 0)
        inside = (index >= 0) & (index < pixels)
        out[cell, index[inside]] = (weight / weight.sum())[inside]
    return out


@settings(max_examples=40, deadline=None)
@given(centers, centers, sides, st.integers(1, 99), st.integers(1, 99), SEEDS)
def test_a_rectangle_of_an_image_is_cut_like_the_whole_image(
    x: float, y: float, side: float, height: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    top, left = rng.integers(0, height), rng.integers(0, width)
    part = rng.random((rng.integers(0, height - top + 1), rng.integers(0, width - left + 1))) < 0.5
    image = np.zeros((height, width))
    image[top : top + part.shape[0], left : left + part.shape[1]] = part
    cropper = Cropper.at(square((x, y), side), CELLS, height, width)
    rows, columns = full_weights(y, side, height), full_weights(x, side, width)
    assert np.allclose(cropper.cut(part, (int(top), int(left))), rows @ image @ columns.T, atol=1e-5)
    assert np.allclose(cropper.cut(image), rows @ image @ columns.T, atol=1e-5)
    assert np.allclose(cropper.inside, np.outer(rows.sum(axis=1), columns.sum(axis=1)), atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(centers, centers, sides, st.integers(1, 120), st.integers(1, 120), SEEDS)
def test_pasting_interpolates_between_the_centres_of_cells(
    x: float, y: float, side: float, height: int, width: int, seed: int
) -> None:
    values = np.random.default_rng(seed).normal(size=(CELLS, CELLS)).astype(np.float32)
    rows, columns, pasted = paste(values, square((x, y), side), height, width)
    at = [
        np.clip((np.arange(pixels.start, pixels.stop) + 0.5 - center + side / 2) / side * CELLS - 0.5, 0, CELLS - 1)
        for pixels, center in ((rows, y), (columns, x))
    ]
    assert np.allclose(pasted, map_coordinates(values, np.meshgrid(*at, indexing="ij"), order=1), atol=1e-4)


def test_crops_keep_the_orientation() -> None:
    image = np.zeros((40, 60), dtype=bool)
    image[5:15, 40:55] = True  # above and right of the middle
    cut = Cropper.at(square((30.0, 20.0), 60.0), CELLS, 40, 60).cut(image)
    rows, columns = np.nonzero(cut > 0.5)
    assert rows.max() < CELLS / 2 < columns.min()


@settings(max_examples=60, deadline=None)
@given(centers, sides, st.integers(1, 120))
def test_pasting_covers_the_pixels_whose_centres_lie_in_the_window(center: float, side: float, pixels: int) -> None:
    covered, weights = paste_matrix(center, side, CELLS, slice(0, pixels))
    middles = np.arange(pixels) + 0.5
    margin = 1e-6
    within = np.abs(middles - center) < side / 2 - margin
    beyond = np.abs(middles - center) > side / 2 + margin
    taken = np.zeros(pixels, dtype=bool)
    taken[covered] = True
    assert taken[within].all() and not taken[beyond].any()
    assert np.allclose(weights.sum(axis=1), 1, atol=1e-5) and weights.min(initial=0) >= 0


@settings(max_examples=30, deadline=None)
@given(st.floats(-10, 58), st.floats(-10, 58), st.floats(4, 90), SEEDS)
def test_colours_are_cut_like_masks(x: float, y: float, side: float, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 2, (DISC_SCENE_SIZE, DISC_SCENE_SIZE), dtype=np.uint8)
    cropper = Cropper.at(Window((x, y), (side, side)), 16, DISC_SCENE_SIZE, DISC_SCENE_SIZE)
    cut = cropper.cut_image(np.stack([255 * picture, 0 * picture, 255 + 0 * picture], axis=2))
    assert np.allclose(cut[0], cropper.cut(picture == 1), atol=1e-5) and not cut[1].any()
    assert np.allclose(cut[2], cropper.inside, atol=1e-5)
