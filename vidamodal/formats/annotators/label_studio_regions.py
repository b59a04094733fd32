"""Tasks and regions in Label Studio's JSON export, and the masks of regions.

A region is one or several results with the same id: one has the shape, others may have its label or a value of it, such
as the text of a field "track_id". Shapes are in per cent of the image's size.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from vidamodal.formats.annotation_files import Record
from vidamodal.formats.annotators.brush_rle import decode_brush
from vidamodal.formats.annotators.outlines import ellipse_mask, polygon_mask
from vidamodal.media.json_records import FieldError, check_type, excerpt, optional, required
from vidamodal.tracks.check import check_video
from vidamodal.types import Rle, VideoInfo

LINKS = ("track_id", "object_id", "instance_id")
"""Names of fields with the identity of a region's object."""
_MAX_PERCENT = 1e6
_PNG = "data:image/png;base64,"


@dataclass
class Region:
    """A region that was marked."""

    id: str
    where: str
    """Its place in the file, for messages."""
    kind: str = ""
    """brush, polygon, ellipse, bitmask, box or video; empty for regions that enclose no area."""
    value: Record = field(default_factory=dict)
    size: tuple[int, int] | None = None
    """Height and width of its image."""
    label: str | None = None
    link: str | None = None
    """The identity of its object."""


