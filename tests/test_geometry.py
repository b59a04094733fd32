"""Cutting windows out of images and pasting them back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from tests.helpers import DISC_SCENE_SIZE
from vidamodal.geometry import Cropper, Pieces, Window, Windows, crop_weights, paste, pieces_above

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


@settings(max_examples=40)
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


@settings(max_examples=100)
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


def cells_of(center: float, side: float, line: np.ndarray) -> np.ndarray:
    resampling = crop_weights(center, side, CELLS, slice(0, len(line)))
    return resampling.cells(line[resampling.pixels, None])


@settings(max_examples=60)
@given(st.floats(20, 60), sides, st.integers(-15, 15))
def test_crops_are_equivariant_to_shifts_by_whole_pixels(center: float, side: float, move: int) -> None:
    line = np.zeros(400, dtype=np.float32)
    line[150:250] = np.random.default_rng(0).random(100)
    here = cells_of(center + 150, side, line)
    there = cells_of(center + 150 + move, side, np.roll(line, move))
    assert np.allclose(here, there, atol=1e-5)


@settings(max_examples=60)
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


@settings(max_examples=60)
@given(centers, centers, sides, st.integers(1, 99), st.integers(1, 99), SEEDS)
def test_masks_and_values_of_their_pieces_are_cut_by_the_weights_of_all_pixels(
    x: float, y: float, side: float, height: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < rng.random()
    cropper = Cropper.at(square((x, y), side), CELLS, height, width)
    rows, columns = full_weights(y, side, height), full_weights(x, side, width)
    assert np.allclose(cropper.cut(mask), rows @ mask @ columns.T, atol=1e-5)
    assert np.allclose(cropper.inside, np.outer(rows.sum(axis=1), columns.sum(axis=1)), atol=1e-5)
    pieces = Pieces.of(mask)
    values = rng.normal(size=len(pieces.columns)).astype(np.float32)
    image = np.zeros((height, width))
    for column, top, bottom, value in zip(pieces.columns, pieces.tops, pieces.bottoms, values, strict=True):
        image[top:bottom, column] = value
    both = cropper.cut_values(pieces, [values, None])
    assert np.allclose(both[0], rows @ image @ columns.T, atol=1e-5)
    np.testing.assert_array_equal(both[1], cropper.cut(mask))


@settings(max_examples=40)
@given(centers, centers, sides, st.integers(1, 120), st.integers(1, 120), st.integers(1, 9), SEEDS)
def test_pasting_interpolates_between_the_centres_of_cells(
    x: float, y: float, side: float, height: int, width: int, step: int, seed: int
) -> None:
    values = np.random.default_rng(seed).normal(size=(CELLS, CELLS)).astype(np.float32)
    rows, columns, pasted = paste(values, square((x, y), side), height, width, step)
    at = [
        np.clip((np.r_[pixels] + 0.5 - center + side / 2) / side * CELLS - 0.5, 0, CELLS - 1)
        for pixels, center in ((rows, y), (columns, x))
    ]
    assert np.allclose(pasted, map_coordinates(values, np.meshgrid(*at, indexing="ij"), order=1), atol=1e-4)
    every = paste(values, square((x, y), side), height, width)[:2]
    for some, whole, length in zip((rows, columns), every, pasted.shape, strict=True):
        assert whole.start <= some.start <= whole.stop and some.stop == whole.stop
        assert length == len(np.r_[some]) >= (whole.stop - whole.start) // step


@settings(max_examples=100)
@given(centers, centers, sides, sides, st.integers(1, 120), st.integers(1, 120), st.floats(-3, 3), SEEDS)
def test_pieces_above_a_limit_are_the_pixels_whose_interpolated_values_exceed_it(
    x: float, y: float, across: float, down: float, height: int, width: int, limit: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(8, 8)).astype(np.float32)
    window = Window((x, y), (across, down))
    if rng.random() < 0.5:
        top, left = int(rng.integers(0, height)), int(rng.integers(0, width))
        window = replace(window, shown=(top, left, int(rng.integers(top, height)), int(rng.integers(left, width))))
    rows, columns, pasted = paste(values, window, height, width)
    pieces = pieces_above(values, limit, window, height, width)
    mask = np.zeros((height, width), dtype=bool)
    for column, top, bottom in zip(pieces.columns, pieces.tops, pieces.bottoms, strict=True):
        assert not mask[top:bottom, column].any() and bottom > top
        mask[top:bottom, column] = True
    expected = np.zeros_like(mask)
    expected[rows, columns] = pasted > limit
    close = np.zeros_like(mask)
    close[rows, columns] = np.abs(pasted - limit) < 1e-4
    assert ((mask == expected) | close).all()

    some = rng.random((height, width)) < 0.7
    within = Pieces.of(some)
    pieces = pieces_above(values, np.full(len(within.columns), limit), window, height, width, within)
    mask[:] = False
    for column, top, bottom in zip(pieces.columns, pieces.tops, pieces.bottoms, strict=True):
        mask[top:bottom, column] = True
    assert ((mask == (expected & some)) | close).all()


def test_crops_keep_the_orientation() -> None:
    image = np.zeros((40, 60), dtype=bool)
    image[5:15, 40:55] = True  # above and right of the middle
    cut = Cropper.at(square((30.0, 20.0), 60.0), CELLS, 40, 60).cut(image)
    rows, columns = np.nonzero(cut > 0.5)
    assert rows.max() < CELLS / 2 < columns.min()


@settings(max_examples=60)
@given(centers, sides, st.integers(1, 120))
def test_pasting_covers_the_pixels_whose_centres_lie_in_the_window(center: float, side: float, pixels: int) -> None:
    covered = paste(np.ones((CELLS, CELLS), dtype=np.float32), square((center, 0.5), side), 1, pixels)[1]
    middles = np.arange(pixels) + 0.5
    margin = 1e-6
    within = np.abs(middles - center) < side / 2 - margin
    beyond = np.abs(middles - center) > side / 2 + margin
    taken = np.zeros(pixels, dtype=bool)
    taken[covered] = True
    assert taken[within].all() and not taken[beyond].any()


@settings(max_examples=30)
@given(st.floats(-10, 58), st.floats(-10, 58), st.floats(4, 90), SEEDS)
def test_colours_are_cut_like_masks(x: float, y: float, side: float, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 2, (DISC_SCENE_SIZE, DISC_SCENE_SIZE), dtype=np.uint8)
    cropper = Cropper.at(Window((x, y), (side, side)), 16, DISC_SCENE_SIZE, DISC_SCENE_SIZE)
    cut = cropper.cut_image(np.stack([255 * picture, 0 * picture, 255 + 0 * picture], axis=2))
    assert np.allclose(cut[0], cropper.cut(picture == 1), atol=1e-5) and not cut[1].any()
    assert np.allclose(cut[2], cropper.inside, atol=1e-5)


def test_areas_of_windows_are_computed_once() -> None:
    """Prediction reads them for each frame and object: computing all of them then is quadratic in the length."""
    windows = Windows(np.zeros((2, 3, 2)), np.array([[[2.0, 3.0]] * 3, [[4.0, 5.0]] * 3]))
    assert windows.areas.tolist() == [[6.0] * 3, [20.0] * 3]
    assert windows.areas is windows.areas
