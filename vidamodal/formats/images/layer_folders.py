"""Intra-AFruit, ACOM and MUVA in layers, as read by Cumulative Occlusion learning (BMVC 2024, saraao/SAS). Read only.

``<image>_<layer>/`` holds ``image.png`` and ``mask.png``, the union of the amodal masks of a layer (0 is outside).
Nothing occludes layer 0; layers before k occlude layer k; the last one may be empty ("nothing is left").
``newmask.png``, the union of the layers in front, is not read. An image is a clip of one frame, its key the image's
number. A layer does not separate its objects: each connected piece (also over corners) becomes one, numbered from
1 through the layers; the provenance lists their layers. Visible is what no layer in front covers, so it is exhaustive
by construction.

The original releases (COCO style, by their pages) do not document the names of their keys; they are read where these
are those of KINS or D2SA.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from scipy.ndimage import label

from vidamodal.formats.base import Clip, Fit, VideoContext, certain_if
from vidamodal.formats.build import unite_visible
from vidamodal.media.images import read_image
from vidamodal.media.listing import find_in_folder, natural_key
from vidamodal.occlusion.order import order_from_relation
from vidamodal.types import ClipTracks, Frame, InputError, Rle, Track, VideoInfo

ID = "layer-folders"
NAME = "layers of Intra-AFruit, ACOM or MUVA"
SIGN = "folders <image>_<layer> with image.png and mask.png"
_LAYER = re.compile("([0-9]+)_([0-9]{1,4})")
"""Names of folders: the number of an image, and that of a layer."""


def recognise(path: Path) -> Fit:
    """Match a folder that holds the folder of an image's first layer."""
    folders = find_in_folder(path, "*_0") if path.is_dir() else []
    return certain_if(any(_LAYER.fullmatch(folder.name) and (folder / "mask.png").is_file() for folder in folders))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each image; all its layers must be there."""
    layers: dict[str, list[int]] = {}
    for folder in path.iterdir():
        match = _LAYER.fullmatch(folder.name)
        if match and (folder / "mask.png").is_file():
            layers.setdefault(match[1], []).append(int(match[2]))
    clips = {}
    for key in sorted(layers, key=natural_key):
        if sorted(layers[key]) != list(range(len(layers[key]))):
            raise InputError(
                f"{path}: image {key} has the layers {sorted(layers[key])} instead of 0, 1, ...; add those missing"
            )
        masks = [path / f"{key}_{layer}" / "mask.png" for layer in range(len(layers[key]))]
        clips[key] = Clip(key, partial(_tracks, masks, key), partial(_frames, path / f"{key}_0" / "image.png"))
    return clips


def _tracks(masks: list[Path], key: str) -> ClipTracks:
    layers = [read_image(path).max(axis=2) > 0 for path in masks]
    height, width = layers[0].shape
    covered: Bool[np.ndarray, "h w"] = np.zeros((height, width), dtype=bool)
    depths: list[int] = []
    tracks: list[Track] = []
    for depth, (path, layer) in enumerate(zip(masks, layers, strict=True)):
        if layer.shape != covered.shape:
            raise InputError(f"{path}: {layer.shape} pixels, but layer 0 has {covered.shape}; resize to one size")
        pieces, count = label(layer, np.ones((3, 3)))
        for piece in range(1, count + 1):
            whole = pieces == piece
            depths.append(depth)
            tracks.append(Track(len(depths), (Rle.encode(whole & ~covered),), (Rle.encode(whole),)))
        covered |= layer
    amodal = {track.id: mask for track in tracks for mask in track.amodal or () if mask is not None}
    order = order_from_relation(amodal, lambda front, back: depths[front - 1] < depths[back - 1])
    video = VideoInfo(f"{key}.png", height, width, 1, 1.0)
    return unite_visible(ClipTracks(video, tuple(tracks), True, (order,), {"layers": depths}), NAME)


def _frames(path: Path) -> Iterator[Frame] | None:
    return map(read_image, [path]) if path.is_file() else None
