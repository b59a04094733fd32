"""Exports: a result in the chosen formats as one zip archive."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from vidamodal.app.corrections import Corrections
from vidamodal.convert import convert
from vidamodal.formats.registry import writable_formats
from vidamodal.inference.prediction import DEFAULT_FORMATS, Format, Prediction
from vidamodal.media.files import atomic_file
from vidamodal.report.viewer import Pictures, write_view
from vidamodal.tracks import write_tracks
from vidamodal.types import InputError

PAGE = "view"
"""The choice of the page that shows the result."""
DEFAULT_CHOICES = (*DEFAULT_FORMATS, PAGE)
_ONE_PER_PIXEL = ("davis", "mots")
"""Formats of `convert` that cannot hold amodal masks, because these overlap."""
_STORED = {".mp4", ".mkv", ".mov", ".png", ".tar"}
"""Suffixes of files that are compressed already."""


def export_choices() -> list[str]:
    """Return everything that can be exported: formats of `predict`, the page, and formats of `convert`."""
    return [*get_args(Format), PAGE, *(name for name in writable_formats() if name not in ("tracks", *_ONE_PER_PIXEL))]


def write_bundle(
    path: Path, video: Path, prediction: Prediction, corrections: Corrections, choices: Sequence[str]
) -> None:
    """Write a zip archive of a prediction atomically. It holds corrections.json, too, if there are corrections.

    Args:
        path: The archive to write; temporary files are written beside it.
        video: The video of the prediction.
        prediction: The prediction.
        corrections: The corrections that it was made with.
        choices: Names of `export_choices`, at least one.

    Raises:
        InputError: If a choice is unknown, if there is none, or if a format cannot hold the prediction.
    """
    unknown = [choice for choice in choices if choice not in export_choices()]
    if unknown or not choices:
        raise InputError(f"unknown format {(unknown or [''])[0]!r}. Choose among {', '.join(export_choices())}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as temporary:
        folder = Path(temporary) / "result"
        _write_files(folder, video, prediction, corrections, choices)
        with atomic_file(path) as target:
            _zip(folder, target)


def _write_files(
    folder: Path, video: Path, prediction: Prediction, corrections: Corrections, choices: Sequence[str]
) -> None:
    prediction.save(folder, [name for name in get_args(Format) if name in choices or name == "tracks"])
    if corrections.count:
        write_tracks(folder / "corrections.json", corrections.as_tracks(prediction.clip))
    if PAGE in choices:
        anchors = {number: list(masks) for number, masks in corrections.masks.items()}
        write_view(folder / "view.html", prediction.clip, Pictures(prediction.reader), anchors)
    for name, form in writable_formats().items():
        if name in choices and name != "tracks":
            target = folder / (f"{name}.json" if form.IS_FILE else name)
            convert(folder / "tracks.json", target, name, kind="amodal", video=video)


def _zip(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            stored = file.suffix in _STORED
            name = file.relative_to(folder).as_posix()
            archive.write(file, name, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)
