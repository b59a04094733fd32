"""Formats of other tools: what is written reads back as it was, what a format cannot hold is refused in one line."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from vidamodal import cli
from vidamodal.formats import MaskKind, find_dataset, writable_formats
from vidamodal.formats.convert import convert
from vidamodal.formats.tracks import write_tracks
from vidamodal.media.images import write_image
from vidamodal.media.video_writer import write_video
from vidamodal.types import ClipTracks, Hypothesis, InputError, Rle, Track, VideoInfo

H, W, T = 6, 5, 3
Mask = np.ndarray
Masks = tuple[Rle | None, ...]
ONE = ("burst", "davis", "sav", "youtube-vis")
BOTH = ("coco", "shards", "tao-amodal", "tracks")


@pytest.fixture(autouse=True, scope="module")
def hasty() -> Iterator[None]:
    """No test waits for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr(os, "sync", lambda: None)
        yield


# Whatever a clip may be


@st.composite
def clips(draw: st.DrawFn) -> ClipTracks:
    """Up to three tracks with every mixture of unknown, empty and other masks, and everything else that a clip has."""
    frames = draw(st.integers(1, T))
    ids = draw(st.lists(st.integers(0, 300), max_size=3, unique=True))
    canvas = draw(st.none() | st.just((1, 0, 2, 1)))
    tracks = tuple(draw(_tracks(number, frames, canvas)) for number in ids)
    order = None
    if len(ids) > 1 and draw(st.booleans()):
        order = tuple(((ids[0], ids[1]),) if draw(st.booleans()) else () for _ in range(frames))
    return ClipTracks(
        VideoInfo("folder/film.mp4", H, W, frames, draw(st.sampled_from([1.0, 12.0, 29.97])), canvas),
        tracks,
        draw(st.booleans()),
        order,
        draw(st.sampled_from([{}, {"seed": 3, "note": "ä"}])),
    )


@st.composite
def _tracks(draw: st.DrawFn, number: int, frames: int, canvas: tuple[int, int, int, int] | None) -> Track:
    def known() -> list[bool]:
        return [draw(st.integers(0, 3)) > 0 for _ in range(frames)]

    def masks() -> Mask:
        found = draw(npst.arrays(bool, (frames, H, W)))
        found[[draw(st.integers(0, 3)) == 0 for _ in range(frames)]] = False
        return found

    def told(stack: Mask, which: list[bool]) -> Masks:
        return tuple(Rle.encode(mask) if is_known else None for mask, is_known in zip(stack, which, strict=True))

    whole, which = masks(), known()
    label = draw(st.sampled_from([None, "mug", "object"]))
    if not draw(st.integers(0, 3)):
        return Track(number, told(whole, which), label=label)
    seen, amodal = told(whole & masks(), known()), told(whole, which)
    full, confidence, hypotheses = None, None, ()
    if canvas is not None:
        top, left, bottom, right = canvas
        full = told(np.pad(whole, ((0, 0), (top, bottom), (left, right)), constant_values=draw(st.booleans())), which)
    if draw(st.booleans()):
        confidence = tuple(0.25 if mask else None for mask in amodal)
        hypotheses = (Hypothesis(0.5, amodal),)
    return Track(number, seen, amodal, confidence, hypotheses, label, full)


def masks_of(track: Track, kind: MaskKind) -> Masks:
    return track.visible if kind == "visible" else track.amodal or (None,) * len(track.visible)


def held(clip: ClipTracks, form: str, kind: MaskKind) -> ClipTracks:
    """What of a clip a format holds."""
    if form in ("shards", "tracks"):
        return clip
    blank = (None,) * clip.video.frames

    def of(track: Track) -> Track:
        if form in ONE and kind == "visible":
            return Track(track.id, track.visible, label=track.label)
        if form in ONE:
            return Track(track.id, blank, track.amodal, track.confidence, label=track.label)
        full = track.amodal_full if form == "tao-amodal" else None
        return replace(track, hypotheses=(), amodal_full=full)

    video = clip.video if form == "tao-amodal" else replace(clip.video, canvas=None)
    return replace(clip, video=video, tracks=tuple(map(of, clip.tracks)))


