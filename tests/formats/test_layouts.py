"""Data sets in the layouts of others and in our own: masks checked pixel by pixel, and what is refused."""

from __future__ import annotations

import importlib.util
import io
import json
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco

from dataset_gen.export import export_movid_a
from dataset_gen.export import main as export
from dataset_gen.scene_shards import write_shard
from vidamodal.formats import Clip, Fit, all_formats, find_dataset, writable_formats
from vidamodal.formats.convert import convert
from vidamodal.formats.tracks import dumps_tracks, loads_tracks
from vidamodal.formats.videos.movid_a import write_split
from vidamodal.media.images import write_image
from vidamodal.media.mask_images import write_id_map
from vidamodal.media.video_writer import write_video
from vidamodal.types import ClipTracks, Frame, InputError, Rle, Track, VideoInfo

ROOT = Path(__file__).parents[2]
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
    """The tracks of a clip, which keep all promises of tracks.json."""
    tracks = clip.tracks()
    assert loads_tracks(dumps_tracks(tracks), "again") == tracks
    return tracks


def frames(clip: Clip) -> list[Frame]:
    found = clip.frames()
    assert found is not None
    return list(found)


def refusal(path: Path, read: bool = True) -> str:
    """The one line with which a data set, or its first clip, is refused."""
    with pytest.raises(InputError) as error:
        for clip in find_dataset(path).clips.values():
            if read:
                clip.tracks()
                list(clip.frames() or ())
    assert "\n" not in str(error.value)
    return str(error.value)


# KINS


def kins(**changes: Any) -> dict[str, Any]:
    """One image, with the car in front listed last, and a cyclist apart in a cluster of its own."""
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


def test_kins_of_2020(tmp_path: Path) -> None:
    save(tmp_path / "update_train_2020.json", kins())
    picture(tmp_path / "training/image_2/000003.png", 50)
    picture(tmp_path / "testing/image_2/000003.png", 200)  # another image of the same name
    dataset = find_dataset(tmp_path)
    clip = checked(dataset.clips["7"])
    assert dataset.format == "KINS" and list(dataset.clips) == ["7"]
    assert same(masks(clip), (SEEN, BACK), (box(0, 14, 2, 16), box(0, 14, 2, 16)), (FRONT, FRONT))
    assert [(t.id, t.label) for t in clip.tracks] == [(1, "car"), (2, "cyclist"), (3, "car")]
    assert clip.order == (((3, 1),),) and not clip.exhaustive
    assert clip.video == VideoInfo("000003.png", HEIGHT, WIDTH, 1, 1.0)
    assert clip.provenance == {"layout": "KINS"}
    (frame,) = frames(dataset.clips["7"])
    assert frame.shape == (HEIGHT, WIDTH, 3) and (frame == 50).all()


def test_kins_of_2019_has_no_order(tmp_path: Path) -> None:
    annotation = {"image_id": 7, "category_id": 4, "segmentation": [corners(*edges(BACK))], "inmodal_seg": packed(SEEN)}
    path = save(tmp_path / "instances_val.json", {**kins(), "annotations": [annotation]})
    clip = only(path)
    assert same(masks(checked(clip)), (SEEN, BACK)) and clip.tracks().order is None
    assert clip.frames() is None


def test_a_visible_mask_that_sticks_out_is_added_and_counted(tmp_path: Path) -> None:
    document = kins()
    document["annotations"][2]["i_segm"] = packed(FRONT | box(0, 2, 2, 5))
    clip = checked(only(save(tmp_path / "update_test_2020.json", document)))
    assert same(masks(clip)[2:], (FRONT | box(0, 2, 2, 5), FRONT | box(0, 2, 2, 5)))
    assert clip.provenance["united"] == {"masks": 1, "pixels": 6}


