"""Every format is recognised by its own reader, and all readers give the same masks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.formats.image_data import (
    clip_of,
    cocoa,
    d2sa,
    fishbowl,
    gestalt,
    kins,
    layered,
    refusal,
    save,
    scene,
    scenes,
)
from tests.formats.image_data import save as save_json
from tests.formats.mask_data import (
    FRAMES,
    VIDEO,
    H,
    T,
    W,
    as_bool_npz,
    as_grey,
    as_id_npz,
    as_object_folders,
    as_palette,
    as_tracks,
    expected,
    id_maps,
    read_masks,
    save_palette,
)
from vidamodal import formats
from vidamodal.convert import convert
from vidamodal.formats import Fit, VideoContext, all_formats, find_dataset, writable_formats
from vidamodal.formats.videos.movid_a import write_split
from vidamodal.media.video_writer import write_mask_video
from vidamodal.metrics.evaluate import evaluate
from vidamodal.tracks import dumps_tracks, write_tracks
from vidamodal.types import ClipTracks, InputError, Rle, Track, VideoInfo

MOT = "1,1,399,182,121,229,1,-1,-1,-1"
KITTI = "0 2 Car 0 1 -1.7 10.0 2.5 30.0 8.0 1.5 1.6 3.9 2.1 1.4 8.4 -1.5"


def test_unknown_content_is_refused_with_a_list_of_formats(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "empty.json").write_text("{}")
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "empty.json"):
        line = refusal(path)
        assert line.startswith(f"{path}: in no known format; docs/mask-formats.md ")
        assert len(line) - len(str(path)) < 400
        assert all(name in line for name in all_formats())
    with pytest.raises(InputError) as named:
        find_dataset(tmp_path, "burst")
    assert str(named.value) == f"{tmp_path}: not in the format burst; pass {all_formats()['burst'].SIGN}"
    assert "no such file" in refusal(tmp_path / "absent")
    assert len(all_formats()) >= 8


def test_two_formats_in_one_folder_are_ambiguous(tmp_path: Path) -> None:
    layered(gestalt(tmp_path))
    assert "several formats (layers of Intra-AFruit, ACOM or MUVA and pix2gestalt)" in refusal(tmp_path)


def test_formats_are_recognised_by_their_own_reader_only(tmp_path: Path) -> None:
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
    for form in (
        "burst",
        "coco",
        "cvat",
        "davis",
        "label-studio",
        "mots",
        "sav",
        "shards",
        "tao-amodal",
        "youtube-vis",
    ):
        (tmp_path / form).mkdir()
        convert(tmp_path / "v", tmp_path / form / "set.json", form)
        paths[writable_formats()[form].NAME] = tmp_path / form / "set.json"
    np.savez(tmp_path / "masks.npz", masks=np.zeros((1, 4, 4), np.uint8))
    np.save(tmp_path / "masks.npy", np.zeros((1, 4, 4), np.uint8))
    paths |= {"npz": tmp_path / "masks.npz", "npy": tmp_path / "masks.npy"}
    write_mask_video(tmp_path / "masks.mkv", np.zeros((1, 4, 4), bool), 1.0)
    paths["mask video"] = tmp_path / "masks.mkv"
    for name, file, row in (("MOTChallenge", "t/s/gt/gt.txt", MOT), ("KITTI tracking", "i/label_02/0000.txt", KITTI)):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(f"{row}\n")
        paths[name] = tmp_path / file
    rle = {"size": [4, 4], "counts": "0`0"}
    masklets = {"video_height": 4, "video_width": 4, "masklet": []}
    image = {"image": {"height": 4, "width": 4}, "annotations": [{"segmentation": rle}]}
    results = [{"image_id": 1, "segmentation": rle}]
    for name, document in (
        ("SA-V's JSON", masklets),
        ("SA-1B or Grounded-SAM-2", image),
        ("COCO or YouTube-VIS results", results),
    ):
        paths[name] = save(tmp_path / name / "a.json", document)
    (tmp_path / "p2/instances/0002").mkdir(parents=True)
    Image.fromarray(np.full((4, 4), 1001, np.uint16)).save(tmp_path / "p2/instances/0002/000000.png")
    paths["MOTS PNGs"] = tmp_path / "p2"
    convert(scenes(tmp_path / "o", "a")[0], tmp_path / "fiftyone", "fiftyone")
    paths["FiftyOne"] = tmp_path / "fiftyone"
    for name, folders in (("Diffusion-VAS", ("rgbs", "masks")), ("TABE-51", ("frames", "visible_masks", "gt_masks"))):
        for folder in folders:
            save_palette(tmp_path / name / folder / "00000.png", id_maps()[0])
        paths[name] = tmp_path / name
    for folder in ("mask", "mask_visib"):
        save_palette(tmp_path / "bop" / folder / "000000_000000.png", id_maps()[0])
    (tmp_path / "bop/scene_gt.json").write_text('{"0": [{"obj_id": 1}]}')
    paths["BOP"] = tmp_path / "bop"
    assert set(paths) == {form.NAME for form in all_formats().values()}
    for name, path in paths.items():
        for start in (path, path.parent) if path.is_file() and path.suffix not in (".npz", ".npy", ".mkv") else (path,):
            assert [form.NAME for form in all_formats().values() if form.recognise(start) >= Fit.CERTAIN] == [name]


def test_formats_do_not_import_torch() -> None:
    code = "import sys, vidamodal.formats as l; l.all_formats(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_tracks_json_gives_visible_masks_and_never_the_truth(tmp_path: Path) -> None:
    full = Rle.encode(np.ones((H, W), dtype=bool))
    track = Track(3, (full, None) * 3, (full,) * T, (0.5,) * T, label="mug")
    write_tracks(tmp_path / "truth", ClipTracks(VIDEO, (track,), True, ((),) * T, {"seed": 1}))
    mine = VideoInfo("other.mp4", H, W, T, 30.0)
    assert read_masks(tmp_path / "truth", mine) == ClipTracks(mine, (Track(3, track.visible, label="mug"),), True)


def test_other_files_are_refused(tmp_path: Path) -> None:
    unknown = "in no known format"
    for content, words in ((b"", "empty"), (b"text", unknown), (b'{"a": 1}', unknown), (b"{", "not JSON")):
        (tmp_path / "m").write_bytes(content)
        with pytest.raises(InputError, match=words):
            read_masks(tmp_path / "m", VIDEO)
    with pytest.raises(InputError, match="no such file"):
        read_masks(tmp_path / "missing", VIDEO)


@pytest.mark.parametrize("change", [{"height": H + 1}, {"width": W + 1}, {"frames": T - 1}, {"frames": T + 1}])
def test_tracks_of_another_video_are_refused(change: dict[str, int], tmp_path: Path) -> None:
    write_tracks(tmp_path / "t.json", expected())
    other = VideoInfo(**{**VIDEO.__dict__, **change})
    with pytest.raises(InputError, match="pass the masks of this video"):
        read_masks(tmp_path / "t.json", other)


# One reader for all commands


def upper_case(path: Path) -> Path:
    for frame, values in zip(FRAMES, id_maps(), strict=True):
        save_palette(path / f"{frame:05d}.PNG", values)
    return path


def prefixed_object_folders(path: Path) -> Path:
    for png in sorted(as_object_folders(path).glob("*/*.png")):
        png.rename(png.with_name(f"frame_{png.stem}.PNG"))
    return path


FORMS = (as_palette, as_grey, as_object_folders, as_id_npz, as_bool_npz, as_tracks, upper_case, prefixed_object_folders)


@pytest.mark.parametrize("save", FORMS)
def test_masks_that_predict_reads_are_converted_and_evaluated(save: Callable[[Path], Path], tmp_path: Path) -> None:
    source = save(tmp_path / "masks")
    visible = [track.visible for track in expected().tracks]
    assert read_masks(source, VIDEO) == expected()
    (clip,) = find_dataset(source, video=VideoContext(VIDEO)).clips.values()
    assert [track.visible for track in clip.tracks().tracks] == visible
    convert(source, tmp_path / "out", "tracks")
    (clip,) = find_dataset(tmp_path / "out").clips.values()
    length = clip.tracks().video.frames
    assert [track.visible for track in clip.tracks().tracks] == [masks[:length] for masks in visible]
    if save is not as_tracks:  # a tracks.json states that its masks are visible ones
        truth = replace(expected(), tracks=tuple(replace(t, amodal=t.visible) for t in expected().tracks))
        write_tracks(tmp_path / "truth/masks.tracks.json", truth)
        assert not evaluate(source, tmp_path / "truth").missing


def test_plain_masks_of_a_video_win_over_annotations_beside_them(tmp_path: Path) -> None:
    save_json(as_palette(tmp_path) / "update_train_2020.json", kins())
    assert read_masks(tmp_path, VIDEO) == expected()
    with pytest.raises(InputError, match="several formats"):
        find_dataset(tmp_path)


def test_folders_of_several_videos_are_not_the_masks_of_one(tmp_path: Path) -> None:
    for name in ("mug", "box"):
        as_palette(tmp_path / name)
    assert list(find_dataset(tmp_path).clips) == ["box", "mug"]
    with pytest.raises(InputError, match="holds the masks of 2 clips"):
        read_masks(tmp_path, VIDEO)


def test_meta_json_of_other_programs_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text("[1]")
    assert read_masks(as_palette(tmp_path / "masks"), VIDEO) == expected()


# A new format is one new file


TOY = """
from vidamodal.formats.base import Clip, Fit, certain_if
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo
import numpy as np