def fits(clip: ClipTracks, form: str, kind: MaskKind) -> bool:
    """Whether a format can hold a clip at all."""
    if form == "tao-amodal":
        return all(
            whole is not None or seen is None or not seen.area()
            for track in clip.tracks
            for seen, whole in zip(track.visible, masks_of(track, "amodal"), strict=True)
        ) and all(track.amodal is not None for track in clip.tracks)
    if form in ONE and kind == "amodal" and any(track.amodal is None for track in clip.tracks):
        return False
    stacks = [[mask and mask.decode() for mask in masks_of(track, kind)] for track in clip.tracks]
    if form in ("davis", "sav") and all(mask is None for stack in stacks for mask in stack):
        return False
    frames = [[mask for mask in frame if mask is not None] for frame in zip(*stacks, strict=True)]
    return form != "davis" or all(np.sum(frame, axis=0).max(initial=0) <= 1 for frame in frames if frame)


def save(folder: Path, *found: ClipTracks) -> Path:
    for number, clip in enumerate(found):
        write_tracks(folder / f"clip-{number}.tracks.json", clip)
    return folder


@pytest.mark.parametrize("kind", ["visible", "amodal"])
@pytest.mark.parametrize("form", ONE + BOTH)
@given(st.lists(clips(), min_size=1, max_size=2))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_is_written_reads_back_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, form: str, kind: MaskKind, found: list[ClipTracks]
) -> None:
    folder = tmp_path_factory.mktemp("convert")
    source, out = save(folder / "source", *found), folder / "out.json"
    if not all(fits(clip, form, kind) for clip in found):
        with pytest.raises(InputError, match="clip clip-[01]: ") as error:
            convert(source, out, form, kind=kind)
        assert "\n" not in str(error.value) and os.listdir(folder) == ["source"]
        return
    convert(source, out, form, kind=kind)
    dataset = find_dataset(out)
    assert dataset.format == writable_formats()[form].NAME and all(clip.kind_known for clip in dataset.clips.values())
    expected = {f"clip-{number}": held(clip, form, kind) for number, clip in enumerate(found)}
    assert {key: clip.tracks() for key, clip in dataset.clips.items()} == expected
    convert(out, folder / "again", "tracks")
    assert {key: clip.tracks() for key, clip in find_dataset(folder / "again").clips.items()} == expected
    assert sorted(os.listdir(folder)) == ["again", "out.json", "source"]


# What is written, as other tools read it


