"""Small annotated images, videos and scenes in the layouts of published data sets, for the tests of formats."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from pycocotools import mask as coco

from vidamodal.formats import Clip, find_dataset
from vidamodal.media.images import write_image
from vidamodal.media.mask_images import write_id_map
from vidamodal.media.video_writer import write_video
from vidamodal.tracks import dumps_tracks, loads_tracks
from vidamodal.types import ClipTracks, Frame, InputError, Rle, Track, VideoInfo

HEIGHT, WIDTH = 12, 16


Mask = np.ndarray


def box(top: int, left: int, bottom: int, right: int, height: int = HEIGHT, width: int = WIDTH) -> Mask:
    mask = np.zeros((height, width), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def corners(top: int, left: int, bottom: int, right: int) -> list[float]:
    """The polygon of a box, as COCO writes it: x, y, x, y, ..."""
    return [left, top, right, top, right, bottom, left, bottom]


FRONT, BACK = box(2, 2, 8, 8), box(4, 5, 10, 14)
SEEN = BACK & ~FRONT


def packed(mask: Mask) -> dict[str, Any]:
    """COCO's compressed RLE."""
    return {"size": list(mask.shape), "counts": Rle.encode(mask).counts}


def plain(mask: Mask) -> dict[str, Any]:
    """COCO's uncompressed RLE."""
    flat = mask.ravel(order="F").astype(int)
    edges = np.flatnonzero(np.diff(np.r_[0, flat])).tolist()
    return {"size": list(mask.shape), "counts": np.diff([0, *edges, flat.size]).tolist()}


def images(*names: str) -> list[dict[str, Any]]:
    return [{"id": 7 + k, "file_name": name, "height": HEIGHT, "width": WIDTH} for k, name in enumerate(names)]


CATEGORIES = [{"id": 4, "name": "car"}, {"id": 5, "name": "cyclist"}]


def save(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def picture(path: Path, value: int = 90, height: int = HEIGHT, width: int = WIDTH) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.full((height, width, 3), value, dtype=np.uint8))
    return path


def masks(clip: ClipTracks, frame: int = 0) -> list[tuple[Mask, Mask]]:
    """(visible, amodal) of every track."""
    found = []
    for track in clip.tracks:
        seen, whole = track.visible[frame], (track.amodal or ())[frame]
        assert seen is not None and whole is not None
        found.append((seen.decode(), whole.decode()))
    return found