ID, NAME, SIGN = "toy", "toy", "a file that begins with TOY"
HOLDS, SINGLE_MASK, IS_FILE = frozenset({"visible"}), False, True


def recognise(path):
    return certain_if(path.is_file() and path.read_bytes().startswith(b"TOY"))


def read(path, video=None):
    height, width = map(int, path.read_text().split()[1:])
    mask = Rle.encode(np.ones((height, width), bool))
    clip = ClipTracks(VideoInfo("toy", height, width, 1, 1.0), (Track(1, (mask,)),))
    return {"toy": Clip("toy", lambda: clip, lambda: None)}


def write(out, clips, kind):
    (clip,) = clips
    video = clip.tracks().video
    out.write_text(f"TOY {video.height} {video.width}")
"""


def test_a_new_format_is_one_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package/toy_format.py").write_text(TOY)
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path / "package")])
    monkeypatch.delitem(sys.modules, "vidamodal.formats.toy_format", raising=False)
    (tmp_path / "a.toy").write_text("TOY 4 6")
    assert "toy" in writable_formats() and find_dataset(tmp_path / "a.toy").format == "toy"
    (track,) = read_masks(tmp_path / "a.toy", VideoInfo("v.mp4", 4, 6, 1, 1.0)).tracks
    assert track.visible == (Rle.encode(np.ones((4, 6), dtype=bool)),)
    convert(tmp_path / "a.toy", tmp_path / "out", "tracks")
    convert(tmp_path / "out", tmp_path / "b.toy", "toy")
    assert (tmp_path / "b.toy").read_text() == "TOY 4 6"


def test_boxes_alone_are_no_masks_of_a_video(tmp_path: Path) -> None:
    (tmp_path / "gt.txt").write_text(MOT.replace("399,182,121,229", "2,1,5,4"))
    with pytest.raises(InputError, match="no mask in it, only boxes"):
        read_masks(tmp_path / "gt.txt", VideoInfo("v.mp4", 12, 16, 2, 10.0))


@pytest.mark.parametrize(("inside", "is_noted"), [(True, False), (False, True)])
def test_masks_that_look_inverted_are_reported(inside: bool, is_noted: bool, tmp_path: Path) -> None:
    mask = np.zeros((8, 10), bool)
    mask[2:5, 3:7] = True
    for t in range(2):
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask == inside).save(tmp_path / f"masks/{t:05d}.png")
    notes = read_masks(tmp_path / "masks", VideoInfo("v.mp4", 8, 10, 2, 10.0)).notes
    assert ("masks: the object covers the border of every image: inverted masks?" in notes) == is_noted


def test_empty_masks_of_objects_are_no_masks(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", masks=np.zeros((2, 2, 8, 10), bool))
    with pytest.raises(InputError, match="no mask in it, only boxes or empty masks"):
        read_masks(tmp_path / "a.npz", VideoInfo("v.mp4", 8, 10, 2, 10.0))
