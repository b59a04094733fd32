"""Parts of the JSON files that the video formats write."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from vidamodal.formats.annotation_files import Record
from vidamodal.formats.json_layouts import WRITER
from vidamodal.types import Rle

NAMELESS = "object"
"""The category of a track without a label: most formats require one."""


@dataclass
class Categories:
    """Category ids from 1 for labels, in the order in which they are first looked up."""

    ids: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, label: str | None) -> int:
        return self.ids.setdefault(NAMELESS if label is None else label, len(self.ids) + 1)

    def records(self) -> list[Record]:
        """Return the categories as COCO lists them."""
        return [{"id": number, "name": name} for name, number in self.ids.items()]


def frame_names(key: str, frames: int) -> list[str]:
    """Return generated file names for the frames of a clip, which are not written."""
    return [f"{key}/{t:05d}.jpg" for t in range(frames)]


def box_record(mask: Rle) -> list[int]:
    """Return the box of a mask as x, y, width, height; zeros if it is empty."""
    top, left, bottom, right = mask.box() or (0, 0, 0, 0)
    return [left, top, right - left, bottom - top]


def description(format_id: str) -> str:
    """Return the description in a written file, by which its format is recognised even if nothing is annotated."""
    return f"{WRITER}-{format_id}"


def write_json(path: Path, format_id: str, document: Record) -> None:
    """Write a document with its description to a temporary path."""
    document = {"info": {"description": description(format_id)}, **document}
    path.write_text(json.dumps(document, allow_nan=False) + "\n", encoding="utf-8")
