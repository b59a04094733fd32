"""view.html: a result as one page with its frames, masks and order, which works without a server.

The frames are embedded as JPEG and the masks as the run lengths of tracks.json, which the page decodes. Every text of a
file is data to the page's script, and the content policy of the page allows that script alone.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any, Literal, TextIO

from vidamodal.media.files import atomic_file, check_target
from vidamodal.media.video import VideoReader, open_video
from vidamodal.occlusion.layers import layers_of_clip
from vidamodal.occlusion.order import with_order
from vidamodal.progress import progress
from vidamodal.report.colours import object_colour
from vidamodal.report.embedded_frames import EmbeddedSize, choose_size, jpeg_frames
from vidamodal.report.html_page import data_element, page_end, page_start, read_asset
from vidamodal.rle import areas, pack
from vidamodal.tracks import read_tracks
from vidamodal.types import ClipTracks, InputError, Rle, Track

PictureKind = Literal["video", "overlay"]
_OVERLAY = "overlay.mp4"


@dataclass(frozen=True)
class Pictures:
    """What the page shows beside the masks."""

    reader: VideoReader
    kind: PictureKind = "video"
    """"video" for the frames that the masks belong to, "overlay" for frames over which masks are painted already."""


@dataclass(frozen=True)
class View:
    """A page that was written."""

    path: Path
    notes: tuple[str, ...] = field(default=())
    """What was assumed and what was scaled down, one line each, for the user."""


def view_result(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    video: str | os.PathLike[str] | None = None,
    quiet: bool = True,
) -> View:
    """Write the page of a result folder.

    Args:
        folder: A folder with a tracks.json.
        out: The file to write; by default view.html in the folder.
        video: The video of the result. By default it is looked for in the folder under its name in tracks.json; without
            it, the page shows overlay.mp4, or the masks alone.
        quiet: Show no progress bar.

    Raises:
        InputError: If there is no tracks.json, if it or the video cannot be read, or if they do not fit each other.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. Pass a folder that `vidamodal predict` wrote.")
    clip = read_tracks(folder / "tracks.json")
    target = folder / "view.html" if out is None else Path(out)
    check_target(target)
    pictures, notes = _find_pictures(folder, clip, video)
    view = write_view(target, clip, pictures, quiet=quiet)
    return replace(view, notes=(*notes, *view.notes))