def test_polygons_may_have_parts_and_points_too_few_for_an_area(tmp_path: Path) -> None:
    document = kins()
    left, right = (2, 2, 8, 5), (2, 6, 8, 8)
    document["annotations"][2] |= {"a_segm": [corners(*left), [1, 1, 9, 9], corners(*right)], "i_segm": []}
    clip = checked(only(save(tmp_path / "update_test_2020.json", document)))
    assert same(masks(clip)[2:], (np.zeros_like(FRONT), box(*left) | box(*right)))


# COCOA, MP3D-Amodal


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


def test_cocoa(tmp_path: Path) -> None:
    save(tmp_path / "annotations/COCO_amodal_val2014.json", cocoa())
    picture(tmp_path / "val2014/COCO_val2014_7.png", 31)
    dataset = find_dataset(tmp_path)
    clip = checked(dataset.clips["7"])
    assert dataset.format == "COCOA or MP3D-Amodal" and list(dataset.clips) == ["7"]
    assert same(masks(clip), (FRONT, FRONT), (SEEN, BACK))
    assert [t.label for t in clip.tracks] == ["phone", "table"]
    assert clip.order == (((1, 2),),) and not clip.exhaustive
    assert (frames(dataset.clips["7"])[0] == 31).all()


def test_annotators_of_one_image_are_clips_of_their_own(tmp_path: Path) -> None:
    document = cocoa()
    document["annotations"].append(cocoa(depth_constraint="")["annotations"][0])
    clips = find_dataset(save(tmp_path / "BSDS_amodal_val.json", document)).clips
    assert list(clips) == ["7-0", "7-1"]
    assert [clip.tracks().order for clip in clips.values()] == [(((1, 2),),), ((),)]


def test_mp3d_amodal(tmp_path: Path) -> None:
    region = {"segmentation": packed(BACK), "visible_mask": packed(SEEN), "category_id": 5, "isStuff": 0}
    document = {**cocoa(regions=[region], depth_constraint=""), "categories": CATEGORIES}
    clip = checked(only(save(tmp_path / "mp3d_eval.json", document)))
    assert same(masks(clip), (SEEN, BACK)) and clip.tracks[0].label == "cyclist" and clip.order == ((),)


@pytest.mark.parametrize("constraint", ["1-3", "1-1", "2", "1-2,2-1", "1-2;", "a-b"])
def test_a_depth_constraint_that_names_no_two_regions_is_refused(tmp_path: Path, constraint: str) -> None:
    assert "depth_constraint" in refusal(save(tmp_path / "a.json", cocoa(depth_constraint=constraint)))


# D2SA, COCOA-cls


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


@pytest.mark.parametrize("name", ["D2S_amodal_validation.json", "COCO_amodal_val2014_with_classes.json"])
def test_d2sa_and_cocoa_cls(tmp_path: Path, name: str) -> None:
    save(tmp_path / "d2s_amodal_annotations_v1" / name, d2sa())
    picture(tmp_path / "d2s_amodal_images_v1/images/D2S_000001.jpg", 77)
    dataset = find_dataset(tmp_path)
    clip = checked(dataset.clips["7"])
    assert dataset.format == "D2SA or COCOA-cls"
    assert same(masks(clip), (SEEN, BACK)) and clip.tracks[0].label == "cyclist"
    assert clip.order is None and not clip.exhaustive
    assert (frames(dataset.clips["7"])[0] == 77).all()


# What is wrong in annotation files


HUGE = [0.0, 0.0, 1e9, 0.0, 0.0, 1e9]
LONG = [0.0, 0.0, 2e6, 2e6] * 4


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ({"size": [HEIGHT, WIDTH], "counts": "0"}, "sum to"),
        ({"size": [HEIGHT, WIDTH], "counts": "~~"}, "counts"),
        ({"size": [WIDTH, HEIGHT], "counts": packed(BACK)["counts"]}, "size"),
        ({"size": [HEIGHT, WIDTH], "counts": [1, 2]}, "sum to"),
        ({"size": [HEIGHT, WIDTH], "counts": [-1, HEIGHT * WIDTH + 1]}, "run lengths"),
        ({"size": [HEIGHT, WIDTH + 1], "counts": [HEIGHT * (WIDTH + 1)]}, "size"),
        ({"counts": None}, "counts"),
        ([[1, 2, 3, 4, 5]], "x, y"),
        ([["a", 2, 3, 4, 5, 6]], "x, y"),
        ([[float("nan")] * 6], "coordinate"),
        ([HUGE], "coordinate"),
        ([LONG], "outline"),
        ("text", "segmentation must be"),
        (None, "segmentation must be"),
    ],
)
def test_a_damaged_mask_is_refused_before_it_is_decoded(tmp_path: Path, mask: Any, words: str) -> None:
    document = d2sa()
    document["annotations"][0]["segmentation"] = mask
    line = refusal(save(tmp_path / "D2S_amodal_validation.json", document))
    assert words in line and "D2S_amodal_validation.json: image 7: annotation 0: segmentation" in line


