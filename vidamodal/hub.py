"""Model folders by name: local folders, the models bundled with the package, and repositories on the Hub."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from vidamodal.errors import InputError


def bundled_models() -> list[str]:
    """Return the names of the models that are bundled with the package."""
    folder = _bundled()
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def find_model(name: str) -> Path:
    """Return the folder of a model, which is downloaded if it is a repository on the Hub.

    Args:
        name: Path of a folder, name of a bundled model, or ``owner/name`` on the Hugging Face Hub.

    Raises:
        InputError: If there is no such model, or if the Hub cannot be reached.
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
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(snapshot_download(name, allow_patterns=["*.safetensors", "config.json", "heads/*.safetensors"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise InputError(
            f"model {name!r} is neither a folder nor bundled ({', '.join(names)}), and downloading it from the Hub "
            f"failed: {first_line(error)}"
        ) from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the name of its class if the message is empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _bundled() -> Path:
    return Path(str(resources.files("vidamodal") / "assets" / "models"))