@dataclass(frozen=True)
class Task:
    """A task: an image or a video with its regions."""

    where: str
    data: Record
    regions: list[Region] | None
    """None if nobody annotated it."""
    is_predicted: bool = False
    """True if a model marked the regions."""

    @property
    def name(self) -> str:
        """Name of its image, without the folders and addresses before it."""
        addresses = [value for value in self.data.values() if isinstance(value, str)]
        paths = [re.sub(r"^.*[?&]d=", "", address).partition("?")[0].replace("\\", "/") for address in addresses]
        named = [path for path in paths if re.search(r"\.[A-Za-z0-9]{2,5}$", path)]
        return PurePosixPath(next(iter(named or paths), "")).name

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of its image."""
        return next((region.size for region in self.regions or () if region.size is not None), None)


def parse_tasks(document: Any) -> list[Task]:
    """Return the tasks of a document; where nobody annotated any, the predictions of a model count.

    Raises:
        FieldError: A field is damaged, or it is not clear which annotation of a task counts.
    """
    entries = document if isinstance(document, list) else [document]
    tasks = _tasks(entries, "annotations")
    predicted = _tasks(entries, "predictions") if all(task.regions is None for task in tasks) else []
    return predicted if any(task.regions for task in predicted) else tasks


def _tasks(entries: Iterable[Any], key: str) -> list[Task]:
    tasks = []
    for place, entry in enumerate(entries):
        where = f"task {check_type(entry, dict, f'task {place}').get('id', place)}: "
        results = _results(entry, key, where)
        regions = None if results is None else _regions(results, where)
        tasks.append(Task(where, required(entry, "data", dict, where), regions, key == "predictions"))
    return tasks


def _results(entry: Record, key: str, where: str) -> list[Any] | None:
    """The results of the annotation, or the prediction, that counts."""
    found = [check_type(a, dict, f"{where}{key}") for a in optional(entry, key, list, where) or ()]
    found = [annotation for annotation in found if not annotation.get("was_cancelled")]
    found = [annotation for annotation in found if annotation.get("ground_truth")] or found
    if len(found) > 1:
        raise FieldError(f"{where}{len(found)} {key} of one task; keep one, or mark one as ground truth")
    results: list[Any] | None = optional(found[0], "result", list, where) if found else None
    return results if results is not None or not found else []


def _regions(results: Iterable[Any], where: str) -> list[Region]:
    regions: dict[str, Region] = {}
    for place, result in enumerate(results):
        check_type(result, dict, f"{where}result[{place}]")
        value = result.get("value")
        if not isinstance(value, dict):  # relations have none
            continue
        number = result["id"] if isinstance(result.get("id"), str) else f"#{place}"
        region = regions.setdefault(number, Region(number, f"{where}region {number[:20]}: "))
        region.label = region.label or _label(value)
        region.link = region.link or _link(result, value)
        kind = _kind(value)
        if kind and not region.kind:
            region.kind, region.value = kind, value
            region.size = None if kind == "video" else _size(result, region.where)
    return [region for region in regions.values() if region.kind or region.label]


def _label(value: Record) -> str | None:
    lists = [entry for key, entry in value.items() if key.endswith("labels") and isinstance(entry, list)]
    return next((label for labels in lists for label in labels if isinstance(label, str)), None)


def _link(result: Record, value: Record) -> str | None:
    if result.get("from_name") not in LINKS:
        return None
    entry = next((value[key] for key in ("text", "number", "choices") if key in value), None)
    entry = entry[0] if isinstance(entry, list) and entry else entry
    return str(entry) if isinstance(entry, str | int | float) and entry != "" else None


def _kind(value: Record) -> str:
    shapes = {"rle": "brush", "imageDataURL": "bitmask", "points": "polygon", "radiusX": "ellipse", "sequence": "video"}
    found = next((kind for key, kind in shapes.items() if key in value), "")
    return found or ("box" if "width" in value and "height" in value else "")


def _size(result: Record, where: str) -> tuple[int, int]:
    height, width = (required(result, f"original_{side}", int, where) for side in ("height", "width"))
    rotation = result.get("image_rotation") or 0
    if rotation not in (0, 360):
        raise FieldError(f"{where}its image is rotated by {rotation} degrees; rotate the file and annotate it again")
    try:
        check_video(VideoInfo("", height, width, 1, 1.0))
    except FieldError as error:
        raise FieldError(f"{where}{error}") from None
    return height, width


def region_mask(region: Region) -> Rle | None:
    """Return the mask of a region; None for a box, which does not state it.

    Raises:
        FieldError: The region is damaged.
    """
    if region.size is None or region.kind not in _MASKS:
        return None
    return _MASKS[region.kind](region, *region.size)


def _brush(region: Region, height: int, width: int) -> Rle:
    data = required(region.value, "rle", list, region.where)
    return Rle.encode(decode_brush(data, height, width, f"{region.where}rle"))


def _polygon(region: Region, height: int, width: int) -> Rle:
    points = required(region.value, "points", list, region.where)
    if any(not isinstance(point, list) or len(point) != 2 for point in points):
        raise FieldError(f"{region.where}points must be [[x, y], ...] in per cent")
    flat = [_share(number, side, region.where) for point in points for number, side in zip(point, "xy", strict=True)]
    sides = {0: width, 1: height}
    return polygon_mask([share * sides[k % 2] for k, share in enumerate(flat)], height, width, region.where)


def _ellipse(region: Region, height: int, width: int) -> Rle:
    x, y, rx, ry = (_share(region.value.get(key), key, region.where) for key in ("x", "y", "radiusX", "radiusY"))
    degrees = _share(region.value.get("rotation") or 0, "rotation", region.where) * 100
    return ellipse_mask((x * width, y * height), (rx * width, ry * height), degrees, height, width, region.where)


def _share(value: Any, name: str, where: str) -> float:
    """A number in per cent, as a share."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < _MAX_PERCENT:
        raise FieldError(f"{where}{name} must be a number in per cent, not {excerpt(value)}")
    return value / 100


def _bitmask(region: Region, height: int, width: int) -> Rle:
    text = required(region.value, "imageDataURL", str, region.where)
    try:
        data = base64.b64decode(text.removeprefix(_PNG), validate=True)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.size != (width, height):
                raise ValueError(f"{image.width} x {image.height} pixels")
            alpha = np.asarray(image.convert("RGBA"))[..., 3]
    except (binascii.Error, ValueError, OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise FieldError(f"{region.where}imageDataURL is not a PNG of the image's size ({reason})") from None
    return Rle.encode(alpha > 0)


_MASKS = {"brush": _brush, "polygon": _polygon, "ellipse": _ellipse, "bitmask": _bitmask}
