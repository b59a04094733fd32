"""What the values of a set of mask images mean."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image, ImageFilter

from vidamodal.media.mask_images import write_id_map
from vidamodal.media.pixel_values import read_id_maps, read_object_masks
from vidamodal.types import InputError, VideoInfo

H, W, T = 48, 64, 4
VIDEO = VideoInfo("v.mp4", H, W, T, 10.0)
BLACK_RED_GREEN = np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0)], np.uint8)
PINK_TEAL = np.array([(0, 0, 0), (200, 30, 90), (10, 140, 150)], np.uint8)


def id_maps(one: int = 1, two: int = 2, dtype: type = np.uint8) -> np.ndarray:
    """(t, h, w): object one moves to the right, two stands still."""
    maps: np.ndarray = np.zeros((T, H, W), dtype)
    for t in range(T):
        maps[t, 8:32, 2 + 4 * t : 26 + 4 * t] = one
        maps[t, 34:46, 40:62] = two
    return maps


def save(folder: Path, images: Sequence[Image.Image], suffix: str = ".png", **options: object) -> dict[int, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = {t: folder / f"{t:05d}{suffix}" for t in range(len(images))}
    for path, image in zip(files.values(), images, strict=True):
        image.save(path, **options)  # type: ignore[arg-type]
    return files


def read(files: dict[int, Path]) -> tuple[np.ndarray, str]:
    result = read_id_maps(files, VIDEO, next(iter(files.values())).parent)
    return np.stack([ids for _, ids in result.maps]), "\n".join(result.notes)


def grey(maps: np.ndarray) -> list[Image.Image]:
    return [Image.fromarray(ids) for ids in maps]


def colour(maps: np.ndarray, colours: np.ndarray) -> list[Image.Image]:
    return [Image.fromarray(colours[ids]) for ids in maps]


def palettes(maps: np.ndarray, colours: np.ndarray, orders: Sequence[Sequence[int]]) -> list[Image.Image]:
    """Palette images in which colour ``order[k]`` has the index k."""
    images = []
    for t, ids in enumerate(maps):
        order = list(orders[t % len(orders)])
        image = Image.fromarray(np.argsort(order).astype(np.uint8)[ids])
        image.putpalette([int(value) for place in order for value in colours[place]])
        images.append(image)
    return images


def smooth(images: list[Image.Image], radius: float) -> list[Image.Image]:
    return [image.filter(ImageFilter.GaussianBlur(radius)) for image in images]


def iou(one: np.ndarray, two: np.ndarray) -> float:
    return float((one & two).sum() / (one | two).sum())


IDS = id_maps()
ONE = (IDS == 1).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("numbers", [(1, 2), (3, 7), (1, 200)])
def test_grey_values_are_ids_without_a_word(tmp_path: Path, dtype: type, numbers: tuple[int, int]) -> None:
    ids, note = read(save(tmp_path, grey(id_maps(*numbers, dtype))))
    np.testing.assert_array_equal(ids, id_maps(*numbers))
    assert note == ""


def test_written_id_maps_read_back(tmp_path: Path) -> None:
    maps, files = id_maps(254, 17), {t: tmp_path / f"{t}.png" for t in range(T)}
    for t, path in files.items():
        write_id_map(path, maps[t])
    ids, note = read(files)
    np.testing.assert_array_equal(ids, maps)
    assert note == ""


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_values_of_few_bits_are_ids(tmp_path: Path, bits: int) -> None:
    maps = id_maps(1, 1 if bits == 1 else 3)
    images = grey(maps * np.uint8(255 // (2**bits - 1)))
    if bits == 1:
        images = [image.convert("1") for image in images]
    files = (
        save(tmp_path, images) if bits == 1 else {t: packed_png(tmp_path / f"{t}.png", maps[t], bits) for t in range(T)}
    )
    np.testing.assert_array_equal(read(files)[0], maps)


def packed_png(path: Path, ids: np.ndarray, bits: int) -> Path:
    """A grey PNG of 2 or 4 bits, which Pillow does not write: the chunks of a palette PNG with another colour type."""
    path.parent.mkdir(parents=True, exist_ok=True)
    per_byte = 8 // bits
    rows = ids.reshape(H, -1, per_byte)
    packed = sum(rows[..., k].astype(np.uint8) << np.uint8(8 - bits * (k + 1)) for k in range(per_byte))
    body = b"".join(b"\0" + row.tobytes() for row in np.asarray(packed, np.uint8))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", W, H, bits, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("radius", [0.7, 1.5, 2.5])
@pytest.mark.parametrize("mode", ["L", "RGB", "LA"])
def test_smoothed_black_and_white_is_one_object(tmp_path: Path, radius: float, mode: str) -> None:
    ids, note = read(save(tmp_path, [image.convert(mode) for image in smooth(grey(ONE * 255), radius)]))
    assert set(np.unique(ids)) == {0, 255} and iou(ids == 255, ONE == 1) > 0.96
    assert note.startswith(f"{tmp_path.name}: 4 PNGs, 1 object by grey level with smoothed edges")


@pytest.mark.parametrize("quality", [40, 75, 95])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_jpeg_edges_are_one_object(tmp_path: Path, quality: int, suffix: str) -> None:
    files = save(tmp_path / "jpeg", grey(ONE * 255), ".jpg", quality=quality)
    if suffix == ".png":
        files = save(tmp_path / "png", [Image.open(path) for path in files.values()])
    ids, _ = read(files)
    assert set(np.unique(ids)) == {0, 255} and iou(ids == 255, ONE == 1) > 0.96


@pytest.mark.parametrize("levels", [(127, 255), (85, 170), (255, 128), (100, 200)])
def test_grey_levels_painted_for_the_eye_are_objects(tmp_path: Path, levels: tuple[int, int]) -> None:
    ids, note = read(save(tmp_path, grey(id_maps(*levels))))
    np.testing.assert_array_equal(ids, id_maps(*levels))
    assert ("255 is read as an object" in note) == (255 in levels)


@pytest.mark.parametrize("levels", [(127, 255), (255, 100)])
def test_smoothed_grey_levels_snap_to_the_painted_ones(tmp_path: Path, levels: tuple[int, int]) -> None:
    ids, _ = read(save(tmp_path, smooth(grey(id_maps(*levels)), 0.8)))
    for number in levels:
        assert iou(ids == number, id_maps(*levels) == number) > 0.9
    assert set(np.unique(ids)) == {0, *levels}


@pytest.mark.parametrize("numbers", [(1, 2), (1, 9), (4, 6)])
def test_void_beside_ids_is_left_out_and_reported(tmp_path: Path, numbers: tuple[int, int]) -> None:
    maps = id_maps(*numbers)
    maps[:, :3] = 255
    ids, note = read(save(tmp_path, grey(maps)))
    np.testing.assert_array_equal(ids, np.where(maps == 255, 0, maps))
    assert "255 is void and left out" in note


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA"])
def test_grey_in_more_channels(tmp_path: Path, mode: str) -> None:
    images = grey(id_maps())
    images[1:3] = [image.convert(mode) for image in images[1:3]]
    np.testing.assert_array_equal(read(save(tmp_path, images))[0], IDS)


@pytest.mark.parametrize(
    "colours", [PINK_TEAL, PINK_TEAL[[0, 2, 1]], np.array([(9, 9, 9), (0, 0, 255), (255, 0, 0)], np.uint8)]
)
def test_a_colour_is_an_object(tmp_path: Path, colours: np.ndarray) -> None:
    ids, note = read(save(tmp_path, colour(IDS, colours)))
    first = 1 if tuple(colours[1]) < tuple(colours[2]) else 2
    np.testing.assert_array_equal(ids, np.where(IDS == 0, 0, np.where(first == IDS, 1, 2)))
    assert "2 objects by colour" in note and f"1 is ({', '.join(map(str, colours[first]))})" in note
    assert ("the background is (9, 9, 9)" in note) == (colours[0].max() > 0)


def test_colours_of_the_usual_palette_have_its_ids(tmp_path: Path) -> None:
    ids, _ = read(save(tmp_path, colour(IDS, BLACK_RED_GREEN)))
    np.testing.assert_array_equal(ids, IDS)
    void = np.array([(0, 0, 0), (0, 0, 128), (224, 224, 192)], np.uint8)
    ids, note = read(save(tmp_path / "void", colour(IDS, void)))
    np.testing.assert_array_equal(ids, np.where(IDS == 1, 4, 0))
    assert "(224, 224, 192) is void" in note


@pytest.mark.parametrize(
    "colours", [BLACK_RED_GREEN, PINK_TEAL, np.array([(0, 0, 0), (90, 90, 90), (255, 255, 255)], np.uint8)]
)
def test_palettes_in_another_order_keep_objects_by_colour(tmp_path: Path, colours: np.ndarray) -> None:
    ids, _ = read(save(tmp_path, palettes(IDS, colours, [(0, 1, 2), (0, 2, 1), (2, 1, 0)])))
    one, two = ids[0][IDS[0] == 1][0], ids[0][IDS[0] == 2][0]
    assert 0 < one != two > 0
    np.testing.assert_array_equal(ids, np.where(IDS == 0, 0, np.where(IDS == 1, one, two)))


def test_a_palette_whose_first_colour_is_not_the_background(tmp_path: Path) -> None:
    ids, _ = read(save(tmp_path, palettes(ONE, np.array([(0, 0, 0), (255, 255, 255)], np.uint8), [(1, 0)])))
    np.testing.assert_array_equal(ids != 0, ONE == 1)


@pytest.mark.parametrize("quality", [75, 95])
def test_jpegs_of_colours(tmp_path: Path, quality: int) -> None:
    ids, _ = read(save(tmp_path, colour(IDS, BLACK_RED_GREEN), ".jpg", quality=quality))
    assert set(np.unique(ids)) == {0, 1, 2}
    assert max(iou(ids == 1, np.equal(IDS, k)) for k in (1, 2)) > 0.9


def test_jpegs_of_the_usual_colours_have_the_usual_ids(tmp_path: Path) -> None:
    ids, _ = read(save(tmp_path, colour(IDS, BLACK_RED_GREEN), ".jpg", quality=90, subsampling=0))
    assert min(iou(ids == 1, np.equal(IDS, 1)), iou(ids == 2, np.equal(IDS, 2))) > 0.9


@pytest.mark.parametrize("factor", [2, 4])
def test_smoothed_edges_that_were_enlarged_without_smoothing(tmp_path: Path, factor: int) -> None:
    small = [image.resize((W // factor, H // factor), Image.Resampling.BOX) for image in smooth(grey(ONE * 255), 1)]
    ids, _ = read(save(tmp_path, [image.resize((W, H), Image.Resampling.NEAREST) for image in small]))
    assert set(np.unique(ids)) == {0, 255} and iou(ids == 255, np.equal(ONE, 1)) > 0.8


@pytest.mark.parametrize("numbers", [(1, 6), (2, 9), (12, 7)])
def test_smoothed_ids_are_refused(tmp_path: Path, numbers: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="resize them without it"):
        read(save(tmp_path, smooth(grey(id_maps(*numbers)), 1)))


def test_alpha_is_the_mask_of_one_colour(tmp_path: Path) -> None:
    white = Image.new("L", (W, H), 255)
    ids, note = read(save(tmp_path, [Image.merge("LA", (white, image)) for image in grey(ONE * 255)]))
    np.testing.assert_array_equal(ids, ONE)
    assert "by alpha" in note


def picture(seed: int, mode: str) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((W, H), Image.Resampling.BICUBIC).convert(mode)


def gradient(seed: int, mode: str) -> Image.Image:
    return Image.fromarray(np.tile(np.arange(W, dtype=np.uint8) * 4 + np.uint8(seed), (H, 1))).convert(mode)


@pytest.mark.parametrize("make", [picture, gradient])
@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_pictures_are_refused(tmp_path: Path, make: Callable[[int, str], Image.Image], mode: str, suffix: str) -> None:
    if mode == "P" and suffix == ".jpg":
        pytest.skip("JPEG has no palette")
    files = save(tmp_path, [make(t, mode) for t in range(T)], suffix)
    with pytest.raises(InputError, match=r"as in photographs|photographs, not masks|smoothed grey edges"):
        read(files)


def test_colours_that_change_from_image_to_image_are_refused(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    images = [
        Image.fromarray(np.vstack([[(0, 0, 0)], generator.integers(1, 255, (2, 3))]).astype(np.uint8)[m]) for m in IDS
    ]
    with pytest.raises(InputError, match="colours change from image to image"):
        read(save(tmp_path, images))


def test_colours_of_16_bits_are_refused(tmp_path: Path) -> None:
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = W, H, "rgb48be", Fraction(1)
    frame = av.VideoFrame.from_ndarray(np.zeros((H, W, 3), np.uint8), format="rgb24").reformat(format="rgb48be")
    (tmp_path / "0.png").write_bytes(b"".join(map(bytes, [*codec.encode(frame), *codec.encode()])))
    with pytest.raises(InputError, match="16 bits"):
        read({0: tmp_path / "0.png"})


def test_masks_of_one_object_are_divided_at_half(tmp_path: Path) -> None:
    def inside(name: str, images: list[Image.Image], suffix: str = ".png") -> np.ndarray:
        files = save(tmp_path / name, images, suffix)
        return np.stack([mask for _, mask in read_object_masks(files, VIDEO, tmp_path / name).masks])

    truth = ONE == 1
    for name, images in {
        "ones": grey(ONE),
        "white": grey(ONE * 255),
        "bits": [image.convert("1") for image in grey(ONE * 255)],
        "rgb": [image.convert("RGB") for image in grey(ONE * 255)],
        "red": colour(ONE, BLACK_RED_GREEN),
        "palette": palettes(ONE, PINK_TEAL[:2], [(0, 1)]),
        "swapped": palettes(ONE, PINK_TEAL[:2], [(0, 1), (1, 0)]),
        "wide": grey(ONE.astype(np.uint16) * 65535),
    }.items():
        np.testing.assert_array_equal(inside(name, images), truth, err_msg=name)
    for name, images in {"soft": smooth(grey(ONE * 255), 1.5), "dim": smooth(grey(ONE * 180), 1)}.items():
        assert iou(inside(name, images), truth) > 0.97
    assert iou(inside("jpeg", grey(ONE * 255), ".jpg"), truth) > 0.97
    assert not inside("nothing", grey(ONE * 0)).any() and not inside("no jpeg", grey(ONE * 0), ".jpg").any()


@given(npst.arrays(np.uint8, (2, 5, 6), elements=st.integers(0, 2)))
@settings(max_examples=40)
def test_grey_palettes_and_the_usual_colours_mean_the_same(
    tmp_path_factory: pytest.TempPathFactory, maps: np.ndarray
) -> None:
    folder, video = tmp_path_factory.mktemp("masks"), VideoInfo("v.mp4", 5, 6, 2, 10.0)
    kinds = {
        "grey": grey(maps),
        "wide": grey(maps.astype(np.uint16)),
        "palette": palettes(maps, BLACK_RED_GREEN, [(0, 1, 2)]),
        "shuffled": palettes(maps, BLACK_RED_GREEN, [(1, 2, 0), (0, 2, 1)]),
        "rgb": colour(maps, BLACK_RED_GREEN),
    }
    for name, images in kinds.items():
        result = read_id_maps(save(folder / name, images), video, folder)
        np.testing.assert_array_equal(np.stack([ids for _, ids in result.maps]), maps, err_msg=name)


def mutations(content: bytes, seed: int, count: int) -> list[bytes]:
    generator, found = np.random.default_rng(seed), []
    for _ in range(count):
        damaged = bytearray(content)
        for place in generator.integers(8, len(content), generator.integers(1, 6)):
            damaged[place] = generator.integers(256)
        found.append(
            bytes(damaged[: generator.integers(20, len(content) + 1)] if generator.random() < 0.2 else damaged)
        )
    return found


@pytest.mark.parametrize("name", ["palette.png", "colour.png", "grey.jpg"])
def test_damaged_images_end_in_masks_or_one_line(tmp_path: Path, name: str) -> None:
    image = {"palette.png": palettes(IDS, PINK_TEAL, [(0, 1, 2)]), "colour.png": colour(IDS, PINK_TEAL)}.get(
        name, grey(IDS * 100)
    )[0]
    buffer = io.BytesIO()
    image.save(buffer, "PNG" if name.endswith("png") else "JPEG")
    for content in mutations(buffer.getvalue(), 3, 150):
        (tmp_path / name).write_bytes(content)
        try:
            read({0: tmp_path / name})
        except InputError:
            continue


@pytest.mark.parametrize("kind", ["grey", "palette", "colour", "painted"])
def test_masks_of_one_object_hold_no_second_one(kind: str, tmp_path: Path) -> None:
    images = {
        "grey": grey(IDS),
        "palette": palettes(IDS, PINK_TEAL, [(0, 1, 2)]),
        "colour": colour(IDS, BLACK_RED_GREEN),
        "painted": grey(id_maps(127, 255)),
    }[kind]
    images[0] = images[0].point(lambda _: 0)  # only the later images hold both
    with pytest.raises(InputError, match=r"frame 1 holds several \(ids .* move the folders of videos"):
        list(read_object_masks(save(tmp_path, images), VIDEO, tmp_path).masks)


def test_levels_of_one_object_are_no_ids(tmp_path: Path) -> None:
    maps = ONE * np.uint8(255)
    maps[:, 20, 4:20] = 254
    masks = read_object_masks(save(tmp_path, grey(maps)), VIDEO, tmp_path).masks
    np.testing.assert_array_equal(np.stack([mask for _, mask in masks]), maps > 0)


@pytest.mark.parametrize("as_object", [False, True])
def test_ones_and_white_are_one_object(as_object: bool, tmp_path: Path) -> None:
    maps = ONE.copy()
    maps[1:] *= 255
    files = save(tmp_path, grey(maps))
    if as_object:
        inside = np.stack([mask for _, mask in read_object_masks(files, VIDEO, tmp_path).masks])
    else:
        ids, note = read(files)
        inside = ids == 1
        assert "1 and 255 never share an image and are one object" in note
    np.testing.assert_array_equal(inside, ONE == 1)


def test_white_that_never_meets_other_ids_is_refused(tmp_path: Path) -> None:
    maps = IDS.copy()
    maps[0] = 255 * (maps[0] > 0)
    with pytest.raises(InputError, match="255 never shares an image with other values"):
        read(save(tmp_path, grey(maps)))


def test_values_of_mots_are_reported_and_their_ignored_regions_left_out(tmp_path: Path) -> None:
    maps = id_maps(1001, 2005, np.uint16)
    maps[:, :4] = 10000
    ids, note = read(save(tmp_path / "ignored", grey(maps)))
    np.testing.assert_array_equal(ids, np.where(maps == 10000, 0, maps))
    assert "as in MOTS: 10000 is a region to ignore and left out" in note
    assert "as in MOTS" in read(save(tmp_path / "all", grey(id_maps(1001, 2005, np.uint16))))[1]
    assert "MOTS" not in read(save(tmp_path / "others", grey(id_maps(7, 10000, np.uint16))))[1]


def test_masks_without_an_object_are_reported(tmp_path: Path) -> None:
    assert read(save(tmp_path / "masks", grey(IDS * 0)))[1] == f"masks: no object in {T} PNGs"
