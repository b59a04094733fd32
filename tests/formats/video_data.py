"""Random clips, a small scene, and small files as other programs write them, for the tests of formats."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from vidamodal import cli
from vidamodal.convert import convert
from vidamodal.formats import MaskKind, find_dataset, writable_formats
from vidamodal.media.images import write_image
from vidamodal.tracks import write_tracks
from vidamodal.types import ClipTracks, Hypothesis, InputError, Rle, Track, VideoInfo

H, W, T = 6, 5, 3


Mask = np.ndarray


Masks = tuple[Rle | None, ...]


ONE = ("burst", "cvat", "davis", "label-studio", "mots", "sav", "youtube-vis")
BOTH = ("coco", "shards", "tao-amodal", "tracks")


@st.composite
def clips(draw: st.DrawFn) -> ClipTracks:
    """Return a clip of up to three tracks with unknown, empty and other masks, and all optional fields."""
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

    def with_unknown(stack: Mask, which: list[bool]) -> Masks:
        return tuple(Rle.encode(mask) if is_known else None for mask, is_known in zip(stack, which, strict=True))

    whole, which = masks(), known()
    label = draw(st.sampled_from([None, "mug", "object"]))
    if not draw(st.integers(0, 3)):
        return Track(number, with_unknown(whole, which), label=label)
    seen, amodal = with_unknown(whole & masks(), known()), with_unknown(whole, which)
    full: Masks | None = None
    confidence: tuple[float | None, ...] | None = None
    hypotheses: tuple[Hypothesis, ...] = ()
    if canvas is not None:
        top, left, bottom, right = canvas
        full = with_unknown(
            np.pad(whole, ((0, 0), (top, bottom), (left, right)), constant_values=draw(st.booleans())), which
        )
    if draw(st.booleans()):
        confidence = tuple(0.25 if mask else None for mask in amodal)
        hypotheses = (Hypothesis(0.5, amodal),)
    return Track(number, seen, amodal, confidence, hypotheses, label, full)


def masks_of(track: Track, kind: MaskKind) -> Masks:
    return track.visible if kind == "visible" else track.amodal or (None,) * len(track.visible)


def save(folder: Path, *found: ClipTracks) -> Path:
    for number, clip in enumerate(found):
        write_tracks(folder / f"clip-{number}.tracks.json", clip)
    return folder


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
    """Return the JSON of a written clip."""
    convert(save(tmp_path / "source", clip), tmp_path / "out.json", form, kind=kind)
    return json.loads((tmp_path / "out.json").read_text())


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
    boxes = {"bbox": [2, 2, 3, 4], "amodal_bbox": [2, 2, 9, 4]}
    document = coco_video(**{"track_id": 6, "video_id": 1, **boxes, **changes})
    return {**document, "tracks": [{"id": 6, "category_id": 4, "video_id": 1}], "info": {}, "licenses": []}


def only(path: Path) -> ClipTracks:
    (clip,) = find_dataset(path).clips.values()
    return clip.tracks()


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main([str(argument) for argument in arguments])
    return int(left.value.code or 0)


def held(clip: ClipTracks, form: str, kind: MaskKind) -> ClipTracks:
    """Return the part of a clip that a format holds."""
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
    """Return True if a format can hold a clip."""
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
    return form not in ("davis", "mots") or all(np.sum(frame, axis=0).max(initial=0) <= 1 for frame in frames if frame)


def check_round_trip(folder: Path, form: str, kind: MaskKind, found: list[ClipTracks]) -> None:
    """Check that clips read back as they were written, also after a second conversion, or are refused in one line."""
    source, out = save(folder / "source", *found), folder / "out.json"
    if not all(fits(clip, form, kind) for clip in found):
        with pytest.raises(InputError, match=r"clip clip-[01]: ") as error:
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
