"""Intra-AFruit, ACOM and MUVA in layers, as cumulative occlusion learning reads them (BMVC 2024, saraao/SAS).

``<image>_<layer>/`` with ``image.png`` and ``mask.png``: the amodal masks of all objects of a layer in one, 0 and
others. Layer 0 is hidden by nothing, layer k by layers before it; the last may be empty ("nothing is left").
``newmask.png``, the layers in front, is their union and not read. An image is a clip of one frame, its key the image's
number. A layer does not tell its objects apart: each connected piece (also over corners) is taken for one, numbered
from 1 through the layers; the provenance lists their layers. Visible is what no layer in front covers, so it is
exhaustive by construction.

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
from vidamodal.media.images import natural_key, read_image
from vidamodal.occlusion.order import order_from_relation
from vidamodal.types import ClipTracks, Frame, InputError, Rle, Track, VideoInfo

ID = "occlusion-layers"
NAME = "layers of Intra-AFruit, ACOM or MUVA"
SIGN = "folders <image>_<layer> with image.png and mask.png"


def recognise(path: Path) -> Fit:
    """Whether it is a folder that holds the folder of an image's first layer."""
    return certain_if(path.is_dir() and any((folder / "mask.png").is_file() for folder in path.glob("*_0")))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """A clip for each image. InputError if one of its layers is missing."""
    layers: dict[str, list[int]] = {}
    for folder in path.iterdir():
        match = re.fullmatch("([0-9]+)_([0-9]{1,4})", folder.name)
        if match and (folder / "mask.png").is_file():
            layers.setdefault(match[1], []).append(int(match[2]))
    clips = {}
    for key in sorted(layers, key=natural_key):
        if sorted(layers[key]) != list(range(len(layers[key]))):
            raise InputError(f"{path}: layers {sorted(layers[key])} of image {key}, not 0, 1, ...; give all of them")
        masks = [path / f"{key}_{layer}" / "mask.png" for layer in range(len(layers[key]))]
        clips[key] = Clip(key, partial(_tracks, masks, key), partial(_frames, path / f"{key}_0" / "image.png"))
    return clips


def _tracks(masks: list[Path], key: str) -> ClipTracks:
    covered: Bool[np.ndarray, "h w"] | None = None
    depths: list[int] = []
    visible: list[Rle] = []
    amodal: list[Rle] = []
    for depth, path in enumerate(masks):
        layer = read_image(path).max(axis=2) > 0
        if covered is None:
            covered = np.zeros_like(layer)
        if layer.shape != covered.shape:
            raise InputError(f"{path}: {layer.shape} pixels, layer 0 has {covered.shape}; give masks of one size")
        pieces, count = label(layer, np.ones((3, 3)))
        for piece in range(1, count + 1):
            whole = pieces == piece
            depths.append(depth)
            visible.append(Rle.encode(whole & ~covered))
            amodal.append(Rle.encode(whole))
        covered |= layer
    assert covered is not None  # there is a first layer
    height, width = covered.shape
    order = order_from_relation(dict(enumerate(amodal, 1)), lambda front, back: depths[front - 1] < depths[back - 1])
    clip = ClipTracks(
        VideoInfo(f"{key}.png", height, width, 1, 1.0),
        tuple(Track(k, (seen,), (whole,)) for k, (seen, whole) in enumerate(zip(visible, amodal, strict=True), 1)),
        exhaustive=True,
        order=(order,),
        provenance={"layers": depths},
    )
    return unite_visible(clip, NAME)


def _frames(path: Path) -> Iterator[Frame] | None:
    return map(read_image, [path]) if path.is_file() else None