def write_view(
    path: str | os.PathLike[str],
    clip: ClipTracks,
    pictures: Pictures | None,
    anchors: Mapping[int, Collection[int]] | None = None,
    quiet: bool = True,
) -> View:
    """Write the page of some tracks atomically.

    Args:
        path: The file to write.
        clip: The tracks.
        pictures: The frames to show; None for the masks alone.
        anchors: Numbers of the frames with anchors by track id, which are marked.
        quiet: Show no progress bar.

    Raises:
        InputError: If a frame cannot be read, or if the pictures do not fit the tracks.
    """
    notes = []
    if clip.order is None:
        clip = with_order(clip)
        notes.append("tracks.json holds no order of the objects: it was computed from their masks")
    size = None
    if pictures is not None:
        _check_fit(clip, pictures)
        size = choose_size(pictures.reader)
        notes += [] if size.note is None else [size.note]
    with (
        atomic_file(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
    ):
        _write_page(file, clip, pictures, size, anchors or {}, quiet)
    return View(Path(path), tuple(notes))


def _find_pictures(
    folder: Path, clip: ClipTracks, video: str | os.PathLike[str] | None
) -> tuple[Pictures | None, tuple[str, ...]]:
    """Return the pictures of a result, and what was assumed about them."""
    if video is not None:
        return Pictures(open_video(video)), ()
    name = clip.video.path
    if name == Path(name).name and name not in ("", "..", _OVERLAY) and (folder / name).exists():
        return Pictures(open_video(folder / name)), (f"{folder}: the frames are those of {name} in this folder",)
    if (folder / _OVERLAY).is_file():
        note = f"{folder}: the video is not in this folder, so {_OVERLAY} is shown beside the masks; pass video= for it"
        return Pictures(open_video(folder / _OVERLAY), "overlay"), (note,)
    return None, (f"{folder}: no video in this folder, so the masks are shown alone; pass video= for it",)


def _check_fit(clip: ClipTracks, pictures: Pictures) -> None:
    ours, theirs = clip.video, pictures.reader.info
    slack = int(pictures.kind == "overlay")  # an overlay of odd size is padded by one pixel
    is_fit = all(0 <= b - a <= slack for a, b in ((ours.height, theirs.height), (ours.width, theirs.width)))
    if not is_fit or ours.frames != theirs.frames:
        raise InputError(
            f"{theirs.path}: {theirs.frames} frames of {theirs.height} x {theirs.width} pixels, but the tracks have "
            f"{ours.frames} of {ours.height} x {ours.width}. Pass the video of these tracks."
        )


def _write_page(
    file: TextIO,
    clip: ClipTracks,
    pictures: Pictures | None,
    size: EmbeddedSize | None,
    anchors: Mapping[int, Collection[int]],
    quiet: bool,
) -> None:
    kind = None if pictures is None else pictures.kind
    file.write(page_start(clip.video.path, "view"))
    file.write(f"{_body(clip, kind, size)}\n{data_element(_record(clip, kind, anchors))}")
    if pictures is not None and size is not None:
        stream = progress(jpeg_frames(pictures.reader, size), clip.video.frames, "view", "frame", quiet)
        for number, picture in enumerate(stream):
            data = base64.b64encode(picture).decode("ascii")
            file.write(f'<script id="frame-{number}" type="text/plain">{data}</script>\n')
    file.write(page_end("view"))


def _body(clip: ClipTracks, kind: PictureKind | None, size: EmbeddedSize | None) -> str:
    """Return the elements that the script fills."""
    video = clip.video
    beside = {"video": "video", "overlay": _OVERLAY, None: ""}[kind]
    left = f'<figure><figcaption>{beside}</figcaption><img id="picture" alt="{beside}"></figure>' if beside else ""
    facts = [
        f"{video.frames} frames of {video.width} x {video.height} pixels, {video.fps:g} frames per second",
        f"{len(clip.tracks)} tracks",
        f"{'exhaustive' if clip.exhaustive else 'partial'} scene",
        *([] if size is None or size.note is None else [size.note]),
    ]
    template = read_asset("view.html")
    values = {"title": escape(video.path), "facts": escape("; ".join(facts)), "left": left}
    for key, value in values.items():
        template = template.replace(f"<!--{key}-->", value)
    return template


def _record(clip: ClipTracks, kind: PictureKind | None, anchors: Mapping[int, Collection[int]]) -> dict[str, Any]:
    """Return what the script reads."""
    video, layers = clip.video, layers_of_clip(clip)
    tracks = [
        {
            "id": track.id,
            "label": track.label,
            "colour": "#{:02x}{:02x}{:02x}".format(*object_colour(track.id)),
            "visible": _counts(track.visible),
            "amodal": _counts(track.amodal or (None,) * video.frames),
            "confidence": track.confidence or (None,) * video.frames,
            "present": track.present or (None,) * video.frames,
            "hidden": list(_hidden_shares(track)),
            "layer": [frame.get(track.id) for frame in layers],
            "anchors": sorted(anchors.get(track.id, ())),
        }
        for track in clip.tracks
    ]
    size = {"width": video.width, "height": video.height, "frames": video.frames, "fps": video.fps}
    return {"video": size, "tracks": tracks, "order": clip.order, "pictures": kind}


def _counts(masks: tuple[Rle | None, ...]) -> list[str | None]:
    return [None if mask is None else mask.counts for mask in masks]


def _hidden_shares(track: Track) -> Iterator[float | None]:
    """Yield the share of the amodal mask that is not visible; None where it is unknown or the mask is empty."""
    for visible, amodal in zip(track.visible, track.amodal or (None,) * len(track.visible), strict=True):
        whole = 0.0 if amodal is None else areas([pack(amodal)])[0]
        seen = 0.0 if visible is None else areas([pack(visible)])[0]
        yield round(1 - seen / whole, 4) if whole else None
