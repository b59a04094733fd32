"""Networks of transformers and diffusers: loading, copying and fingerprinting weights from outside."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.utils import logging as hub
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars
from safetensors import SafetensorError
from torch import Tensor, nn

from vidamodal.errors import InputError
from vidamodal.hub import DownloadError, download_hint, fetch, first_line

LOADING_ERRORS = (
    OSError, ValueError, RuntimeError, ImportError, TypeError, LookupError, AttributeError, SafetensorError,
)  # fmt: skip
"""Exceptions that the libraries raise for missing or damaged files."""


NETWORK_FILES = (
    "config.json", "model.safetensors", "model-*.safetensors", "model.safetensors.index.json",
    "preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "vocab.txt", "merges.txt",
)  # fmt: skip
"""Files of a network of transformers, with those of its image processor and tokenizer."""


def find_pretrained(name: str, setting: str, example: str, files: Sequence[str] = NETWORK_FILES) -> Path:
    """Return the folder of a network, which is downloaded if it is a repository on the Hub.

    Args:
        name: Path of a folder, or name of a repository on the Hugging Face Hub.
        setting: Name of the setting that ``name`` comes from, for error messages.
        example: Repository on the Hub that error messages suggest.
        files: Names or patterns of the files that are downloaded.

    Raises:
        InputError: If there is no such folder, or if the repository cannot be downloaded.
    """
    if Path(name).is_dir():
        return Path(name)
    if name.startswith((".", "/")):
        raise InputError(f"{setting}: there is no folder {name}. {download_hint(example, setting)}")
    try:
        return fetch(name, files)
    except DownloadError as error:
        raise InputError(
            f"{setting}: there is no folder {name!r}, and as a model on the Hub {error}. "
            f"{download_hint(name if name.count('/') == 1 else example, setting)}"
        ) from error


def read_pretrained(kind: Any, name: str, setting: str, example: str, **options: Any) -> Any:
    """Load a network from safetensors.

    Args:
        kind: Class of the network, with a ``from_pretrained`` as in transformers and diffusers.
        name: Path of a folder, or name of a repository on the Hugging Face Hub.
        setting: Name of the setting that ``name`` comes from, for error messages.
        example: Repository on the Hub that error messages suggest.
        **options: Further arguments of ``from_pretrained``.

    Raises:
        InputError: If the network cannot be loaded, if its files lack weights, which would otherwise be random, or if
            a weight is not finite.
    """
    folder = find_pretrained(name, setting, example)
    trust = {"trust_remote_code": False} if kind.__module__.startswith("transformers.") else {}
    try:
        _check_lists(folder / options.get("subfolder", ""))
        with quiet_libraries():
            network, report = kind.from_pretrained(
                str(folder), use_safetensors=True, dtype=torch.float32, output_loading_info=True,
                ignore_mismatched_sizes=True, **trust, **options,
            )  # fmt: skip
    except LOADING_ERRORS as error:
        raise _loading_error(error, f"a {kind.__name__} in safetensors", name, setting, example) from error
    missing = [key for key in report["missing_keys"] if not key.endswith("num_batches_tracked")]
    wrong = sorted([*missing, *(key for key, *_shapes in report["mismatched_keys"])])
    if wrong:
        raise InputError(
            f"{setting}: the weights of {name!r} are not those of a {kind.__name__}: {wrong[0]} is missing or has "
            f"another shape. {download_hint(example, setting)}"
        )
    for key, weight in network.named_parameters():
        check_finite(key, weight, f"{setting}: {name!r}")
    return network


def _check_lists(folder: Path) -> None:
    """Check that weights in several files are all safetensors: the libraries open files of other names as pickles."""
    for path in folder.glob("*.safetensors.index.json"):
        files = json.loads(path.read_bytes())["weight_map"].values()
        if other := [file for file in files if not str(file).endswith(".safetensors")]:
            raise ValueError(f"{path.name} lists {other[0]!r}, which is no safetensors file")


def check_finite(name: str, value: Tensor, where: str) -> None:
    """Raise InputError if a weight is NaN or infinite."""
    if value.is_floating_point() and not torch.isfinite(value).all():
        raise InputError(f"{where}: {name} holds values that are not finite. The file is damaged: copy it again.")


def read_image_processor(name: str, setting: str, example: str, **settings: Any) -> Any:
    """Load the image processor of a network of transformers in the version that needs no torchvision.

    Args:
        name: Path of a folder, or name of a repository on the Hub.
        setting: Name of the setting that ``name`` comes from, for error messages.
        example: Repository on the Hub that error messages suggest.
        **settings: Settings that override those of the file.

    Raises:
        InputError: If there is none, or if there is only a version for torchvision.
    """
    from transformers import AutoImageProcessor

    folder = find_pretrained(name, setting, example)
    try:
        with quiet_libraries():
            return AutoImageProcessor.from_pretrained(str(folder), backend="pil", trust_remote_code=False, **settings)
    except LOADING_ERRORS as error:
        raise _loading_error(error, "an image processor", name, setting, example) from error


def read_tokenizer(name: str, setting: str, example: str) -> Any:
    """Load the tokenizer of a network of transformers; see `read_image_processor`."""
    from transformers import AutoTokenizer

    folder = find_pretrained(name, setting, example)
    try:
        with quiet_libraries():
            tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        if len(tokenizer) <= len(tokenizer.all_special_tokens):  # transformers accepts a tokenizer without words
            raise ValueError("it has no vocabulary")
        return tokenizer
    except Exception as error:  # tokenizers raise plain exceptions
        raise _loading_error(error, "a tokenizer", name, setting, example) from error


def model_type(name: str, setting: str, example: str) -> str:
    """Return the type of a network of transformers, as its config.json states it; "" if it states none.

    Args:
        name: Path of a folder, or name of a repository on the Hub.
        setting: Name of the setting that ``name`` comes from, for error messages.
        example: Repository on the Hub that error messages suggest.

    Raises:
        InputError: If there is no such network, or if its config.json cannot be read.
    """
    return read_model_type(find_pretrained(name, setting, example, ("config.json",)))


def read_model_type(folder: Path) -> str:
    """Return the type that the config.json of a folder states; "" if it states none, as that of our own models.

    Raises:
        InputError: If there is no config.json, or if it cannot be read.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as a model's config: {first_line(error)}. Pass a model.") from error
    return str(config.get("model_type") or "") if isinstance(config, dict) else ""