@pytest.mark.parametrize(
    "name", ["../outside.png", "/etc/passwd", "C:\\x.png", "a\\..\\b.png", "a/../../b.png", "C:/x"]
)
def test_a_picture_outside_the_data_set_is_refused(tmp_path: Path, name: str) -> None:
    document = {**d2sa(), "images": images(name)}
    assert "leads out of the data set" in refusal(save(tmp_path / "D2S.json", document))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": images("a.png") * 2}, "is used twice"),
        ({"images": [{"id": 7, "file_name": "a.png", "height": 10**6, "width": 10**6}]}, "at most"),
        ({"images": [{"id": 7, "file_name": "a.png", "height": 0, "width": 5}]}, "at least 1"),
        ({"images": [{"id": "7", "file_name": "a.png", "height": 5, "width": 5}]}, "images[0].id must be an integer"),
        ({"images": {}}, "images must be a list"),
        ({"annotations": [{"image_id": 8, "segmentation": 0, "visible_mask": 0}]}, "images does not list"),
        ({"annotations": [], "info": ["segmentation", "visible_mask"]}, "no image in it is annotated"),
        ({"categories": [{"id": 5}]}, "categories[0].name is missing"),
    ],
)
def test_a_damaged_annotation_file_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    line = refusal(save(tmp_path / "D2S.json", d2sa() | change))
    assert words in line and "D2S.json" in line


def test_cut_off_json_and_a_wrong_picture_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "D2S.json", d2sa())
    picture(tmp_path / "images/D2S_000001.jpg", height=HEIGHT + 1)
    assert "its annotation says 12 x 16" in refusal(path)
    path.write_text(path.read_text()[:-9])
    assert "not JSON" in refusal(path)


