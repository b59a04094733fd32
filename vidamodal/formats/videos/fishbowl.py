"""FISHBOWL as SaVos and C2F-Seg distribute it: ``<split>_data/<split>_data.pkl``. Recognised only.

A pickle may run any code when it is opened, so it is not opened here.
``python -m scripts.dev.convert_fishbowl --trust`` converts it to ``<video>.tracks.json`` files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vidamodal.formats.base import Clip, Fit, VideoContext, certain_if
from vidamodal.media.listing import find_in_folder
from vidamodal.types import InputError

ID = "fishbowl"
NAME = "FISHBOWL"
SIGN = "<split>_data.pkl, to be converted by scripts.dev.convert_fishbowl"


def recognise(path: Path) -> Fit:
    """Match such a file, or a folder with one in it or in the folder of its split."""
    return certain_if(_files(path))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Raise an InputError that says how to convert the file."""
    raise InputError(
        f"{_files(path)[0]}: FISHBOWL's annotations are a pickle, which is never opened here; if you trust this file, "
        "run python -m scripts.dev.convert_fishbowl --trust on it and pass its output"
    )


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return [*find_in_folder(path, "*_data.pkl"), *find_in_folder(path, "*_data/*_data.pkl")]
    return [path] if path.name.endswith("_data.pkl") else []