def box(top: int, left: int, bottom: int, right: int) -> Mask:
    mask = np.zeros((H, W), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


FRONT, BACK = box(1, 1, 4, 3), box(2, 2, 6, 5)
NOTHING = np.zeros((H, W), dtype=bool)


def rles(*masks: Mask | None) -> Masks:
    return tuple(None if mask is None else Rle.encode(mask) for mask in masks)


def packed(mask: Mask) -> dict[str, Any]:
    return {"size": [H, W], "counts": Rle.encode(mask).counts}


SCENE = ClipTracks(
    VideoInfo("film.mp4", H, W, T, 12.0),
    (
        Track(3, rles(FRONT, FRONT, FRONT), rles(FRONT, FRONT, FRONT), label="mug"),
        Track(7, rles(BACK & ~FRONT, NOTHING, NOTHING), rles(BACK, BACK, NOTHING), (0.5, 0.75, 1.0)),
    ),
    exhaustive=True,
    order=(((3, 7),), ((3, 7),), ()),
)


def written(tmp_path: Path, form: str, kind: MaskKind = "visible", clip: ClipTracks = SCENE) -> Any:
    """The JSON that a clip is written as."""
    convert(save(tmp_path / "source", clip), tmp_path / "out.json", form, kind=kind)
    return json.loads((tmp_path / "out.json").read_text())


def test_coco_has_an_annotation_for_each_mask_with_a_pixel(tmp_path: Path) -> None:
    document = written(tmp_path, "coco")
    assert [image["frame_index"] for image in document["images"]] == [0, 1, 2]
    assert document["categories"] == [{"id": 1, "name": "mug"}, {"id": 2, "name": "object"}]
    found = [(a["image_id"], a["track_id"], a["bbox"], a["area"]) for a in document["annotations"]]
    front, back = ([1, 1, 2, 3], 6), ([2, 2, 3, 4], 12)
    assert found == [(1, 1, *front), (2, 1, *front), (3, 1, *front), (1, 2, *back), (2, 2, *back)]
    assert document["annotations"][3]["segmentation"] == packed(BACK)
    assert document["annotations"][3]["visible_mask"] == packed(BACK & ~FRONT)
    assert document["annotations"][4]["visible_mask"] == packed(NOTHING)


def test_youtube_vis_has_null_where_nothing_is(tmp_path: Path) -> None:
    document = written(tmp_path, "youtube-vis")
    assert document["videos"][0]["file_names"] == [f"clip-0/{t:05d}.jpg" for t in range(T)]
    assert document["annotations"][1]["segmentations"] == [packed(BACK & ~FRONT), None, None]
    assert document["annotations"][1]["bboxes"] == [[2, 2, 3, 4], None, None]
    assert document["annotations"][1]["areas"] == [10, None, None]


def test_burst_has_scores_where_there_are_confidences(tmp_path: Path) -> None:
    (sequence,) = written(tmp_path, "burst", "amodal")["sequences"]
    assert sequence["annotated_image_paths"] == sequence["all_image_paths"]
    assert sequence["track_category_ids"] == {"3": 1, "7": 2}
    first, second, third = sequence["segmentations"]
    assert first["3"] == {"rle": packed(FRONT)["counts"], "is_gt": True, "score": 1.0}
    assert second["7"] == {"rle": packed(BACK)["counts"], "is_gt": False, "score": 0.75}
    assert list(third) == ["3"]


def test_tao_amodal_has_boxes_that_leave_the_image(tmp_path: Path) -> None:
    full = np.pad(BACK, ((0, 1), (0, 2)))
    full[2:, 4:] = True
    track = replace(
        SCENE.tracks[1], amodal_full=(Rle.encode(full), Rle.encode(full), Rle.encode(np.zeros((7, 7), bool)))
    )
    video = replace(SCENE.video, canvas=(0, 0, 1, 2))
    document = written(tmp_path, "tao-amodal", clip=ClipTracks(video, (track,)))
    seen, hidden = document["annotations"]
    assert (seen["bbox"], seen["amodal_bbox"], seen["out_of_frame"]) == ([2, 2, 3, 4], [2, 2, 5, 5], True)
    assert seen["visibility"] == round(10 / full.sum(), 4) and not seen["amodal_is_uncertain"]
    assert (hidden["bbox"], hidden["area"], hidden["visibility"]) == ([0, 0, 0, 0], 0, 0.0)
    assert document["tracks"] == [{"id": 1, "category_id": 1, "video_id": 1}]


def test_davis_pngs_hold_ids(tmp_path: Path) -> None:
    convert(save(tmp_path / "source", SCENE), tmp_path / "out", "davis")
    maps = [np.asarray(Image.open(tmp_path / f"out/Annotations/clip-0/{t:05d}.png")) for t in range(T)]
    np.testing.assert_array_equal(maps[0], np.where(FRONT, 3, np.where(BACK, 7, 0)))
    np.testing.assert_array_equal(maps[1], np.where(FRONT, 3, 0))
    meta = json.loads((tmp_path / "out/meta.json").read_text())["videos"]["clip-0"]["objects"]
    assert meta == {"3": {"category": "mug", "frames": ["00000", "00001", "00002"]}, "7": {"frames": ["00000"]}}


def test_sav_has_a_folder_an_object(tmp_path: Path) -> None:
    convert(save(tmp_path / "source", SCENE), tmp_path / "out", "sav", kind="amodal")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out/Annotations/clip-0/7/00001.png")), BACK * 255)


def test_movid_a_takes_pictures_from_a_video(tmp_path: Path) -> None:
    clip = replace(SCENE, tracks=tuple(replace(track, confidence=None) for track in SCENE.tracks))
    write_video(tmp_path / "film.mp4", np.full((T, 6, 6, 3), 90, dtype=np.uint8), 12.0)
    wide = replace(clip, video=replace(clip.video, width=6), tracks=tuple(map(_widened, clip.tracks)))
    source = save(tmp_path / "source", wide)
    with pytest.raises(InputError, match="its pictures are missing"):
        convert(source, tmp_path / "out", "movid-a")
    convert(source, tmp_path / "out", "movid-a", video=tmp_path / "film.mp4")
    found = find_dataset(tmp_path / "out").clips["clip-0"].tracks()
    assert found == replace(wide, provenance={"layout": "MOViD-A"})


def _widened(track: Track) -> Track:
    visible, amodal = (
        tuple(Rle.encode(np.pad(mask.decode(), ((0, 0), (0, 1)))) for mask in masks if mask)
        for masks in (track.visible, track.amodal or ())
    )
    return replace(track, visible=visible, amodal=amodal)


# Files of others


def put(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def png(path: Path, values: Mask) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


def picture(path: Path, value: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path.with_suffix(".png"), np.full((H, W, 3), value, dtype=np.uint8))
    path.with_suffix(".png").rename(path)


CATEGORIES = [{"id": 4, "name": "car"}]
CORNERS = [2, 2, 5, 2, 5, 6, 2, 6]
"""The polygon of BACK."""


def youtube_vis(**changes: Any) -> dict[str, Any]:
    video = {"id": 1, "width": W, "height": H, "length": T, "file_names": [f"0a4/{t:05d}.jpg" for t in (0, 5, 10)]}
    segmentations = [None, [CORNERS], None]
    annotation = {"id": 9, "video_id": 1, "category_id": 4, "iscrowd": 0, "segmentations": segmentations}
    return {"videos": [video], "annotations": [annotation | changes], "categories": CATEGORIES}


def burst(**changes: Any) -> dict[str, Any]:
    sequence = {
        "width": W,
        "height": H,
        "id": 0,
        "seq_name": "v_1",
        "dataset": "YFCC100M",
        "fps": 30,
        "all_image_paths": ["frame1.jpg", "frame2.jpg", "frame3.jpg"],
        "annotated_image_paths": ["frame1.jpg", "frame3.jpg"],
        "track_category_ids": {"2": 4, "5": 4},
        "segmentations": [{"2": {"rle": packed(FRONT)["counts"], "is_gt": True, "score": 1.0}}, {"5": _rle(BACK)}],
    }
    return {"sequences": [sequence | changes], "categories": CATEGORIES, "split": "train"}


def _rle(mask: Mask) -> dict[str, Any]:
    return {"rle": packed(mask)["counts"]}


def coco_video(**changes: Any) -> dict[str, Any]:
    size = {"width": W, "height": H}
    images = [
        {"id": 10 + k, "video_id": 1, "frame_id": k, "file_name": f"v/{k}.jpg", **size} for k in reversed(range(T))
    ]
    annotation = {"id": 1, "image_id": 11, "category_id": 4, "instance_id": 6, "segmentation": packed(BACK), **changes}
    video = {"id": 1, "name": "a/v", **size}
    return {"videos": [video], "images": images, "annotations": [annotation], "categories": CATEGORIES}


def tao_amodal(**changes: Any) -> dict[str, Any]:
    document = coco_video(track_id=6, video_id=1, bbox=[2, 2, 3, 4], amodal_bbox=[2, 2, 9, 4], **changes)
    return {**document, "tracks": [{"id": 6, "category_id": 4, "video_id": 1}], "info": {}, "licenses": []}


def only(path: Path) -> ClipTracks:
    (clip,) = find_dataset(path).clips.values()
    return clip.tracks()


def test_youtube_vis_of_others(tmp_path: Path) -> None:
    path = put(tmp_path / "instances.json", youtube_vis())
    for number in (0, 5, 10):
        picture(tmp_path / f"JPEGImages/0a4/{number:05d}.jpg")
    dataset = find_dataset(tmp_path)
    assert dataset.format == "YouTube-VIS" and list(dataset.clips) == ["0a4"]
    track = Track(9, rles(None, BACK, NOTHING), label="car")
    assert only(path) == ClipTracks(VideoInfo("0a4", H, W, T, 6.0), (track,), provenance={"layout": "YouTube-VIS"})
    frames = dataset.clips["0a4"].frames()
    assert frames is not None and len(list(frames)) == T


def test_masks_of_others_are_amodal_if_the_user_says_so(tmp_path: Path) -> None:
    path = put(tmp_path / "instances.json", youtube_vis())
    clip = next(iter(find_dataset(path).clips.values()))
    assert not clip.kind_known
    convert(path, tmp_path / "out", "tracks", kind="amodal")
    (track,) = only(tmp_path / "out").tracks
    assert track == Track(9, (None,) * T, rles(None, BACK, NOTHING), label="car")


def test_burst_of_others_does_not_know_what_is_not_annotated(tmp_path: Path) -> None:
    clip = only(put(tmp_path / "train.json", burst()))
    two = Track(2, rles(FRONT, None, NOTHING), label="car")
    five = Track(5, rles(None, None, BACK), label="car")
    assert clip == ClipTracks(VideoInfo("v_1", H, W, T, 30.0), (two, five), provenance={"layout": "BURST"})


def test_two_data_sets_of_burst_may_have_sequences_of_one_name(tmp_path: Path) -> None:
    first, second = burst()["sequences"][0], burst(dataset="HACS", seq_name="v_1")["sequences"][0]
    path = put(tmp_path / "train.json", {**burst(), "sequences": [first, second]})
    assert list(find_dataset(path).clips) == ["YFCC100M-v_1", "HACS-v_1"]


def test_coco_videos_of_others(tmp_path: Path) -> None:
    clip = only(put(tmp_path / "a.json", coco_video()))
    track = Track(6, rles(None, BACK, NOTHING), label="car")
    assert clip == ClipTracks(VideoInfo("v", H, W, T, 24.0), (track,), provenance={"layout": "COCO"})
    clip = only(put(tmp_path / "b.json", coco_video(visible_mask=packed(FRONT & BACK))))
    assert clip.tracks[0].amodal == rles(None, BACK, NOTHING)
    assert clip.tracks[0].visible == rles(None, FRONT & BACK, NOTHING)


def test_coco_images_are_clips_of_a_frame(tmp_path: Path) -> None:
    image = {"id": 5, "file_name": "x.jpg", "width": W, "height": H}
    annotations = [{"id": k, "image_id": 5, "category_id": 4, "segmentation": s} for k, s in enumerate([[CORNERS], []])]
    document = {"images": [image], "annotations": annotations, "categories": CATEGORIES}
    dataset = find_dataset(put(tmp_path / "instances_val2017.json", document))
    assert dataset.format == "COCO" and not dataset.clips["5"].kind_known
    clip = dataset.clips["5"].tracks()
    assert [(t.id, t.label, t.visible) for t in clip.tracks] == [(1, "car", rles(BACK)), (2, "car", rles(NOTHING))]


def test_davis_of_others(tmp_path: Path) -> None:
    for t in (0, 2):
        png(tmp_path / f"Annotations/480p/bear/{t:05d}.png", np.where(FRONT, 1, np.where(BACK, 255, 0)))
    png(tmp_path / "Annotations/480p/camel/00001.png", np.where(BACK, 2, np.where(FRONT, 1, 0)))
    for t in range(T):
        picture(tmp_path / f"JPEGImages/480p/bear/{t:05d}.jpg")
    dataset = find_dataset(tmp_path)
    assert dataset.format == "DAVIS or YouTube-VOS" and list(dataset.clips) == ["bear", "camel"]
    bear = dataset.clips["bear"]
    assert bear.tracks().tracks == (Track(1, rles(FRONT, None, FRONT)),) and bear.tracks().video.frames == T
    assert len(list(bear.frames() or ())) == T
    camel = dataset.clips["camel"].tracks()
    assert camel.video == VideoInfo("camel", H, W, 2, 24.0) and [t.id for t in camel.tracks] == [1, 2]
    assert only(tmp_path / "Annotations/480p/bear") == bear.tracks()


def test_youtube_vos_tells_categories(tmp_path: Path) -> None:
    png(tmp_path / "Annotations/0a1/00005.png", FRONT)
    put(tmp_path / "meta.json", {"videos": {"0a1": {"objects": {"1": {"category": "ape", "frames": ["00005"]}}}}})
    picture(tmp_path / "JPEGImages/0a1/00000.jpg")
    picture(tmp_path / "JPEGImages/0a1/00005.jpg")
    (track,) = only(tmp_path).tracks
    assert track == Track(1, rles(None, FRONT), label="ape")


def test_sav_of_others(tmp_path: Path) -> None:
    for number, t, mask in (("000", 0, FRONT), ("000", 4, FRONT), ("001", 4, BACK)):
        png(tmp_path / f"Annotations_6fps/sav_1/{number}/{t:05d}.png", mask)
    dataset = find_dataset(tmp_path)
    assert dataset.format == "SA-V" and list(dataset.clips) == ["sav_1"]
    zero, one = dataset.clips["sav_1"].tracks().tracks
    assert zero == Track(0, rles(FRONT, None, None, None, FRONT)) and one.visible[4] == Rle.encode(BACK)
    for path in (tmp_path / "Annotations_6fps", tmp_path / "Annotations_6fps/sav_1"):
        assert find_dataset(path).format == "SA-V" and only(path).tracks == (zero, one)


def test_a_video_gives_length_and_rate_to_masks_of_others(tmp_path: Path) -> None:
    png(tmp_path / "masks/00001.png", np.pad(FRONT, ((0, 0), (0, 1))))
    write_video(tmp_path / "film.mp4", np.zeros((T, 6, 6, 3), dtype=np.uint8), 10.0)
    convert(tmp_path / "masks", tmp_path / "out", "tracks", video=tmp_path / "film.mp4")
    clip = only(tmp_path / "out")
    assert clip.video == VideoInfo("film.mp4", 6, 6, T, 10.0) and clip.tracks[0].visible[2] is None


def test_predictions_are_no_folders_of_masks(tmp_path: Path) -> None:
    write_tracks(tmp_path / "tracks.json", SCENE)
    png(tmp_path / "amodal/3/00000.png", FRONT)
    assert find_dataset(tmp_path).format == "vidamodal"
    assert find_dataset(tmp_path / "amodal").format == "SA-V"


# What is refused


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


DAMAGED: dict[str, tuple[dict[str, Any], str]] = {
    "youtube-vis: too few masks": (youtube_vis(segmentations=[None]), "1 segmentations for 3 frames"),
    "youtube-vis: no such video": (youtube_vis(video_id=2), "for video 2, which videos does not list"),
    "youtube-vis: counts": (youtube_vis(segmentations=[None, {"size": [H, W], "counts": "00"}, None]), "sum to 0"),
    "youtube-vis: size": (youtube_vis(segmentations=[None, {"size": [9, W], "counts": "0"}, None]), "size"),
    "youtube-vis: a negative id": (youtube_vis(id=-1), "track id -1"),
    "youtube-vis: no masks": (youtube_vis(segmentations=None), "segmentations must be a list"),
    "burst: counts": (burst(segmentations=[{"2": {"rle": "00"}}, {}]), "sum to 0"),
    "burst: no number": (burst(segmentations=[{"two": _rle(FRONT)}, {}]), 'the track id "two"'),
    "burst: too few frames": (burst(segmentations=[{}]), "lists of one length"),
    "burst: a strange image": (burst(annotated_image_paths=["a.jpg", "b.jpg"]), '"a.jpg" is not in all_image_paths'),
    "burst: a path out": (burst(seq_name="../../etc"), "leads out of the data set"),
    "burst: no frames": (burst(all_image_paths=[]), "all_image_paths is empty"),
    "burst: a rate": (burst(fps=10**400), "fps is too large"),
    "burst: no rate": (burst(fps=0), "video.fps is 0"),
    "coco: no track": (coco_video(instance_id="a"), "instance_id must be an integer"),
    "coco: counts": (coco_video(segmentation={"size": [H, W], "counts": "00"}), "sum to 0"),
    "tao-amodal: boxes": (tao_amodal(), "boxes without amodal masks"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    document, message = DAMAGED[name]
    path = put(tmp_path / "a.json", document)
    assert message in refusal(lambda: [clip.tracks() for clip in find_dataset(path).clips.values()])


def changed(document: Any, *path: Any, value: Any) -> None:
    for step in path[:-1]:
        document = document[step]
    document[path[-1]] = value


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("annotations", 0, "segmentations", 0), None, "not in the frames that vidamodal.tracks[0] lists"),
        (("videos", 0, "vidamodal", "key"), "../escape", "the key is not a plain name"),
        (("videos", 0, "vidamodal", "key"), 5, "vidamodal.key must be a string"),
        (("videos", 0, "vidamodal", "tracks", 0, "number"), None, "number must be an integer"),
        (("videos", 0, "vidamodal", "tracks", 0, "visible"), [1, 1, 1, 0], "has 4 entries for 3 frames"),
        (("videos", 0, "vidamodal", "tracks"), [5], "must be an object"),
        (("videos", 0, "vidamodal", "video", "height"), 10**9, "at most"),
        (("videos", 0, "vidamodal", "video", "height"), 7, "size [6, 5], but the video is [7, 5]"),
        (("videos", 0, "vidamodal", "order"), [[[3, 9]], [], []], "does not name two tracks"),
    ],
)
def test_records_that_are_not_those_of_the_masks_are_refused(
    where: tuple[Any, ...], value: Any, message: str, tmp_path: Path
) -> None:
    document = written(tmp_path, "youtube-vis")
    changed(document, *where, value=value)
    path = put(tmp_path / "changed.json", document)
    assert message in refusal(lambda: convert(path, tmp_path / "out", "tracks"))
    assert sorted(os.listdir(tmp_path)) == ["changed.json", "out.json", "source"]


def test_what_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    source = save(tmp_path / "source", SCENE)
    out = tmp_path / "out"
    message = refusal(lambda: convert(source, out, "davis", kind="amodal"))
    assert message == (
        "clip clip-0: palette PNGs hold one object a pixel, tracks 3 and 7 overlap in frame 0; choose the format sav or coco"
    )
    many = tuple(Track(number, rles(box(0, 0, 1, 1) if number == 1 else NOTHING)) for number in range(1, 256))
    crowd = save(tmp_path / "crowd", ClipTracks(VideoInfo("a.jpg", H, W, 1, 1.0), many))
    assert "255 objects, palette PNGs hold 254" in refusal(lambda: convert(crowd, out, "davis"))
    assert "track 1 has no amodal masks" in refusal(lambda: convert(crowd, out, "sav", kind="amodal"))
    assert "TAO-Amodal annotates amodal boxes" in refusal(lambda: convert(crowd, out, "tao-amodal"))
    assert not out.exists()


# The command line


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main([str(argument) for argument in arguments])
    return int(left.value.code or 0)


def test_the_command_says_what_it_wrote_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = save(tmp_path / "source", SCENE), tmp_path / "new/out.json"
    assert run("convert", source, "--to", "burst", "--out", out) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{out}: 1 clip from vidamodal, written as burst\n"
    assert printed.err == "left out, as burst has no place for them here: amodal masks, confidences\n"
    assert run("convert", out, "--to", "sav", "--out", tmp_path / "sav") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "davis", "--what", "amodal"], "overlap in frame 0"),
        (["--to", "xml"], "unknown format 'xml'; choose one of burst, coco"),
        (["--to", "coco", "--from", "xml"], "unknown format 'xml'"),
        (["--to", "coco", "--from", "burst"], "looked for BURST"),
        (["--to", "coco", "--what", "both"], "invalid choice"),
        (["--to", "movid-a"], "its pictures are missing"),
        (["--to", "coco", "--video", "missing.mp4"], "missing.mp4"),
        ([], "--to"),
    ],
)
def test_mistakes_end_with_status_2_and_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(tmp_path / "source", SCENE)
    assert run("convert", source, "--out", tmp_path / "out", *arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and message in printed.err, printed.err
    assert os.listdir(tmp_path) == ["source"]


def test_nothing_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = save(tmp_path / "source", SCENE)
    before = (source / "clip-0.tracks.json").read_bytes()
    assert run("convert", source, "--to", "tracks", "--out", source) == 2
    assert "already exists" in capsys.readouterr().err
    assert (source / "clip-0.tracks.json").read_bytes() == before and len(os.listdir(source)) == 1
    assert run("convert", tmp_path / "none", "--to", "coco", "--out", tmp_path / "out") == 2
    assert "no such file or folder" in capsys.readouterr().err


def test_shards_hold_sixteen_clips_each(tmp_path: Path) -> None:
    """In their order, with nothing of when and by whom they were written; the same bytes twice."""
    mask = Rle.encode(np.ones((4, 4), dtype=bool))
    clip = ClipTracks(VideoInfo("x.mp4", 4, 4, 1, 1.0), (Track(1, (mask,)),))
    for number in range(17):
        write_tracks(tmp_path / f"source/clip-{number:02d}.tracks.json", clip)
    for out in ("a", "b"):
        convert(tmp_path / "source", tmp_path / out, "shards")
    shards = sorted((tmp_path / "a").iterdir())
    assert [path.name for path in shards] == ["clips-000000.tar", "clips-000001.tar"]
    for path, keys in zip(shards, (range(16), [16]), strict=True):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
        with tarfile.open(path) as tar:
            assert [m.name for m in tar] == [f"clip-{number:02d}.tracks.json" for number in keys]
            assert {(m.mtime, m.uid, m.uname) for m in tar} == {(0, 0, "")}
    assert len(find_dataset(tmp_path / "a").clips) == 17


def test_the_help_lists_all_formats() -> None:
    assert ", ".join(sorted(writable_formats())) == cli._FORMATS


def test_evaluate_reads_other_formats_and_matches_their_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = 32
    whole, front = np.zeros((size, size), bool), np.zeros((size, size), bool)
    whole[4:28, 4:20], front[4:28, 14:30] = True, True

    def of(*stack: Mask) -> Masks:
        return tuple(map(Rle.encode, stack))

    video = VideoInfo("film.mp4", size, size, 2, 12.0)
    tracks = (
        Track(3, of(front, front), of(front, front)),
        Track(7, of(whole & ~front, whole), of(whole, whole)),
    )
    truth = save(tmp_path / "truth", ClipTracks(video, tracks))
    renamed = tuple(replace(track, id=track.id + 20) for track in tracks)
    source = save(tmp_path / "source", ClipTracks(video, (*renamed, Track(5, of(~whole, ~whole), of(~whole, ~whole)))))
    convert(source, tmp_path / "pred.json", "coco")
    capsys.readouterr()
    assert run("evaluate", "--pred", tmp_path / "pred.json", "--truth", truth) == 2
    assert "no amodal masks for track 3" in capsys.readouterr().err
    metrics = tmp_path / "metrics.json"
    arguments = ("--pred", tmp_path / "pred.json", "--truth", truth, "--match", "visible", "--out", metrics)
    assert run("evaluate", *arguments) == 0
    assert "matched by what is visible: 2 of 3 predicted tracks" in capsys.readouterr().out
    document = json.loads(metrics.read_text())
    assert document["primary"]["full"] == 1 and document["matched"] == [2, 3]
    convert(source, tmp_path / "masks", "sav", kind="amodal")
    assert run("evaluate", "--pred", tmp_path / "masks", "--truth", truth, "--match", "visible") == 2
    assert "no visible masks to match tracks by" in capsys.readouterr().err
    convert(truth, tmp_path / "same", "sav", kind="amodal")
    assert run("evaluate", "--pred", tmp_path / "same", "--truth", truth) == 0
