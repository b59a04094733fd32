"""MOTS as 16-bit PNGs: ``instances/<sequence>/000000.png``, as in KITTI MOTS and CVAT's MOTS export. Read only.

A pixel is 1000 x class + the number of the object, 0 is background; see ``mots`` for classes, which ``labels.txt`` in
``instances`` replaces. Masks are visible masks. Pixels with 10000 are regions to ignore; they are left out, and a note
says so. A path is a folder with ``instances``, that folder, or the folder of one sequence in it; PNGs may also lie in
``instances`` itself. Names are paired with frames as for other PNGs (see ``frame_files``). Length and frames are those
of ``image_02/<sequence>`` or ``images`` beside ``instances`` if they are there. The frame rate is assumed to be 10
frames per second.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from vidamodal.formats.base import Clip, Fit, VideoContext
from vidamodal.formats.build import clip_from_id_maps
from vidamodal.formats.clip_record import clips_by_key
from vidamodal.formats.masks.folder_layout import image_video
from vidamodal.formats.masks.frame_files import mask_files, pair_with_frames
from vidamodal.formats.videos.mots import CLASSES, IGNORED_CLASS, PER_CLASS
from vidamodal.formats.videos.text_rows import read_lines
from vidamodal.media.images import image_errors, is_image
from vidamodal.media.listing import list_folder, list_folders
from vidamodal.media.mask_images import read_id_map
from vidamodal.media.video import open_video
from vidamodal.types import ClipTracks, Frame, InputError, Track

ID = "mots-png"
NAME = "MOTS PNGs"
SIGN = "16-bit PNGs in instances/<sequence>/"
_FOLDER = "instances"
_FPS = 10.0
_LOOKED_AT = 5
"""PNGs of a folder that are looked at to recognise it; frames may be empty."""


def recognise(path: Path) -> Fit:
    """Match such a folder by the values of its first PNGs."""
    return Fit.EXACT if _sequences(path) else Fit.NONE


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each sequence; its key is the folder's name."""

    def clip(folder: Path) -> Clip:
        key = folder.parent.name if folder.name == _FOLDER else folder.name
        return Clip(key, partial(_tracks, folder, key, video), partial(_frames, folder))

    return clips_by_key(map(clip, _sequences(path)), path)


def _sequences(path: Path) -> list[Path]:
    path = path.absolute()
    if not path.is_dir():
        return []
    if path.parent.name == _FOLDER:
        return [path] if _has_instances(path) else []
    root = path if path.name == _FOLDER else path / _FOLDER
    if not root.is_dir():
        return []
    return [folder for folder in (root, *list_folders(root)) if _has_instances(folder)]


def _has_instances(folder: Path) -> bool:
    pngs = [file for file in list_folder(folder) if file.suffix.lower() == ".png"][:_LOOKED_AT]
    values = [_values(png) for png in pngs]
    if not values or any(found is None for found in values):
        return False
    shown = np.concatenate([found[found > 0] for found in values if found is not None])
    return bool(shown.size) and int(shown.min()) >= PER_CLASS


def _values(png: Path) -> np.ndarray | None:
    try:
        with image_errors(png), Image.open(png, formats=["PNG"]) as image:
            return np.unique(np.asarray(image)) if image.mode in ("I;16", "I") else None
    except InputError:
        return None


def _tracks(folder: Path, key: str, video: VideoContext | None) -> ClipTracks:
    context = _context(folder) if video is None else video
    files, note = mask_files(folder, context)
    pairs = pair_with_frames(files, context)
    info = replace(image_video(files[0], key, pairs.length), fps=_FPS) if context is None else context.info
    maps = ((frame, read_id_map(png, info)) for png, frame in pairs.frames.items())
    clip = clip_from_id_maps(info, maps, folder.name)
    names = dict(enumerate(_labels(folder), 1)) or CLASSES
    regions = [track for track in clip.tracks if track.id // PER_CLASS == IGNORED_CLASS]
    ignored = {t for track in regions for t, mask in enumerate(track.visible) if mask and mask.area()}
    kept = tuple(_unknown_in(ignored, _named(track, names)) for track in clip.tracks if track not in regions)
    notes = [f"{folder.name}: {text}" for text in ("regions to ignore (10000) left out",) if regions]
    paired = tuple(text for text in (note, pairs.note) if text is not None)
    return replace(clip, tracks=kept, provenance={"layout": NAME}, notes=(*paired, *clip.notes, *notes))


def _unknown_in(frames: Container[int], track: Track) -> Track:
    """A track whose mask is unknown where it has none in frames with regions to ignore."""
    masks = (None if mask and not mask.area() and t in frames else mask for t, mask in enumerate(track.visible))
    return replace(track, visible=tuple(masks))


def _named(track: Track, names: Mapping[int, str]) -> Track:
    return replace(track, label=names.get(track.id // PER_CLASS))


def _labels(folder: Path) -> list[str]:
    root = folder if folder.name == _FOLDER else folder.parent
    return read_lines(root / "labels.txt")


def _pictures(folder: Path) -> Path | None:
    own = folder.name == _FOLDER
    root = folder.parent if own else folder.parent.parent
    found = root / "images" if own else root / "image_02" / folder.name
    return found if found.is_dir() and any(map(is_image, list_folder(found))) else None


def _context(folder: Path) -> VideoContext | None:
    pictures = _pictures(folder)
    if pictures is None:
        return None
    reader = open_video(pictures)
    return VideoContext(replace(reader.info, fps=_FPS), reader.stems)


def _frames(folder: Path) -> Iterator[Frame] | None:
    pictures = _pictures(folder)
    return None if pictures is None else open_video(pictures).frames()