def test_several_annotation_files_are_not_chosen_between(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        save(tmp_path / name, d2sa())
    assert "a.json, b.json" in refusal(tmp_path)
    assert list(find_dataset(tmp_path / "a.json").clips) == ["7"]


# pix2gestalt


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


def test_pix2gestalt(tmp_path: Path) -> None:
    clip = only(gestalt(tmp_path))
    tracks = checked(clip)
    assert clip.key == "10000015" and same(masks(tracks), (SEEN, BACK))
    assert tracks.tracks[0].label is None and tracks.order is None and not tracks.exhaustive
    assert np.array_equal(frames(clip)[0][..., 1], FRONT * 255)


def test_half_a_pair_and_masks_of_two_sizes_are_refused(tmp_path: Path) -> None:
    gestalt(tmp_path)
    picture(tmp_path / "whole_mask/10000015_whole_mask.png", height=5)
    assert "one size" in refusal(tmp_path)
    (tmp_path / "whole_mask/10000015_whole_mask.png").unlink()
    assert "one of the two masks of 10000015 is missing" in refusal(tmp_path)
    (tmp_path / "visible_object_mask/10000015_visible_mask.png").unlink()
    assert "no <id>_whole_mask.png" in refusal(tmp_path)


# Layers


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


def test_layers_of_intra_afruit_acom_and_muva(tmp_path: Path) -> None:
    clip = only(layered(tmp_path))
    tracks = checked(clip)
    left, right, behind = box(2, 2, 8, 5), box(2, 9, 8, 12), box(4, 3, 10, 11)
    assert clip.key == "1013"
    assert same(masks(tracks), (left, left), (right, right), (behind & ~left & ~right, behind))
    assert tracks.order == (((1, 3), (2, 3)),) and tracks.exhaustive
    assert tracks.provenance["layers"] == [0, 0, 1] and all(t.label is None for t in tracks.tracks)
    assert (frames(clip)[0] == 60).all()


def test_a_missing_layer_and_layers_of_two_sizes_are_refused(tmp_path: Path) -> None:
    layered(tmp_path)
    write_id_map(tmp_path / "1013_1/mask.png", np.ones((5, 5), np.uint8))
    assert "one size" in refusal(tmp_path)
    (tmp_path / "1013_1/mask.png").unlink()
    assert "layers [0, 2] of image 1013" in refusal(tmp_path)


# FISHBOWL


def converter() -> ModuleType:
    spec = importlib.util.spec_from_file_location("convert_fishbowl", ROOT / "scripts/dev/convert_fishbowl.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


def test_fishbowl_is_converted_only_when_it_is_trusted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = fishbowl(tmp_path / "test_data/test_data.pkl")
    out, convert = tmp_path / "out", converter().main
    assert convert([str(path), "--out", str(out)]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "--trust" in message and not out.exists()
    assert convert([str(path), "--out", str(out), "--trust", "--quiet"]) == 0
    clip = checked(find_dataset(out).clips["00043"])
    assert [(t.id, t.label) for t in clip.tracks] == [(2, "Cod"), (7, "Cod")] and not clip.exhaustive
    assert clip.video == VideoInfo("00043.mp4", 320, 480, 5, 24.0)
    _, swimmer = clip.tracks
    assert swimmer.visible[:3] == (None,) * 3 and swimmer.amodal is not None
    assert swimmer.amodal[3] == Rle.encode(box(20, 30, 60, 90, 320, 480))
    assert swimmer.visible[3] == Rle.encode(box(20, 50, 60, 90, 320, 480))


def test_fishbowl_with_frames(tmp_path: Path) -> None:
    path = fishbowl(tmp_path / "test_data.pkl")
    for t in range(6):
        picture(tmp_path / f"test_frames/00043/{t:05d}.png", 100, 320, 480)
    assert converter().convert(path, tmp_path / "out", tmp_path / "test_frames") == 1
    clip = find_dataset(tmp_path / "out").clips["00043"]
    assert clip.tracks().video.frames == len(frames(clip)) == 6
    (tmp_path / "test_frames/00043/00005.png").unlink()
    (tmp_path / "test_frames/00043/00004.png").unlink()
    with pytest.raises(InputError, match="frame 4 is annotated"):
        converter().convert(path, tmp_path / "again", tmp_path / "test_frames")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("a pickle ran code",))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"00043_9": Evil()}, "builtins.print"),
        ({"00043_9": np.array([Evil()], dtype=object)}, "builtins.print"),
        ({"../x_9": {}}, "../x_9"),
        ({"00043_9": [1]}, "00043_9 must be an object"),
        ({"00043_9": {"1": 2}}, "no number of a frame"),
        ({"00043_9": {2: {"VM": []}}}, "VM must be a list of one RLE"),
        ({"00043_9": {2: {"VM": [{"size": [320, 480], "counts": b"0"}]}}}, "sum to"),
    ],
)
def test_a_pickle_with_anything_else_in_it_is_refused(
    tmp_path: Path, more: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fishbowl(tmp_path / "test_data.pkl", **more)
    with pytest.raises(InputError) as error:
        converter().convert(path, tmp_path / "out")
    assert words in str(error.value) and "\n" not in str(error.value)
    assert capsys.readouterr().out == "" and not (tmp_path / "out").exists()


def test_a_cut_off_pickle_is_refused(tmp_path: Path) -> None:
    path = fishbowl(tmp_path / "test_data.pkl")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="not a pickle of plain data"):
        converter().convert(path, tmp_path / "out")


