"""Recognition of JSON formats by their structure: the keys of the file, and of the records in its lists.

A word in a value, such as a category called "regions", never decides. A file is parsed once: its layout is kept, and
the parsed document until a reader takes it. Files that cannot hold annotations are not parsed at all.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from vidamodal.formats.base import Fit
from vidamodal.media.json_records import contains_strings
from vidamodal.media.listing import list_folder, list_folders
from vidamodal.tracks.parse import MAX_BYTES
from vidamodal.types import InputError

WRITER = "vidamodal"
"""Prefix of the description in files that this program writes: ``vidamodal-coco``."""
ROOT = ""
"""Name of the list that a whole file is."""
_WORDS = ("annotations", "predictions", "segmentation", "segmentations", "sequences", "masklet")
"""One of these is a key of every file that is read."""

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_ARCHIVES = (*_ZIP, b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
"""First bytes of zip, gzip, 7z, rar, bzip2, xz and zstd."""
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"
_MAGIC = 512
"""Bytes at the start of a file that tell what it is; a tar names itself within them."""

_MAX_TRIED = 50
"""Most files of a folder that are parsed to recognise it."""
_MAX_KEYS = 1000
"""Most keys of one list that are looked at; files of known formats have far fewer."""

_ROBOFLOW = "_annotations.coco.json"
"""Name of the annotation file in each part of a set that Roboflow exports."""

_Stamp = tuple[str, int, int]
"""Absolute path, time of change and size of a file."""
_parsed: dict[_Stamp, Any] = {}
"""The document that was parsed last, until it is read."""


@dataclass(frozen=True)
class Layout:
    """The structure of a JSON file."""

    keys: frozenset[str] = frozenset()
    """Keys of the object that the file is; empty if it is a list."""
    records: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Keys of the objects in each list of the file, together; ``ROOT`` is the list that the file is."""
    writer: str | None = None
    """The id of the format, in a file that this program wrote."""
    damaged: bool = False
    """True if the file begins like JSON and has a key of a known format, but cannot be parsed."""

    def has(self, part: str, *keys: str) -> bool:
        """Return True if the records of a list have all of these keys."""
        return self.records.get(part, frozenset()).issuperset(keys)


def match_files(path: Path, format_id: str, fit: Callable[[Layout], Fit]) -> tuple[Fit, list[Path]]:
    """Return how well a path matches a JSON format, and the files that match best.

    Args:
        path: A file, or a folder: files in it, in its folders with "annotation" in the name, and in the parts of a set
            from Roboflow are tried.
        format_id: The format. A file that this program wrote in it matches, and is only possible in others.
        fit: Returns how well a file of another program matches.
    """
    fits: dict[Path, Fit] = {}
    tried = 0
    for file in _candidates(path):
        if tried < _MAX_TRIED:
            layout = layout_of(file)
            tried += layout != Layout()
            fits[file] = _fit(layout, format_id, fit)
    best = max(fits.values(), default=Fit.NONE)
    return best, [file for file, found in fits.items() if found == best != Fit.NONE]


def layout_of(file: Path) -> Layout:
    """Return the structure of a file; that of a file without annotations is empty."""
    stamp = _stamp(file)
    return Layout() if stamp is None else _layout(stamp)


def json_files(path: Path) -> list[Path]:
    """Return the files at a path that may hold annotations, all those of a folder; none is parsed."""
    return [file for file in _candidates(path) if any(contains_strings(file, *_WORDS))]


def _candidates(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        return [path]
    folders = [path, *(folder for folder in list_folders(path) if _may_hold_annotations(folder))]
    return [file for folder in folders for file in list_folder(folder) if file.suffix == ".json"]


def _may_hold_annotations(folder: Path) -> bool:
    return "annotation" in folder.name.lower() or (folder / _ROBOFLOW).is_file()


def _fit(layout: Layout, format_id: str, fit: Callable[[Layout], Fit]) -> Fit:
    if layout.writer == format_id:
        return Fit.CERTAIN
    return fit(layout) if layout.writer is None else min(fit(layout), Fit.POSSIBLE)


def _stamp(file: Path) -> _Stamp | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return str(file.absolute()), status.st_mtime_ns, status.st_size


@lru_cache(maxsize=4096)
def _layout(stamp: _Stamp) -> Layout:
    file = Path(stamp[0])
    if not any(contains_strings(file, *_WORDS)):
        return Layout()
    if stamp[2] > MAX_BYTES:
        return Layout(damaged=True)
    try:
        document = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return Layout(damaged=True)
    _parsed.clear()
    _parsed[stamp] = document
    return _layout_of(document)


def _layout_of(document: Any) -> Layout:
    if isinstance(document, list):
        return Layout(records={ROOT: _keys(document)})
    info = document.get("info")
    text = info.get("description") if isinstance(info, dict) else None
    writer = text.removeprefix(f"{WRITER}-") if isinstance(text, str) and text.startswith(f"{WRITER}-") else None
    known = list(document)[:_MAX_KEYS]
    records = {key: _keys(document[key]) for key in known if isinstance(document[key], list)}
    return Layout(frozenset(known), records, writer)


def _keys(entries: list[Any]) -> frozenset[str]:
    found: set[str] = set()
    for entry in entries:
        if isinstance(entry, dict):
            found.update(entry)
        if len(found) > _MAX_KEYS:
            break
    return frozenset(found)


def one_file(path: Path, files: Sequence[Path]) -> Path:
    """Return the only annotation file of a data set.

    Raises:
        InputError: There are several.
    """
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:5]) + (", ..." if len(files) > 5 else "")
        raise InputError(f"{path}: several annotation files ({names}); pass the path of one of them")
    return files[0]


def reason_unreadable(file: Path) -> str | None:
    """Return why a file in no known format cannot be JSON, and what to do; None if it is a folder or anything else."""
    if not file.is_file():
        return None
    with file.open("rb") as handle:
        start = handle.read(_MAGIC)
    if not start.strip():
        return "an empty file; copy or write it again"
    if start.startswith(_ZIP) and not zipfile.is_zipfile(file):
        return "a damaged archive; copy it again"
    if start.startswith(_ARCHIVES) or start[257:262] == b"ustar":
        return "an archive; unpack it and pass what is inside"
    if start.startswith(_UTF_16) or (b"\0" in start[:2] and start.strip(b"\0")[:1] in (b"[", b"{")):
        return "text that is not UTF-8; save it as UTF-8"
    if start.removeprefix(_BOM).lstrip()[:1] not in (b"[", b"{"):
        return None
    try:
        load_json(file)
    except InputError as error:
        return str(error).removeprefix(f"{file}: ")
    return None


def load_json(file: Path) -> Any:
    """Return the parsed content of a file; what its recognition parsed is used once.

    Raises:
        InputError: The file is too large, or not JSON.
    """
    stamp = _stamp(file)
    if stamp is not None and stamp in _parsed:
        return _parsed.pop(stamp)
    if stamp is not None and stamp[2] > MAX_BYTES:
        raise InputError(f"{file}: larger than {MAX_BYTES >> 20} MiB; split it into files with fewer images")
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON ({error or 'nested too deeply'}); copy or write the file again") from None
