"""Settings of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from dataset_gen.assets import Split
from dataset_gen.library import OFFLINE
from dataset_gen.presets import PresetName
from dataset_gen.versions import GENERATOR
from vidamodal.types import InputError

SHARD_SCENES = 16
"""Scenes per shard."""


@dataclass(frozen=True)
class Run:
    """Everything that determines a data set: equal runs give equal files. Scene k has the seed ``seed + k``."""

    scenes: int
    seed: int
    split: Split
    preset: PresetName
    size: int
    """Height of the frames in pixels; only places (street, room and field) have frames that are not square."""
    frames: int
    """Frames per scene."""
    samples: int
    """Rays per pixel."""
    masks_only: bool
    """True for settled scenes without images."""
    generator: int = GENERATOR
    depth: bool = False
    """True to store the depth of every pixel."""
    assets: str = OFFLINE.identity
    """Identity of the library that the scenes are made of."""
    manifests: tuple[str, ...] = ()
    """Locations of that library's manifests."""
    hidden: tuple[float, ...] = ()
    """Target histogram of occluded fractions for the choice of cameras (``dataset_gen.views``); empty for none."""
    canvas: int = 0
    """Pixels beyond the image borders that the padded amodal masks cover."""

    @property
    def seeds(self) -> range:
        """The seeds of all scenes."""
        return range(self.seed, self.seed + self.scenes)

    def shards(self) -> dict[str, range]:
        """Return the seeds of each shard by its file name."""
        starts = range(0, self.scenes, SHARD_SCENES)
        return {f"{self.split}-{k:06d}.tar": self.seeds[start : start + SHARD_SCENES] for k, start in enumerate(starts)}

    def settings(self) -> dict[str, Any]:
        """Return the settings as JSON values.

        Paths are left out, and so are newer fields that have their default, so that older folders still match.
        """
        defaults = {field.name: field.default for field in fields(self) if field.name != "generator"}
        values = {name: value for name, value in asdict(self).items() if name != "manifests"}
        settings = {name: value for name, value in values.items() if value != defaults.get(name, MISSING)}
        document: dict[str, Any] = json.loads(json.dumps(settings))
        return document

    def check_same(self, other: object, out: Path) -> None:
        """Raise InputError unless ``other`` holds the settings of this run.

        Args:
            other: Settings read from a file of ``out``.
            out: Folder to name in the error.
        """
        mine = self.settings()
        if other == mine:
            return
        theirs: Mapping[str, Any] = other if isinstance(other, dict) else {}
        names = [name for name in {**mine, **theirs} if theirs.get(name) != mine.get(name)]
        differences = ", ".join(f"{name} is {theirs.get(name)!r}, not {mine.get(name)!r}" for name in names)
        raise InputError(
            f"{out}: holds a different run ({differences}). Use another folder, or the settings of that run."
        )


def read_settings(path: Path) -> dict[str, Any]:
    """Read a JSON file that dataset_gen wrote.

    Raises:
        InputError: The file cannot be read or holds something else.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        document = None
    if not isinstance(document, dict):
        raise InputError(f"{path}: not written by dataset_gen. Use a new or empty folder.")
    return document
