"""Mask videos: one file for all objects of a video, or a folder with a file for each object. Read only.

A file holds ids, grey levels, colours, or one object in black and white, as ``pixel_values`` decides. In a folder, each
file is an object in black and white, named like the folders of objects (see ``folder_readers``), such as the
masks/1.mkv that ``predict`` writes with the format ``masks``.

Videos in a lossless codec are read as they are, and all others like JPEGs: ids are only distinguished by bright
colours. Frame n of the masks is frame n of the video; frames after the end of the masks are unknown. Videos of more
than 8 bits are refused. The format does not state whether masks are visible or amodal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from vidamodal.formats.base import Clip, Fit, VideoContext
from vidamodal.formats.build import MaskCollector, clip_from_id_maps
from vidamodal.formats.masks.folder_readers import name_objects
from vidamodal.media.listing import list_folder
from vidamodal.media.mask_images import MaskImage, pack_colours
from vidamodal.media.pixel_values import id_maps_of, object_masks_of
from vidamodal.media.video import VideoReader, open_video
from vidamodal.media.video_source import VideoSource, moving_streams
from vidamodal.types import ClipTracks, InputError, VideoInfo

ID = "mask-video"
NAME = "mask video"
SIGN = "a video of masks, or a folder with one for each object, such as 1.mkv"
_LOSSLESS = {"ffv1", "ffvhuff", "huffyuv", "magicyuv", "png", "qtrle", "rawvideo", "utvideo"}
_EXACT_FORMATS = ("gray", "rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "mono")


def recognise(path: Path) -> Fit:
    """Match a file that begins like a video, and a folder that holds nothing else."""
    if path.is_file():
        return Fit.CERTAIN if _starts_like_video(path) else Fit.NONE
    return Fit.POSSIBLE if path.is_dir() and _files(path) else Fit.NONE


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return the one clip, whose key is the name of the file or folder."""
    key = path.stem if path.is_file() else path.absolute().name
    read_tracks = _read_file if path.is_file() else _read_folder
    return {key: Clip(key, partial(read_tracks, path, video), lambda: None, kind_known=False)}


@dataclass(frozen=True)
class _MaskVideo:
    """A mask video that has been opened."""

    path: Path
    reader: VideoReader
    is_grey: bool
    is_exact: bool

    def images(self) -> Iterator[tuple[int, MaskImage]]:
        """Yield the frames and their pixels."""
        for frame, picture in enumerate(self.reader.frames()):
            if self.is_grey:
                yield frame, MaskImage("grey", picture[..., 0], lossy=not self.is_exact)
            else:
                yield frame, MaskImage("colour", pack_colours(picture), lossy=not self.is_exact)

    def notes(self, info: VideoInfo) -> tuple[str, ...]:
        """Return what was assumed about the file; refuse a file that does not fit the video."""
        mine = self.reader.info
        if (mine.height, mine.width) != (info.height, info.width) or mine.frames > info.frames:
            raise InputError(
                f"{self.path}: {mine.frames} masks of {mine.height} x {mine.width} pixels, the video has {info.frames} "
                f"frames of {info.height} x {info.width}; pass the masks of this video"
            )
        if mine.frames == info.frames:
            return self.reader.notes
        rates = f"{mine.fps:g} frames per second, the video has {info.fps:g}"
        seconds = abs(mine.frames / mine.fps - info.frames / info.fps)
        is_alike = 0.9 < mine.fps / info.fps < 1.1
        if mine.frames > 1 and not is_alike and seconds < 1.01 / min(mine.fps, info.fps):
            raise InputError(
                f"{self.path}: {mine.frames} masks for {info.frames} frames, at {rates}. Save a mask for each frame, "
                "or PNGs that are named by their frames"
            )
        shorter = f"{self.path.name}: masks for the first {mine.frames} of {info.frames} frames; the others are unknown"
        shorter += "" if is_alike else f" ({rates})"
        return (*self.reader.notes, shorter)


def _read_file(path: Path, video: VideoContext | None) -> ClipTracks:
    masks = _open(path)
    info = masks.reader.info if video is None else video.info
    notes = masks.notes(info)
    maps = id_maps_of(masks.images, path, "frame")
    return clip_from_id_maps(info, maps.maps, path.name, notes=notes + maps.notes)


def _read_folder(folder: Path, video: VideoContext | None) -> ClipTracks:
    videos = [_open(path) for path in _files(folder)]
    longest = max((masks.reader.info for masks in videos), key=lambda info: info.frames)
    info = replace(longest, path=folder.absolute().name) if video is None else video.info
    objects, naming = name_objects([masks.path for masks in videos])
    notes = dict.fromkeys([] if naming is None else [f"{folder.absolute().name}: {naming}"])
    collector = MaskCollector(info)
    for thing, masks in zip(objects, videos, strict=True):
        inside = object_masks_of(masks.images, masks.path, "frame")
        notes.update(dict.fromkeys(masks.notes(info) + inside.notes))
        for frame, mask in inside.masks:
            collector.add(thing.id, frame, mask)
    labels = {thing.id: thing.label for thing in objects}
    tracks = tuple(replace(track, label=labels[track.id]) for track in collector.clip().tracks)
    return ClipTracks(info, tracks, notes=tuple(notes))


def _open(path: Path) -> _MaskVideo:
    if _is_gif(path):
        return _MaskVideo(path, open_video(path), is_grey=False, is_exact=True)
    with VideoSource(path, str(path)).open() as (container, stream):
        if len(moving_streams(container)) > 1:
            raise InputError(f"{path}: a mask video with several video streams; save one")
        pixels, codec = stream.codec_context.format, stream.codec_context.name
    if pixels is None or max(component.bits for component in pixels.components) > 8:
        raise InputError(f"{path}: not a video of 8 bits; save masks of more bits as PNGs or npy")
    is_exact = codec in _LOSSLESS and pixels.name.startswith(_EXACT_FORMATS)
    return _MaskVideo(path, open_video(path), pixels.name.startswith(("gray", "mono")), is_exact)


def _files(folder: Path) -> list[Path]:
    """The videos in a folder; nothing if it holds other files, too."""
    entries = list_folder(folder)
    return entries if all(entry.is_file() and _starts_like_video(entry) for entry in entries) else []


def _is_gif(path: Path) -> bool:
    """True for a GIF, which Pillow decodes."""
    with path.open("rb") as file:
        return file.read(4) == b"GIF8"


def _starts_like_video(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(12)
    if start.startswith((b"\x1aE\xdf\xa3", b"GIF8")) or (start.startswith(b"RIFF") and start[8:] == b"AVI "):
        return True
    return start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
