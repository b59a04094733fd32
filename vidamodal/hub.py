"""Models by name: local folders, the models bundled with the package, and repositories on the Hugging Face Hub.

Everything that comes from the Hub passes through `fetch`, which prints what it is about to download.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import resources
from pathlib import Path

from vidamodal.errors import InputError

OWN_FILES = ("*.safetensors", "config.json", "heads/*.safetensors")
"""Files of a repository that holds a model of this package."""
_OFFLINE: ContextVar[bool] = ContextVar("offline", default=False)


class DownloadError(InputError):
    """A repository that is not in the cache and cannot be downloaded; the message is the end of a sentence."""


@contextmanager
def offline(forbidden: bool = True) -> Iterator[None]:
    """Forbid downloads within the context, unless ``forbidden`` is False."""
    token = _OFFLINE.set(_OFFLINE.get() or forbidden)
    try:
        yield
    finally:
        _OFFLINE.reset(token)


def is_offline() -> bool:
    """Return whether downloads are forbidden, by `offline` or by the environment variable HF_HUB_OFFLINE."""
    from huggingface_hub import constants

    return _OFFLINE.get() or bool(constants.HF_HUB_OFFLINE)


def fetch(name: str, files: Sequence[str]) -> Path:
    """Return a folder with files of a repository on the Hub.

    If some of them are not in the cache, their size and the licence are printed on stderr before the download.

    Args:
        name: ``owner/name``.
        files: Names of the files, or patterns.

    Raises:
        DownloadError: If files are missing and cannot be downloaded, or may not be.
    """
    from huggingface_hub import snapshot_download

    try:
        if is_offline():
            return Path(snapshot_download(name, allow_patterns=list(files), local_files_only=True))
        _announce(name, files)
        return Path(snapshot_download(name, allow_patterns=list(files)))
    except Exception as error:  # including those of the HTTP library
        if is_offline():
            raise DownloadError(
                "it is not in the cache, and downloads are forbidden by offline= or HF_HUB_OFFLINE"
            ) from error
        raise DownloadError(f"downloading it from the Hub failed: {first_line(error)}") from error


def find_model(name: str, files: Sequence[str] = OWN_FILES) -> Path:
    """Return the folder of a model, which is downloaded if it is a repository on the Hub.

    Args:
        name: Path of a folder, name of a bundled model, or ``owner/name`` on the Hugging Face Hub.
        files: Names or patterns of the files that are downloaded.

    Raises:
        InputError: If there is no such model, or if it cannot be downloaded.
    """
    if name and Path(name).is_dir():
        return Path(name)
    names = bundled_models()
    if name in names:
        return _bundled() / name
    if name.count("/") != 1 or name.startswith((".", "/")):
        raise InputError(
            f"there is no model {name!r}. Pass a folder, a bundled name ({', '.join(names)}) or owner/name on the Hub."
        )
    try:
        return fetch(name, files)
    except DownloadError as error:
        raise InputError(
            f"model {name!r} is neither a folder nor bundled ({', '.join(names)}), and {error}. "
            f"`hf download {name} --local-dir FOLDER` downloads it: then pass FOLDER."
        ) from error


def bundled_models() -> list[str]:
    """Return the names of the models that are bundled with the package."""
    folder = _bundled()
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def download_hint(example: str, setting: str) -> str:
    """Return the sentence that ends an error about a missing model."""
    return f"`hf download {example} --local-dir FOLDER` downloads a suitable model: then set {setting} to FOLDER."


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the name of its class if the message is empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _announce(name: str, files: Sequence[str]) -> None:
    """Print what will be downloaded, if anything."""
    from huggingface_hub import model_info, snapshot_download
    from huggingface_hub.errors import DryRunError

    try:
        listed = snapshot_download(name, allow_patterns=list(files), dry_run=True)
    except DryRunError:  # the Hub cannot be reached: the cache may hold all files
        return
    missing = [file for file in listed if file.will_download]
    if missing:
        size = sum(file.file_size or 0 for file in missing)
        card = model_info(name).card_data
        licence = (card.get("license_name") or card.get("license") if card else None) or "not stated"
        print(
            f"note: downloading {name} from the Hugging Face Hub: {_readable(size)}, licence: {licence}",
            file=sys.stderr,
            flush=True,
        )


def _readable(size: int) -> str:
    for unit, least in (("GB", 10**9), ("MB", 10**6)):
        if size >= least:
            return f"{size / least:.1f} {unit}"
    return f"{size / 1000:.1f} kB"


def _bundled() -> Path:
    return Path(str(resources.files("vidamodal") / "assets" / "models"))
