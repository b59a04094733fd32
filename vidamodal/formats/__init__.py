"""Data sets as clips, whatever their layout: a module of this package each, found without an edit anywhere else.

A layout's module has ``NAME``, ``SIGN`` (what it is known by, for the error that lists what was looked for) and the two
functions of ``Layout``; one that is written, too, has what ``Format`` lists. Clips are read when asked; only lists of
names and annotations are read before. An image is a clip of one frame. What a layout does not tell of is left open,
never guessed: unknown labels, orders and visible masks are None, and ``exhaustive`` is true only where every object
that may hide another is listed by construction.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, cast, runtime_checkable

from pycocotools import mask as rle

from vidamodal.types import ClipTracks, Frame, InputError, Rle

Kind = Literal["visible", "amodal"]


@dataclass(frozen=True)
class Clip:
    """One clip of a data set.

    ``key`` names it within the data set; it may come from a file, so it is checked before it becomes part of a path.
    ``tracks()`` reads its masks, visible ones inside amodal ones, ``frames()`` its pictures, uint8 (h, w, 3) each, or
    None if they are not there. Both raise InputError, in one line that names the file, on what they cannot read.
    ``told`` is false where a layout holds one mask an object and does not say which: ``tracks()`` takes it for visible.
    """

    key: str
    tracks: Callable[[], ClipTracks]
    frames: Callable[[], Iterator[Frame] | None]
    told: bool = True

    def tracks_as(self, kind: Kind) -> ClipTracks:
        """The tracks, with masks of which the layout does not say whether they are visible or amodal taken for this."""
        clip = self.tracks()
        if self.told or kind == "visible":
            return clip
        unknown = (None,) * clip.video.frames
        return replace(clip, tracks=tuple(replace(t, visible=unknown, amodal=t.visible) for t in clip.tracks))


@dataclass(frozen=True)
class Dataset:
    """The clips under a path, by key, and the name of the layout that they are kept in."""

    layout: str
    clips: Mapping[str, Clip]


@runtime_checkable
class Layout(Protocol):
    """What a module of this package offers."""

    NAME: str
    SIGN: str

    def recognise(self, path: Path) -> bool:
        """Whether an existing file or folder looks like this layout: quick, and false for anything foreign."""

    def read(self, path: Path) -> Mapping[str, Clip]:
        """The clips under a path that was recognised. InputError if they are damaged or none."""


@runtime_checkable
class Format(Layout, Protocol):
    """A layout that is written, too."""

    FORMAT: str
    """Its name on the command line."""
    HOLDS: frozenset[str]
    """The fields of a track that it holds, beside id and label."""
    ONE: bool
    """Whether it holds one mask an object, visible or amodal."""
    FILE: bool
    """Whether it is a file; else it is a folder."""

    def write(self, out: Path, clips: Iterable[Clip], kind: Kind) -> None:
        """Writes clips to a file or into a folder that is not yet in its place. ``kind`` matters where ``ONE`` holds.

        InputError if a clip holds what the format cannot hold.
        """


def find_dataset(path: str | os.PathLike[str], name: str | None = None) -> Dataset:
    """The data set at a path: in the format of this name, or, by default, in whatever layout it looks like.

    InputError, which says what was looked for, if it is in none of the known layouts.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give a data set in a known layout")
    known = layouts()
    if name is not None:
        known = [layout for layout in known if getattr(layout, "FORMAT", None) == name]
    found = [layout for layout in known if layout.recognise(path)]
    if not found:
        signs = "; ".join(f"{layout.NAME}: {layout.SIGN}" for layout in known)
        raise InputError(f"{path}: no data set in a known layout; looked for {signs}")
    if len(found) > 1:
        names = " and ".join(layout.NAME for layout in found)
        raise InputError(f"{path}: holds data sets in several layouts ({names}); give the path of one of them")
    return Dataset(found[0].NAME, found[0].read(path))


def layouts() -> list[Layout]:
    """All layouts, in order of their modules' names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return [cast(Layout, importlib.import_module(f"{__name__}.{name}")) for name in names]


def formats() -> dict[str, Format]:
    """The layouts that are written, too, by their names on the command line."""
    return {layout.FORMAT: layout for layout in cast(list[Format], layouts()) if hasattr(layout, "FORMAT")}


# What several layouts need


def settled(clip: ClipTracks, layout: str) -> ClipTracks:
    """A clip as a data set tells it, with every visible mask inside the amodal one.

    Annotators and renderers let visible pixels stick out of the whole. Such pixels are seen, so they are added to the
    amodal mask; the provenance counts them under "united", and names the layout.
    """
    tracks, masks, pixels = [], 0, 0
    for track in clip.tracks:
        amodal = list(track.amodal or ())
        for t, (seen, whole) in enumerate(zip(track.visible, amodal, strict=False)):
            if seen is not None and whole is not None:
                amodal[t] = united = _merged(seen, whole, intersect=False)
                added = united.area() - whole.area()
                masks, pixels = masks + (added > 0), pixels + added
        tracks.append(track if track.amodal is None else replace(track, amodal=tuple(amodal)))
    counts = {"united": {"masks": masks, "pixels": pixels}} if pixels else {}
    return replace(clip, tracks=tuple(tracks), provenance={**clip.provenance, "layout": layout, **counts})


def _merged(one: Rle, other: Rle, intersect: bool) -> Rle:
    size = [one.height, one.width]
    pair = [{"size": size, "counts": mask.counts.encode("ascii")} for mask in (one, other)]
    return Rle(one.height, one.width, rle.merge(pair, intersect=intersect)["counts"].decode("ascii"))