def same(found: list[tuple[Mask, Mask]], *expected: tuple[Mask, Mask]) -> bool:
    return len(found) == len(expected) and all(
        np.array_equal(a, b)
        for one, other in zip(found, expected, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def only(path: Path) -> Clip:
    (clip,) = find_dataset(path).clips.values()
    return clip


def checked(clip: Clip) -> ClipTracks:
    """Return the tracks of a clip, which are valid in a tracks.json."""
    tracks = clip.tracks()
    assert loads_tracks(dumps_tracks(tracks), "again") == tracks
    return tracks


def frames(clip: Clip) -> list[Frame]:
    found = clip.frames()
    assert found is not None
    return list(found)


def _read_all(path: Path, read: bool) -> None:
    for clip in find_dataset(path).clips.values():
        if read:
            clip.tracks()
            list(clip.frames() or ())


def refusal(path: Path, read: bool = True) -> str:
    """Return the one-line error of reading a data set and its clips."""
    with pytest.raises(InputError) as error:
        _read_all(path, read)
    assert "\n" not in str(error.value)
    return str(error.value)


def kins(**changes: Any) -> dict[str, Any]:
    """Return one image with the front car listed last and a cyclist alone in another cluster."""
    apart = box(0, 14, 2, 16)
    objects = [
        (BACK, SEEN, 1, 2, 4),
        (apart, apart, 2, 0, 5),
        (FRONT, FRONT, 1, 1, 4),
    ]
    annotations = [
        {
            "id": 40 + k,
            "image_id": 7,
            "category_id": category,
            "a_segm": plain(whole) if k == 1 else [corners(*edges(whole))],
            "i_segm": packed(seen),
            "a_bbox": [0, 0, 1, 1],
            "i_bbox": [0, 0, 1, 1],
            "oco_id": cluster,
            "ico_id": place,
        }
        for k, (whole, seen, cluster, place, category) in enumerate(objects)
    ]
    return {"images": images("000003.png"), "annotations": annotations, "categories": CATEGORIES, **changes}


def edges(mask: Mask) -> tuple[int, int, int, int]:
    found = Rle.encode(mask).box()
    assert found is not None
    return found


def cocoa(**changes: Any) -> dict[str, Any]:
    regions = [
        {"segmentation": corners(*edges(FRONT)), "name": "phone ", "isStuff": 0, "occlude_rate": 0, "order": 1},
        {
            "segmentation": corners(*edges(BACK)),
            "visible_mask": packed(SEEN),
            "invisible_mask": packed(BACK & FRONT),
            "name": "table",
            "isStuff": 0,
            "occlude_rate": 0.3,
            "order": 2,
        },
    ]
    annotation = {"id": 1, "image_id": 7, "author": "a", "size": 2, "regions": regions, "depth_constraint": "1-2"}
    return {"images": images("COCO_val2014_7.png", "unused.png"), "annotations": [annotation | changes]}


def d2sa() -> dict[str, Any]:
    annotation = {
        "id": 115,
        "image_id": 7,
        "category_id": 5,
        "iscrowd": False,
        "segmentation": packed(BACK),
        "visible_mask": packed(SEEN),
        "invisible_mask": packed(BACK & FRONT),
        "occlude_rate": 0.3,
        "amodal_region": {"name": "x", "order": 1},
    }
    return {"images": images("D2S_000001.jpg"), "annotations": [annotation], "categories": CATEGORIES}


def gestalt(path: Path) -> Path:
    for folder, name, mask in (
        ("visible_object_mask", "visible_mask", SEEN),
        ("whole_mask", "whole_mask", BACK),
        ("occlusion", "occlusion", FRONT),
        ("whole", "whole", FRONT),
    ):
        (path / folder).mkdir(parents=True)
        write_image(path / folder / f"10000015_{name}.png", np.repeat(mask[..., None] * np.uint8(255), 3, axis=2))
    return path


def layered(path: Path) -> Path:
    """Two objects in front, one behind both, and the empty layer that says that nothing is left."""
    stack = [box(2, 2, 8, 5) | box(2, 9, 8, 12), box(4, 3, 10, 11), np.zeros_like(FRONT)]
    for depth, layer in enumerate(stack):
        picture(path / f"1013_{depth}" / "image.png", 60)
        write_id_map(path / f"1013_{depth}" / "mask.png", layer * np.uint8(255))
        write_id_map(
            path / f"1013_{depth}" / "newmask.png", np.any(stack[:depth], axis=0) * np.ones_like(layer, np.uint8)
        )
    return path


def fish(seen: Mask, whole: Mask) -> dict[str, Any]:
    """A record as SaVos' notebook pickles it, numpy's numbers and arrays included."""
    entries = {
        key: coco.encode(np.asfortranarray(mask[..., None].astype(np.uint8)))
        for key, mask in (("VM", seen), ("FM", whole))
    }
    return {
        **entries,
        "VM_bx": [np.int64(1), np.int64(2), 3, 4],
        "OCC_R": np.float64(0.3),
        "IoU": None,
        "fish_type": "Cod",
    }


def fishbowl(path: Path, **more: Any) -> Path:
    whole = box(20, 30, 60, 90, 320, 480)
    seen = whole & ~box(0, 0, 320, 50, 320, 480)
    data = {"00043_7": {3: fish(seen, whole), 4: fish(whole, whole)}, "00043_2": {4: fish(seen, seen)}, **more}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(data))
    return path


def clip_of(tracks: ClipTracks, key: str = "test-00000012") -> Clip:
    """A clip in memory; its pictures are frame numbers."""
    video = tracks.video

    def pictures() -> Iterator[Frame]:
        return (np.full((video.height, video.width, 3), t, dtype=np.uint8) for t in range(video.frames))

    return Clip(key, lambda: tracks, pictures)


@st.composite
def truths(draw: st.DrawFn) -> ClipTracks:
    """Return ground truth for all frames: boxes, each occluded by those before it; random ids, labels and orders."""
    height, width, length = (draw(st.integers(1, 20)) for _ in range(3))
    length = min(length, 3)
    ids = draw(st.lists(st.integers(0, 2**31 - 1), max_size=4, unique=True))
    seeds = np.random.default_rng(draw(st.integers(0, 2**32)))
    visible: dict[int, list[Rle]] = {k: [] for k in ids}
    amodal: dict[int, list[Rle]] = {k: [] for k in ids}
    for _ in range(length):
        covered = np.zeros((height, width), dtype=bool)
        for k in ids:
            top, left = int(seeds.integers(0, height + 1)), int(seeds.integers(0, width + 1))
            whole = box(top, left, top + int(seeds.integers(0, 9)), left + int(seeds.integers(0, 9)), height, width)
            visible[k].append(Rle.encode(whole & ~covered))
            amodal[k].append(Rle.encode(whole))
            covered |= whole
    labels = draw(st.lists(st.none() | st.text(max_size=5), min_size=len(ids), max_size=len(ids)))
    pairs = tuple((a, b) for n, a in enumerate(ids) for b in ids[n + 1 :])
    return ClipTracks(
        VideoInfo("clip.mp4", height, width, length, draw(st.sampled_from([12.0, 23.976, 1.0]))),
        tuple(Track(k, tuple(visible[k]), tuple(amodal[k]), label=v) for k, v in zip(ids, labels, strict=True)),
        exhaustive=draw(st.booleans()),
        order=draw(st.none() | st.just((pairs,) * length)),
        provenance=draw(st.sampled_from([{}, {"seed": 3, "versions": {"kubric": "x"}}])),
    )


def scene() -> ClipTracks:
    """Two frames: a mug in front of a box, and in the second frame over all of it."""
    nothing, hidden = np.zeros_like(FRONT), box(3, 3, 6, 6)
    mug = Track(1, (Rle.encode(FRONT),) * 2, (Rle.encode(FRONT),) * 2, label="mug")
    other = Track(2, (Rle.encode(SEEN), Rle.encode(nothing)), (Rle.encode(BACK), Rle.encode(hidden)), label="box")
    video = VideoInfo("clip.mp4", HEIGHT, WIDTH, 2, 12.0)
    return ClipTracks(video, (mug, other), exhaustive=True, order=(((1, 2),),) * 2)


def scenes(path: Path, *keys: str) -> list[Path]:
    """Folders of scenes as ``dataset_gen`` leaves them before they go into a shard."""
    folders = [path / key for key in keys]
    for folder in folders:
        folder.mkdir(parents=True)
        write_video(folder / f"{folder.name}.mp4", frames(clip_of(scene())), 12.0)
        (folder / f"{folder.name}.tracks.json").write_text(dumps_tracks(scene()))
        (folder / f"{folder.name}.scene.json").write_text('{"seed": 1}\n')
    return folders