def test_fishbowls_pickle_is_never_opened_by_the_loader(tmp_path: Path) -> None:
    path = fishbowl(tmp_path / "train_data/train_data.pkl", evil=Evil())
    for start in (path, path.parent, tmp_path):
        assert "convert_fishbowl --trust" in refusal(start)


# MOViD-A


def clip_of(tracks: ClipTracks, key: str = "test-00000012") -> Clip:
    """A clip in memory; its pictures are frame numbers."""
    video = tracks.video

    def pictures() -> Iterator[Frame]:
        return (np.full((video.height, video.width, 3), t, dtype=np.uint8) for t in range(video.frames))

    return Clip(key, lambda: tracks, pictures)


@st.composite
def truths(draw: st.DrawFn) -> ClipTracks:
    """Truth without holes: boxes, each visible where none before it is; ids, labels and orders of all sorts."""
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


@settings(max_examples=25, deadline=None)
@given(truths())
def test_movid_a_reads_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, truth: ClipTracks) -> None:
    folder = tmp_path_factory.mktemp("movid")
    assert write_split(folder, [clip_of(truth)], "test") == 1
    dataset = find_dataset(folder)
    clip = dataset.clips["test-00000012"]
    assert dataset.format == "MOViD-A"
    assert checked(clip) == replace(truth, provenance={**truth.provenance, "layout": "MOViD-A"})
    assert [int(frame.max()) for frame in frames(clip)] == list(range(truth.video.frames))
    metadata = json.loads((folder / "test/0/metadata.json").read_text())
    for k, (track, record) in enumerate(zip(truth.tracks, metadata["instances"], strict=True)):
        seen = [mask for mask in track.visible if mask is not None]
        assert record["visibility"] == [mask.area() for mask in seen]
        assert record["bbox_frames"] == [t for t, mask in enumerate(seen) if mask.area()]
        for t, shares in zip(record["bbox_frames"], record["bboxes"], strict=True):  # as the published loaders do it
            sides = [truth.video.height, truth.video.width] * 2
            assert tuple(int(side * share) for side, share in zip(sides, shares, strict=True)) == seen[t].box()
        lines = (folder / "test_instance.txt").read_text().split()
        assert (f"0_{k}_{k + 1}" in lines) == track.ever_visible


def scene() -> ClipTracks:
    """Two frames: a mug in front of a box, and in the second frame over all of it."""
    nothing, hidden = np.zeros_like(FRONT), box(3, 3, 6, 6)
    mug = Track(1, (Rle.encode(FRONT),) * 2, (Rle.encode(FRONT),) * 2, label="mug")
    other = Track(2, (Rle.encode(SEEN), Rle.encode(nothing)), (Rle.encode(BACK), Rle.encode(hidden)), label="box")
    video = VideoInfo("clip.mp4", HEIGHT, WIDTH, 2, 12.0)
    return ClipTracks(video, (mug, other), exhaustive=True, order=(((1, 2),),) * 2)


def test_movid_a_is_written_as_its_loaders_read_it(tmp_path: Path) -> None:
    write_split(tmp_path, [clip_of(scene()), clip_of(scene(), "test-00000013")], "test")
    video = tmp_path / "test" / "1"
    assert sorted(path.name for path in video.iterdir()) == sorted(
        ["metadata.json"]
        + [
            f"{kind}_{t:05d}.png"
            for kind in ("rgba_full", "segmentation_full", "segmentation_0", "segmentation_1")
            for t in (0, 1)
        ]
    )
    ids = np.array(Image.open(video / "segmentation_full_00000.png"))
    assert np.array_equal(ids == 1, FRONT) and np.array_equal(ids == 2, SEEN)
    assert np.array_equal(np.array(Image.open(video / "segmentation_1_00000.png")) == 2, BACK)
    assert np.array(Image.open(video / "rgba_full_00001.png")).shape == (HEIGHT, WIDTH, 4)
    metadata = json.loads((video / "metadata.json").read_text())
    assert metadata["metadata"]["num_frames"] == 2 and metadata["instances"][1]["bbox_frames"] == [0]
    assert metadata["instances"][0]["bboxes"][0] == [2 / 12, 2 / 16, 8 / 12, 8 / 16]
    assert (tmp_path / "test_instance.txt").read_text() == "0_0_1\n0_1_2\n1_0_1\n1_1_2\n"
    assert (tmp_path / "test_frame_list.txt").read_text().split()[:3] == ["0_0_0", "0_0_1", "0_1_0"]


