"""Masks and numbers in CVAT's elements."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from vidamodal.formats.annotators.cvat_xml import Shape
from vidamodal.formats.annotators.outlines import ellipse_mask, polygon_mask
from vidamodal.media.json_records import FieldError, excerpt
from vidamodal.types import Rle

AREAS = frozenset(("polygon", "ellipse", "mask"))
"""Shapes that state which pixels belong to an object."""


def integer(attributes: Mapping[str, str], name: str, where: str, default: int | None = None) -> int:
    """Return an attribute as an integer.

    Raises:
        FieldError: It is missing without a default, or not an integer.
    """
    text = attributes.get(name, "" if default is None else str(default))
    if not text.strip().isascii() or not text.strip().removeprefix("-").isdigit() or len(text) > 18:
        raise FieldError(f'{where}the attribute "{name}" must be an integer, not {excerpt(text)}')
    return int(text)


def shape_mask(shape: Shape, height: int, width: int, where: str) -> Rle:
    """Return the mask of a shape of the kinds in ``AREAS``.

    Raises:
        FieldError: The shape is damaged.
    """
    if shape.kind == "mask":
        return _run_length_mask(shape.attributes, height, width, where)
    if shape.kind == "ellipse":
        cx, cy, rx, ry = (_number(shape.attributes, name, where) for name in ("cx", "cy", "rx", "ry"))
        degrees = _number({"rotation": "0", **shape.attributes}, "rotation", where)
        return ellipse_mask((cx, cy), (rx, ry), degrees, height, width, where)
    pairs = [pair.split(",") for pair in shape.attributes.get("points", "").split(";")]
    try:
        points = [float(value) for pair in pairs for value in pair]
    except ValueError:
        points = []
    if len(points) < 6 or any(len(pair) != 2 for pair in pairs):
        raise FieldError(f'{where}the attribute "points" must be x,y;x,y;... of at least three points')
    return polygon_mask(points, height, width, where)


def _number(attributes: Mapping[str, str], name: str, where: str) -> float:
    try:
        value = float(attributes[name])
    except (KeyError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise FieldError(f'{where}the attribute "{name}" must be a number, not {excerpt(attributes.get(name))}')
    return value


def _run_length_mask(attributes: Mapping[str, str], height: int, width: int, where: str) -> Rle:
    left, top, wide, tall = (integer(attributes, name, where) for name in ("left", "top", "width", "height"))
    if min(left, top, wide, tall) < 0 or left + wide > width or top + tall > height:
        raise FieldError(f"{where}a mask in {left}, {top}, {wide} x {tall}, beyond the image ({width} x {height})")
    try:
        runs = np.array([int(run) for run in attributes.get("rle", "").split(",")], dtype=np.int64)
    except (ValueError, OverflowError):
        raise FieldError(f'{where}the attribute "rle" must be run lengths: 3, 2, 4') from None
    if runs.min() < 0 or runs.max() > wide * tall or runs.sum() != wide * tall:
        raise FieldError(f"{where}the run lengths sum to {runs.sum()}, not to {wide} x {tall} pixels")
    mask = np.zeros((height, width), dtype=bool)
    mask[top : top + tall, left : left + wide] = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(tall, wide)
    return Rle.encode(mask)


def mask_attributes(mask: Rle) -> dict[str, str]:
    """Return the attributes of a ``mask`` element: run lengths inside its box."""
    top, left, bottom, right = mask.box() or (0, 0, 1, 1)
    inside = mask.decode()[top:bottom, left:right].ravel()
    edges = np.flatnonzero(np.diff(inside)) + 1
    runs = np.diff(np.r_[0, edges, inside.size]).tolist()
    runs = [0, *runs] if inside[0] else runs
    box = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    return {"rle": ", ".join(map(str, runs)), **{name: str(value) for name, value in box.items()}}
