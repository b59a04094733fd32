"""The elements of CVAT's XML.

The file is parsed as a stream. A document type is refused, and with it all entities: CVAT writes none, and they can
make a small file fill the memory or read other files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from vidamodal.media.json_records import FieldError
from vidamodal.types import InputError

MAX_BYTES = 2**28
"""Largest file that is read."""
MAX_ELEMENTS = 2**20
"""Most elements that are read."""
_SHAPES = frozenset(("box", "polygon", "ellipse", "mask", "polyline", "points", "cuboid", "skeleton"))
_BEFORE_ROOT = {b"<?": b"?>", b"<!--": b"-->"}
"""Delimiters allowed before the root element."""


@dataclass
class Node:
    """An XML element of CVAT's task description."""

    tag: str
    pieces: list[str] = field(default_factory=list)
    """Parts of its text."""
    children: list[Node] = field(default_factory=list)

    def find(self, *tags: str) -> Node | None:
        """Return the first descendant along a path of tags."""
        if not tags:
            return self
        below = (child.find(*tags[1:]) for child in self.children if child.tag == tags[0])
        return next((found for found in below if found is not None), None)

    def value(self, *tags: str) -> str | None:
        """Return the text of the first descendant along a path of tags; None if it has none."""
        found = self.find(*tags)
        return None if found is None else "".join(found.pieces).strip() or None


@dataclass
class Shape:
    """A shape that was drawn."""

    kind: str
    """The tag: box, polygon, ellipse, mask, or one that encloses no area."""
    attributes: dict[str, str]
    values: dict[str, str] = field(default_factory=dict)
    """Values of the attributes that the annotators defined, by name."""


@dataclass
class Holder:
    """A track or an image with its shapes."""

    attributes: dict[str, str]
    shapes: list[Shape] = field(default_factory=list)


@dataclass
class Document:
    """The content of a file."""

    meta: Node
    tracks: list[Holder] = field(default_factory=list)
    images: list[Holder] = field(default_factory=list)


def is_cvat(path: Path) -> bool:
    """Return True for an XML file whose root is CVAT's."""
    if path.suffix.lower() != ".xml" or not path.is_file():
        return False
    with path.open("rb") as file:
        text = file.read(2**12).removeprefix(b"\xef\xbb\xbf").lstrip()
    while end := next((end for start, end in _BEFORE_ROOT.items() if text.startswith(start)), None):
        text = text.partition(end)[2].lstrip()
    return re.match(rb"<(!DOCTYPE\s+)?annotations[\s>]", text) is not None


def parse_file(path: Path) -> Document:
    """Return the elements of a file.

    Raises:
        InputError: The file is too large, not well-formed, or has a document type.
        FieldError: It has too many elements, or shapes outside tracks and images.
    """
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB; export fewer tasks or jobs at once")
    builder = _Builder()
    try:
        with path.open("rb") as file:
            builder.parser.ParseFile(file)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if isinstance(error, FieldError):
            raise
        raise InputError(f"{path}: not well-formed XML ({error}); export it again") from None
    return builder.document


class _Builder:
    """Collects the elements while the file is parsed."""

    def __init__(self) -> None:
        self.document = Document(Node("meta"))
        self.open: list[str] = []
        self.nodes: list[Node] = []
        self.holder: Holder | None = None
        self.shape: Shape | None = None
        self.attribute: str | None = None
        self.count = 0
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _refuse(self, *_: object) -> None:
        raise FieldError("the file has a document type (DOCTYPE), which CVAT does not write; export it again")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self.count += 1
        if self.count > MAX_ELEMENTS:
            raise FieldError(f"more than {MAX_ELEMENTS} elements; export fewer tasks or jobs at once")
        self.open.append(tag)
        depth = len(self.open)
        if depth >= 2 and self.open[1] == "meta":
            self._start_node(tag)
        elif depth == 2 and tag in ("track", "image"):
            self.holder = Holder(attributes)
            (self.document.tracks if tag == "track" else self.document.images).append(self.holder)
        elif depth == 3 and self.holder is not None and tag in _SHAPES:
            self.shape = Shape(tag, attributes)
            self.holder.shapes.append(self.shape)
        elif depth == 4 and self.shape is not None and tag == "attribute":
            self.attribute = attributes.get("name", "")
            self.shape.values[self.attribute] = ""

    def _start_node(self, tag: str) -> None:
        if not self.nodes:
            self.nodes = [self.document.meta]
            return
        node = Node(tag)
        self.nodes[-1].children.append(node)
        self.nodes.append(node)

    def _end(self, _: str) -> None:
        depth = len(self.open)
        self.open.pop()
        if self.nodes:
            self.nodes.pop()
        elif depth == 2:
            self.holder = None
        elif depth == 3:
            self.shape = None
        elif depth == 4:
            self.attribute = None

    def _text(self, text: str) -> None:
        if self.nodes:
            self.nodes[-1].pieces.append(text)
        elif self.shape is not None and self.attribute is not None:
            self.shape.values[self.attribute] += text
