"""pix2gestalt's pairs (Ozguroglu et al., CVPR 2024): an object with an occluder pasted over it. Read only.

``occlusion/<id>_occlusion.png`` is the photograph, ``visible_object_mask/<id>_visible_mask.png`` and
``whole_mask/<id>_whole_mask.png`` are the object's visible and amodal masks (0 and 255): a clip of one frame and one
track, 1, without a label. The occluder has no mask, so it is not exhaustive. ``whole/<id>_whole.png``, the photograph
without the occluder, is not read.

The folders are known from the authors' loader, the names of files from other loaders. Values above 127 are assumed to
be inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from vidamodal.formats.base import Clip, Fit, VideoContext, certain_if
from vidamodal.formats.build import unite_visible
from vidamodal.media.images import read_image
from vidamodal.media.listing import list_folder, natural_key
from vidamodal.types import ClipTracks, Frame, InputError, Rle, Track, VideoInfo

ID = "pix2gestalt"
NAME = "pix2gestalt"
SIGN = "the folders occlusion, whole_mask and visible_object_mask"
_PICTURE, _VISIBLE, _WHOLE = (
    ("occlusion", "_occlusion.png"),
    ("visible_object_mask", "_visible_mask.png"),
    ("whole_mask", "_whole_mask.png"),
)
"""Folders, and the ends of the names of files in them."""


def recognise(path: Path) -> Fit:
    """Match a folder that holds the folders of masks."""
    return certain_if(all((path / folder).is_dir() for folder, _ in (_VISIBLE, _WHOLE)))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each pair of masks; its key is the id in their names."""
    visible, whole = (_ids(path / folder, ending) for folder, ending in (_VISIBLE, _WHOLE))
    if visible != whole:
        raise InputError(f"{path}: {min(visible ^ whole)} has only one of its two masks; add the other, or remove both")
    if not whole:
        raise InputError(f"{path / _WHOLE[0]}: no <id>{_WHOLE[1]} in this folder; pass the whole data set")
    keys = sorted(whole, key=natural_key)
    return {key: Clip(key, partial(_tracks, path, key), partial(_frames, path, key)) for key in keys}


def _ids(folder: Path, ending: str) -> set[str]:
    return {file.name.removesuffix(ending) for file in list_folder(folder) if file.name.endswith(ending)}


def _tracks(path: Path, key: str) -> ClipTracks:
    seen, whole = (read_image(path / folder / f"{key}{ending}")[..., 0] > 127 for folder, ending in (_VISIBLE, _WHOLE))
    if seen.shape != whole.shape:
        raise InputError(f"{path}: the masks of {key} have the sizes {seen.shape} and {whole.shape}; make them equal")
    height, width = whole.shape
    video = VideoInfo(f"{key}{_PICTURE[1]}", height, width, 1, 1.0)
    return unite_visible(ClipTracks(video, (Track(1, (Rle.encode(seen),), (Rle.encode(whole),)),)), NAME)


def _frames(path: Path, key: str) -> Iterator[Frame] | None:
    picture = path / _PICTURE[0] / f"{key}{_PICTURE[1]}"
    return map(read_image, [picture]) if picture.is_file() else None
