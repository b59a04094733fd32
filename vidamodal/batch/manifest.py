"""The manifest of a batch: its settings, and the outcome of every video.

{"format": "vidamodal-predictions", "version": 1, "settings": {...},
 "videos": {KEY: {"outcome": "done" | "bad input" | "failed" | "waiting", ...}}}
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidamodal.media.files import write_text
from vidamodal.types import InputError

FORMAT = "vidamodal-predictions"
_SECONDS_BETWEEN = 5.0
"""Least time between two writes; a manifest of many thousand videos is large."""

Entry = Mapping[str, Any]
WAITING: Entry = {"outcome": "waiting"}
FAILURES = frozenset({"bad input", "failed"})


@dataclass(frozen=True)
class Part:
    """The videos of one of several runs: every ``count``-th, beginning with video ``index``."""

    index: int = 0
    count: int = 1

    @staticmethod
    def parse(text: str) -> Part:
        """Return the part that "i/n" names, with i from 0 to n - 1.

        Raises:
            InputError: The text has another form.
        """
        first, _, second = text.partition("/")
        if not (first.isascii() and first.isdigit() and second.isascii() and second.isdigit()):
            raise InputError(f"shard: {text!r} is not i/n. Pass for example 0/4 for the first of four parts.")
        part = Part(int(first), int(second))
        if part.index >= part.count:
            raise InputError(f"shard: {text!r} must lie between 0/{part.count} and {part.count - 1}/{part.count}.")
        return part

    @property
    def file_name(self) -> str:
        """The name of the part's manifest."""
        return "manifest.json" if self.count == 1 else f"manifest-{self.index}-of-{self.count}.json"


@dataclass
class Manifest:
    """The manifest of a run while its videos are predicted."""

    path: Path
    settings: Mapping[str, Any]
    entries: dict[str, Entry] = field(default_factory=dict)
    _written: float = float("-inf")

    def record(self, key: str, entry: Entry) -> None:
        """Store the outcome of a video. The file is written at most every few seconds."""
        self.entries[key] = entry
        if time.monotonic() - self._written > _SECONDS_BETWEEN:
            self.write()

    def write(self) -> None:
        """Write the file atomically."""
        record = {"format": FORMAT, "version": 1, "settings": self.settings, "videos": self.entries}
        write_text(self.path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        self._written = time.monotonic()

    @property
    def failures(self) -> int:
        """How many videos failed so far."""
        return sum(entry["outcome"] in FAILURES for entry in self.entries.values())


def earlier_entries(out: Path, settings: Mapping[str, Any]) -> tuple[dict[str, Entry], bool]:
    """Return the entries that earlier runs with the same settings completed, and whether there were runs with others.

    Args:
        out: The folder of the manifests.
        settings: The settings of this run.

    Raises:
        InputError: ``out`` has a manifest of something else, which would be replaced.
    """
    entries: dict[str, Entry] = {}
    differ = False
    for path in sorted(out.glob("manifest*.json")):
        record = _read(path)
        if record is None:
            if path.name == "manifest.json":
                raise InputError(f"{path}: not the manifest of predictions. Move it, or pass another folder as out=.")
        elif record["settings"] == settings:
            entries |= {key: entry for key, entry in record["videos"].items() if entry["outcome"] == "done"}
        else:
            differ = True
    return entries, differ


def remove_parts(out: Path) -> None:
    """Remove the manifests of parts, which the manifest of all videos replaces."""
    for path in out.glob("manifest-*-of-*.json"):
        if _read(path) is not None:
            path.unlink()


def _read(path: Path) -> dict[str, Any] | None:
    """The content of a manifest; None if the file is something else."""
    try:
        record = json.loads(path.read_bytes())
        is_manifest = record["format"] == FORMAT and isinstance(record["settings"], dict)
        is_complete = isinstance(record["videos"], dict) and all("outcome" in v for v in record["videos"].values())
        return record if is_manifest and is_complete else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