def test_movid_a_as_published_without_our_record(tmp_path: Path) -> None:
    write_split(tmp_path, [clip_of(scene())], "train")
    path = tmp_path / "train/0/metadata.json"
    document = json.loads(path.read_text())
    del document["vidamodal"], document["metadata"]["frame_rate"], document["instances"][1]["category"]
    path.write_text(json.dumps(document))
    for start, key in ((tmp_path, "train-0"), (tmp_path / "train", "0"), (tmp_path / "train/0", "0")):
        clip = checked(find_dataset(start).clips[key])
        assert same(masks(clip), (FRONT, FRONT), (SEEN, BACK)) and [t.id for t in clip.tracks] == [1, 2]
        assert [t.label for t in clip.tracks] == ["mug", None]
        assert clip.exhaustive and clip.order is None and clip.video == VideoInfo("0", HEIGHT, WIDTH, 2, 12.0)
    (tmp_path / "train/0/rgba_full_00000.png").unlink()
    assert only(tmp_path).frames() is None


def changed(**changes: Any) -> ClipTracks:
    """The scene with another second track."""
    first, second = scene().tracks
    return replace(scene(), tracks=(first, replace(second, **changes)))


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        (clip_of(changed(visible=(None, None))), "the visible mask of track 2 in frame 0 is unknown"),
        (clip_of(changed(amodal=None)), "the amodal mask of track 2 in frame 0 is unknown"),
        (clip_of(changed(visible=(Rle.encode(BACK),) * 2, amodal=(Rle.encode(BACK),) * 2)), "tracks 1 and 2 overlap"),
        (clip_of(scene(), "../evil"), "not a plain name"),
        (replace(clip_of(scene()), frames=lambda: None), "pictures are missing"),
        (replace(clip_of(scene()), frames=lambda: iter([np.zeros((12, 16, 3), np.uint8)])), "1 pictures for 2 frames"),
        (replace(clip_of(scene()), frames=lambda: iter([np.zeros((9, 9, 3), np.uint8)])), "pictures of 9 x 9 pixels"),
        (clip_of(replace(scene(), tracks=tuple(replace(scene().tracks[1], id=k) for k in range(256)))), "256 objects"),
    ],
)
def test_what_movid_a_cannot_hold_is_refused_and_leaves_nothing(tmp_path: Path, clip: Clip, words: str) -> None:
    with pytest.raises(InputError) as error:
        write_split(tmp_path / "out", [clip_of(scene(), "test-1"), clip], "test")
    assert words in str(error.value) and "\n" not in str(error.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_split_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    write_split(tmp_path, [clip_of(scene())], "test")
    for split, words in (("test", "already there"), ("../test", "letters")):
        with pytest.raises(InputError, match=words):
            write_split(tmp_path, [clip_of(scene())], split)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("metadata", "num_frames"), "2", "metadata.num_frames must be an integer"),
        (("metadata", "num_frames"), 3, "vidamodal.order is not a list of pairs of ids for each of 3 frames"),
        (("metadata", "height"), 13, "12 x 16 pixels, the video has 13 x 16"),
        (("metadata", "width"), 10**9, "at most"),
        (("metadata", "frame_rate"), 0, "fps"),
        (("instances",), [{}, {}, {}], "vidamodal.ids"),
        (("instances",), [1, 2], "instances[0] must be an object"),
        (("vidamodal", "key"), "../evil", "plain name"),
        (("vidamodal", "ids"), [1, 1], "vidamodal.ids"),
        (("vidamodal", "ids"), [1, [2]], "vidamodal.ids"),
        (("vidamodal", "order"), [[[1, 3]], []], "vidamodal.order"),
        (("vidamodal", "order"), [[[1, [2]]], []], "vidamodal.order"),
        (("vidamodal", "path"), "/etc/passwd", "absolute path"),
    ],
)
def test_damaged_metadata_is_refused(tmp_path: Path, place: tuple[str, ...], value: Any, words: str) -> None:
    write_split(tmp_path, [clip_of(scene())], "test")
    path = tmp_path / "test/0/metadata.json"
    document = record = json.loads(path.read_text())
    for key in place[:-1]:
        record = record[key]
    record[place[-1]] = value
    path.write_text(json.dumps(document))
    assert words in refusal(tmp_path)


