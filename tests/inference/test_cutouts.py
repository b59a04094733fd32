"""Tests of cut-outs and mattes for video editors."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from vidamodal.inference.cutouts import write_layers, write_prores, write_rgba
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo

H, W = 20, 28


def read_rgba(path: Path) -> np.ndarray:
    """Decode a video with alpha, (t, h, w, 4)."""
    with av.open(str(path)) as container:
        frames = [frame.reformat(format="rgba", threads=1) for frame in container.decode(video=0)]
    return np.stack([frame.to_ndarray() for frame in frames])


def clip_of(masks: dict[int, list[np.ndarray | None]], order: tuple[tuple[tuple[int, int], ...], ...]) -> ClipTracks:
    tracks = []
    for number, frames in masks.items():
        amodal = tuple(None if mask is None else Rle.encode(mask) for mask in frames)
        tracks.append(Track(number, amodal, amodal))
    return ClipTracks(VideoInfo("v.mp4", H, W, len(order), 12.0), tuple(tracks), order=order)


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((H, W), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


FRAMES = [np.full((H, W, 3), (40 * t + 20, 200, 90), dtype=np.uint8) for t in range(3)]
EMPTY = np.zeros((H, W), dtype=bool)
CLIP = clip_of(
    {
        1: [box(0, 0, 10, 10), box(0, 0, 10, 10), None],
        4: [box(4, 4, 16, 20), EMPTY, None],
        7: [None, box(2, 2, 18, 26), box(2, 2, 18, 26)],
    },
    order=(((1, 4),), ((7, 1),), ()),
)


def test_rgba_holds_the_pixels_inside_the_amodal_mask(tmp_path: Path) -> None:
    write_rgba(tmp_path / "rgba", iter(FRAMES), CLIP)
    names = sorted(str(path.relative_to(tmp_path / "rgba")) for path in tmp_path.rglob("*.png"))
    assert names == ["1/00000.png", "1/00001.png", "4/00000.png", "4/00001.png", "7/00001.png", "7/00002.png"]
    for name in names:
        number, t = int(name[0]), int(name[2:7])
        image = np.asarray(Image.open(tmp_path / "rgba" / name))
        mask = next(track for track in CLIP.tracks if track.id == number).amodal[t].decode()  # type: ignore[index, union-attr]
        assert image.shape == (H, W, 4) and ((image[..., 3] == 255) == mask).all()
        assert (image[mask, :3] == FRAMES[t][mask]).all() and not image[~mask].any()


def test_prores_opens_again_with_alpha(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_prores(tmp_path / name, iter(FRAMES), CLIP)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["1.mov", "4.mov", "7.mov"]
    for track in CLIP.tracks:
        path = tmp_path / "a" / f"{track.id}.mov"
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "prores" and stream.codec_context.profile == "4444"
            assert stream.average_rate == 12 and str(stream.codec_context.pix_fmt).startswith("yuva444p")
        images = read_rgba(path)
        assert len(images) == len(FRAMES)
        for t, image in enumerate(images):
            mask = track.amodal and track.amodal[t]
            inside = EMPTY if not mask else mask.decode()
            assert (image[..., 3] == 255 * inside).all()
            core = (
                inside & np.roll(inside, 3, 0) & np.roll(inside, -3, 0) & np.roll(inside, 3, 1) & np.roll(inside, -3, 1)
            )
            assert np.abs(image[core, :3].astype(int) - FRAMES[t][core]).max(initial=0) < 24


@given(
    npst.arrays(bool, st.tuples(st.integers(1, 3), st.integers(2, 24), st.integers(2, 24))),
    st.sampled_from([1.0, 12.5, 23.976, 29.97]),
)
@settings(max_examples=15)
def test_masks_survive_as_alpha(tmp_path_factory: pytest.TempPathFactory, masks: np.ndarray, fps: float) -> None:
    folder = tmp_path_factory.mktemp("cutouts")
    count, height, width = masks.shape
    track = Track(3, (None,) * count, tuple(map(Rle.encode, masks)))
    clip = ClipTracks(VideoInfo("v", height, width, count, fps), (track,), order=((),) * count)
    frames = [np.full((height, width, 3), 77, dtype=np.uint8)] * count
    write_rgba(folder / "rgba", frames, clip)
    write_prores(folder / "prores", frames, clip)
    images = [np.asarray(Image.open(path))[..., 3] for path in sorted((folder / "rgba/3").iterdir())]
    np.testing.assert_array_equal(np.stack(images), masks * np.uint8(255))
    np.testing.assert_array_equal(read_rgba(folder / "prores/3.mov")[..., 3], masks * np.uint8(255))


def test_a_matte_is_the_union_of_the_objects_of_a_layer(tmp_path: Path) -> None:
    order = (((1, 4), (4, 7)), ((7, 1),), ())
    clip = clip_of(
        {
            1: [box(0, 0, 10, 10), box(0, 0, 10, 10), None],
            4: [box(4, 4, 16, 20), box(12, 20, 16, 24), None],
            7: [box(8, 8, 18, 26), box(2, 2, 8, 8), None],
        },
        order,
    )
    write_layers(tmp_path, clip)
    mattes = {str(path.relative_to(tmp_path)): np.asarray(Image.open(path)) for path in sorted(tmp_path.rglob("*.png"))}
    assert list(mattes) == ["1/00000.png", "1/00001.png", "2/00000.png", "2/00001.png", "3/00000.png", "3/00001.png"]
    expected = [
        box(0, 0, 10, 10),
        box(12, 20, 16, 24) | box(2, 2, 8, 8),  # nothing occludes either
        box(4, 4, 16, 20),
        box(0, 0, 10, 10),
        box(8, 8, 18, 26),
        EMPTY,
    ]
    for matte, mask in zip(mattes.values(), expected, strict=True):
        assert matte.dtype == np.uint8 and (matte == 255 * mask).all()


def test_without_objects_no_layer_is_written(tmp_path: Path) -> None:
    write_layers(tmp_path, clip_of({1: [None], 2: [EMPTY]}, ((),)))
    assert not list(tmp_path.iterdir())
