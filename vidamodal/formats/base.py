"""Records that all formats share, and the interface of a format's module."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from vidamodal.types import ClipTracks, Frame, VideoInfo

MaskKind = Literal["visible", "amodal"]

PLAIN_KEY = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
"""Keys of clips that can be names of files and folders."""

FRAME_VALUES = frozenset({"confidence", "boxes", "present", "occlusion", "truncated"})
"""Fields of ``Track`` with a number or a box for each frame; every format that stores a clip record holds them."""


@dataclass(frozen=True)
class VideoContext:
    """The video that masks belong to, for readers of masks that do not describe it themselves."""

    info: VideoInfo
    frame_names: tuple[str, ...] | None = None
    """Names, without suffix, of the files in a folder of frames; None for a video file."""


@dataclass(frozen=True)
class Clip:
    """One clip of a data set. Nothing but its key is read before it is asked for."""

    key: str
    """Name within the data set. It may come from a file, so it must be checked before it becomes part of a path."""
    tracks: Callable[[], ClipTracks]
    """Read the masks, visible ones inside amodal ones. Raises InputError on what cannot be read."""
    frames: Callable[[], Iterator[Frame] | None]
    """Read the frames, uint8 (h, w, 3) each; returns None if they are missing. Raises InputError."""
    kind_known: bool = True
    """False for formats with one mask per object that do not state its kind; ``tracks()`` returns it as visible."""
    source: str = ""
    """The file or folder, for messages."""
    tracks_of: Callable[[VideoContext], ClipTracks] | None = None
    """Read the masks in a video that is known from elsewhere; None if the content describes its video."""

    def in_video(self, video: VideoContext) -> Clip:
        """Return the clip with the masks of a video, which may be longer than the content shows."""
        return self if self.tracks_of is None else replace(self, tracks=partial(self.tracks_of, video))

    def tracks_as(self, kind: MaskKind) -> ClipTracks:
        """Return the tracks; masks of an unstated kind are treated as ``kind``."""
        clip = self.tracks()
        if self.kind_known or kind == "visible":
            return clip
        unknown = (None,) * clip.video.frames
        return replace(clip, tracks=tuple(replace(t, visible=unknown, amodal=t.visible) for t in clip.tracks))


@dataclass(frozen=True)
class Dataset:
    """The clips under a path, by key."""

    format: str
    """``NAME`` of the format."""
    clips: Mapping[str, Clip]


class Fit(IntEnum):
    """How well a path matches a format. The best match is read; two equally good ones are an error."""

    NONE = 0
    POSSIBLE = 1
    """The content can be read, but other formats look the same: plain folders of PNGs, for example."""
    CERTAIN = 2
    """The content has the structure that the format documents."""
    EXACT = 3
    """As CERTAIN, and in folders that only this format uses, so images beside them are not masks."""


def certain_if(condition: object) -> Fit:
    """Return ``Fit.CERTAIN`` for a true condition, else ``Fit.NONE``."""
    return Fit.CERTAIN if condition else Fit.NONE


class Format(Protocol):
    """The interface of a format's module.

    Whatever a format does not state stays open: unknown labels, orders and visible masks are None, and ``exhaustive``
    is true only where the format guarantees that every possible occluder is listed. An image is a clip of one frame.
    """

    ID: str
    """Name on the command line."""
    NAME: str
    """Name in messages."""
    SIGN: str
    """Description of a valid path, for error messages."""

    def recognise(self, path: Path) -> Fit:
        """Return how well an existing file or folder matches; must be quick."""

    def read(self, path: Path, video: VideoContext | None) -> Mapping[str, Clip]:
        """Return the clips under a path that was recognised.

        Args:
            path: A file or folder.
            video: The video of the masks, which gives the size, the number of frames and the names of frames; None if
                only the path is known.

        Raises:
            InputError: The content is damaged or empty.
        """


class WritableFormat(Format, Protocol):
    """The interface of a format's module with a writer."""

    HOLDS: frozenset[str]
    """The fields of ``Track`` that the format holds, beside id and label."""
    SINGLE_MASK: bool
    """True if the format holds one mask per object, visible or amodal."""
    IS_FILE: bool
    """True if the format is one file; else it is a folder."""

    def write(self, out: Path, clips: Iterable[Clip], kind: MaskKind) -> None:
        """Write clips to a temporary path, which the caller moves into its place.

        Args:
            out: A new file, or an existing empty folder.
            clips: Clips with no more than the format holds.
            kind: The masks to write, where ``SINGLE_MASK`` is true.

        Raises:
            InputError: A clip has content that the format cannot hold.
        """