def _loading_error(error: Exception, what: str, name: str, setting: str, example: str) -> InputError:
    """The error about a part of a model that cannot be loaded, in one line."""
    needed = next((library for library in ("timm", "torchvision") if library in str(error)), None)
    if isinstance(error, ImportError | ValueError) and needed is not None:
        return InputError(
            f"{setting}: {name!r} needs torchvision{' and timm' * (needed == 'timm')}, with which vidamodal does not "
            f"work. Pass a model that needs neither, such as {example}."
        )
    return InputError(
        f"{setting}: {name!r} is neither a folder nor a model on the Hub from which {what} can be loaded: "
        f"{first_line(error)}. {download_hint(example, setting)}"
    )


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence warnings, log messages and progress bars of transformers, diffusers and the Hub.

    Errors are not logged either: the libraries raise them as well.
    """
    bars_disabled = are_progress_bars_disabled()
    libraries = [sys.modules[name].utils.logging for name in ("transformers", "diffusers") if name in sys.modules]
    levels = [each.get_verbosity() for each in (hub, *libraries)]
    bars = [each.is_progress_bar_enabled() for each in libraries]
    for each in (hub, *libraries):
        each.set_verbosity(logging.CRITICAL)
    for each in libraries:
        each.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip((hub, *libraries), levels, strict=True):
            each.set_verbosity(level)
        for each, bar in zip(libraries, bars, strict=True):
            if bar:
                each.enable_progress_bar()
        if bars_disabled:  # transformers switches the Hub's progress bars together with its own
            disable_progress_bars()


def fingerprint(network: nn.Module) -> str:
    """Return the SHA-256 of a network's weights as a hexadecimal string."""
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def config_fingerprint(network: Any) -> str:
    """Return the SHA-256 of a network's config as a hexadecimal string, without its place and version."""
    settings = {k: v for k, v in network.config.to_dict().items() if k not in ("_name_or_path", "transformers_version")}
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def copy_weights(target: nn.Module, source: nn.Module, name: str, setting: str) -> None:
    """Copy the weights of one network into another.

    Args:
        target: Network that takes the weights.
        source: Network with the weights, which was loaded from ``name``.
        name: Folder or repository, for error messages.
        setting: Name of the setting that ``name`` comes from, for error messages.

    Raises:
        InputError: If the names or shapes of the weights differ.
    """
    expected, weights = target.state_dict(), source.state_dict()
    for key in sorted(expected.keys() | weights.keys()):
        if key not in expected or key not in weights or expected[key].shape != weights[key].shape:
            raise InputError(f"{setting}: the weights of {name!r} do not fit the config: {key} differs")
    target.load_state_dict(weights)


class ExternalNetwork:
    """A frozen network from outside that a model uses unchanged.

    It is loaded on first use, is no part of the model's state dict, and is shared by copies of the model.
    """

    def __init__(self, read: Callable[[str], Any], name: str) -> None:
        """Remember how to load the network.

        Args:
            read: Function that loads a network from a folder or a name on the Hub.
            name: Its argument.
        """
        self.name, self._read = name, read
        self._network: Any = None
        self._fingerprint: str | None = None

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 of the weights; None before the first use."""
        if self._network is not None and self._fingerprint is None:
            self._fingerprint = fingerprint(self._network)
        return self._fingerprint

    def on(self, device: torch.device) -> Any:
        """Return the network on a device. Raises InputError if it cannot be loaded."""
        if self._network is None:
            self._network = self._read(self.name).eval().requires_grad_(False)
        return self._network.to(device)

    def __deepcopy__(self, _memo: dict[int, Any]) -> ExternalNetwork:
        return self


def external_networks(model: nn.Module) -> list[dict[str, str]]:
    """Return the name (last part only) and the fingerprint of each external network that a model has used."""
    networks = [
        value for part in model.modules() for value in vars(part).values() if isinstance(value, ExternalNetwork)
    ]
    return [{"name": Path(each.name).name, "weights": each.fingerprint} for each in networks if each.fingerprint]