def test_a_cut_off_metadata_and_a_missing_mask_are_refused(tmp_path: Path) -> None:
    write_split(tmp_path, [clip_of(scene())], "test")
    (tmp_path / "test/0/segmentation_1_00001.png").unlink()
    assert "segmentation_1_00001.png: this file is missing" in refusal(tmp_path)
    (tmp_path / "test/0/metadata.json").write_text("{")
    assert "metadata.json" in refusal(tmp_path)


# Our own shards


def scenes(path: Path, *keys: str) -> list[Path]:
    """Folders of scenes as ``dataset_gen`` leaves them before they go into a shard."""
    folders = [path / key for key in keys]
    for folder in folders:
        folder.mkdir(parents=True)
        write_video(folder / f"{folder.name}.mp4", frames(clip_of(scene())), 12.0)
        (folder / f"{folder.name}.tracks.json").write_text(dumps_tracks(scene()))
        (folder / f"{folder.name}.scene.json").write_text('{"seed": 1}\n')
    return folders


def test_shards_iterate_with_webdataset(tmp_path: Path) -> None:
    folders = scenes(tmp_path / "scenes", "test-00000000", "test-00000001")
    write_shard(tmp_path / "test-000000.tar", folders)
    samples = list(webdataset.WebDataset(str(tmp_path / "test-000000.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["test-00000000", "test-00000001"]
    for sample, folder in zip(samples, folders, strict=True):
        members = {name: content for name, content in sample.items() if not name.startswith("__")}
        assert members == {file.name.removeprefix(f"{folder.name}."): file.read_bytes() for file in folder.iterdir()}
        assert loads_tracks(sample["tracks.json"].decode(), "sample") == scene()


@settings(max_examples=15, deadline=None)
@given(st.lists(truths(), min_size=1, max_size=3))
def test_shards_read_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, truth: list[ClipTracks]) -> None:
    path = tmp_path_factory.mktemp("shards") / "test-000000.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for k, clip in enumerate(truth):
            content = dumps_tracks(clip).encode()
            info = tarfile.TarInfo(f"test-{k}.tracks.json")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    clips = find_dataset(path).clips
    assert [clip.tracks() for clip in clips.values()] == truth
    assert [clip.frames() for clip in clips.values()] == [None] * len(truth)


def test_shards_and_folders_of_the_same_files_are_one_data_set(tmp_path: Path) -> None:
    folders = scenes(tmp_path / "scenes", "test-00000000", "test-00000001")
    (tmp_path / "shards").mkdir()
    write_shard(tmp_path / "shards/test-000000.tar", folders)
    flat = tmp_path / "flat"
    flat.mkdir()
    for folder in folders:
        for member in folder.iterdir():
            (flat / member.name).write_bytes(member.read_bytes())
    reference = find_dataset(tmp_path / "shards")
    assert reference.format == "WebDataset shards" and list(reference.clips) == ["test-00000000", "test-00000001"]
    dataset = find_dataset(flat)
    for key, clip in reference.clips.items():
        assert clip.tracks() == dataset.clips[key].tracks() == scene()
        assert np.array_equal(frames(clip), frames(dataset.clips[key]))
        assert frames(clip)[0].shape == (HEIGHT, WIDTH, 3) and len(frames(clip)) == 2


# Export


def test_a_data_set_is_exported_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    write_shard(tmp_path / "data/test-000000.tar", scenes(tmp_path / "scenes", "test-00000000", "train-00000001"))
    assert export([str(tmp_path / "data"), "--layout", "movid-a", "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert "test of 1 videos, train of 1 videos" in capsys.readouterr().out
    ours, theirs = find_dataset(tmp_path / "data").clips, find_dataset(tmp_path / "out").clips
    assert list(ours) == list(theirs)
    for key, clip in ours.items():
        tracks = theirs[key].tracks()
        assert replace(tracks, provenance={}) == clip.tracks()
        assert np.array_equal(frames(clip), frames(theirs[key]))


def test_export_needs_splits_and_a_new_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_shard(tmp_path / "data/a.tar", scenes(tmp_path / "scenes", "clip"))
    arguments = [str(tmp_path / "data"), "--layout", "movid-a", "--out", str(tmp_path / "out")]
    with pytest.raises(InputError, match="'clip' does not begin with a split .* give --split"):
        export(arguments)
    assert export_movid_a(tmp_path / "data", tmp_path / "out", split="test") == {"test": 1}
    with pytest.raises(InputError, match="already there"):
        export([*arguments, "--split", "test"])


# Any path


def test_what_was_looked_for_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "empty.json").write_text("")
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "empty.json"):
        line = refusal(path)
        assert line.startswith(f"{path}: not in a known format; looked for ")
        assert all(layout.NAME in line and layout.SIGN in line for layout in all_formats().values())
    assert "no such file" in refusal(tmp_path / "absent")
    assert len(all_formats()) >= 8


def test_two_layouts_in_one_folder_are_not_chosen_between(tmp_path: Path) -> None:
    layered(gestalt(tmp_path))
    assert "several formats (layers of Intra-AFruit, ACOM or MUVA and pix2gestalt)" in refusal(tmp_path)


def test_layouts_are_recognised_by_their_own_reader_only(tmp_path: Path) -> None:
    paths = {
        "KINS": save(tmp_path / "k/update_train_2020.json", kins()),
        "COCOA or MP3D-Amodal": save(tmp_path / "c/COCO_amodal_val2014.json", cocoa()),
        "D2SA or COCOA-cls": save(tmp_path / "d/D2S_amodal_validation.json", d2sa()),
        "pix2gestalt": gestalt(tmp_path / "p"),
        "layers of Intra-AFruit, ACOM or MUVA": layered(tmp_path / "l"),
        "FISHBOWL": fishbowl(tmp_path / "f/test_data.pkl"),
    }
    write_split(tmp_path / "m", [clip_of(scene())], "test")
    (tmp_path / "v").mkdir()
    (tmp_path / "v/a.tracks.json").write_text(dumps_tracks(scene()))
    (tmp_path / "w").mkdir()
    (tmp_path / "w/worlds.jsonl").touch()
    paths |= {"MOViD-A": tmp_path / "m", "vidamodal": tmp_path / "v", "mask-only worlds": tmp_path / "w"}
    for form in ("burst", "coco", "davis", "sav", "shards", "tao-amodal", "youtube-vis"):
        (tmp_path / form).mkdir()
        convert(tmp_path / "v", tmp_path / form / "set.json", form)
        paths[writable_formats()[form].NAME] = tmp_path / form / "set.json"
    np.savez(tmp_path / "masks.npz", masks=np.zeros((1, 4, 4), np.uint8))
    paths["npz"] = tmp_path / "masks.npz"
    assert set(paths) == {layout.NAME for layout in all_formats().values()}
    for name, path in paths.items():
        for start in (path, path.parent) if path.is_file() and path.suffix != ".npz" else (path,):
            assert [layout.NAME for layout in all_formats().values() if layout.recognise(start) == Fit.CERTAIN] == [
                name
            ]


def test_layouts_do_not_import_torch() -> None:
    code = "import sys, vidamodal.formats as l; l.all_formats(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
