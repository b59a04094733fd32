"""Export of a model's network to ONNX: crops of one window of frames in, logits and presence out.

The file holds the tokenizer, the transformer and the head as one pass. Cutting crops out of frames and pasting logits
back stay with the caller; docs/onnx.md describes inputs and outputs.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import warnings
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from vidamodal.data.crops import BOX_NUMBERS, TrackCrops
from vidamodal.media.files import atomic_file, check_target
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import DEFAULT, LoadedModel, load_model
from vidamodal.models.tokenizer import MaskTokenizer
from vidamodal.occlusion.evidence import DEPTH_PLANES
from vidamodal.types import InputError

TOLERANCE = 1e-4
"""Largest difference from PyTorch's outputs, relative to values above 1."""


class NetworkPass(nn.Module):
    """One pass of a copy of a model without any known code: what is exported."""

    def __init__(self, model: AmodalModel, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = deepcopy(model), names
        tokenizer = self.model.tokenizer
        tokenizer.encode = partial(_exact_codes, tokenizer)  # type: ignore[method-assign]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the calibrated logits of the amodal masks, and those of presence if the model predicts it."""
        given = dict(zip(self.names, inputs, strict=True))
        b, t, s, _ = given["visible"].shape
        for name, channels in (("image", 0), ("depth", 0)):
            given.setdefault(name, given["visible"].new_zeros((b, t, channels, s, s)))
        given.setdefault("order", torch.zeros_like(given["visible"]))
        output = self.model(TrackCrops(**given))
        logits = output.refined / self.model.config.temperature
        return (logits,) if output.presence is None else (logits, output.presence)


def _exact_codes(tokenizer: MaskTokenizer, masks: Float[Tensor, "n s s"]) -> Int[Tensor, "n g g"]:
    """Return the codes of masks, compared in double precision.

    Some codes are almost equal: in single precision, the choice between them depends on the order in which a runtime
    adds, and the transformer, which embeds the codes, would give visibly different logits.
    """
    latent = rearrange(tokenizer.latent(masks), "n c g h -> n g h c").double()
    book = tokenizer.codebook.double()
    return (latent @ book.T - 0.5 * book.square().sum(dim=1)).argmax(dim=-1)


@dataclass(frozen=True)
class Export:
    """An exported file."""

    inputs: Mapping[str, tuple[int, ...]]
    """Shape of each input."""
    outputs: tuple[str, ...]
    difference: float
    """Largest difference between ONNX Runtime and PyTorch in a check with random inputs: see `difference_from`."""


def export_onnx(
    out: str | os.PathLike[str],
    model: str | LoadedModel = DEFAULT,
    head: str | None = None,
    tracks: int = 1,
    frames: int | None = None,
) -> Export:
    """Export the network of a model and compare the file with PyTorch.

    Args:
        out: The file to write; it is replaced atomically.
        model: A folder, a bundled name, ``owner/name`` on the Hub, or a loaded model.
        head: The head of the model; None for its default one.
        tracks: Number of tracks that the network completes at a time.
        frames: Number of frames; None for the chunk of the model. Frames that are not needed are marked as not valid.

    Raises:
        InputError: If the packages of the extra [onnx] are missing, or if the model cannot be exported.
        RuntimeError: If the file gives other results than PyTorch.
    """
    check_target(out)
    onnx = _import_onnx()
    loaded = load_model(model, head) if isinstance(model, str) else model
    network = loaded.model
    if not isinstance(network, AmodalModel) or network.stochastic:
        kind = type(network).__name__ if not isinstance(network, AmodalModel) else f"the head {loaded.head!r}"
        raise InputError(f"{loaded.name}: {kind} cannot be exported. Choose a model whose head does not sample.")
    if tracks < 1 or (frames is not None and frames < 1):
        raise InputError("tracks= and frames= must be at least 1.")
    network = network.cpu().eval()
    count = network.config.chunk if frames is None else frames
    inputs = example_inputs(network, tracks, count, seed=0)
    single_pass = NetworkPass(network, tuple(inputs)).eval()
    outputs = ("logits", "presence") if network.config.transformer.presence else ("logits",)
    record = _trace(single_pass, inputs, outputs)
    onnx.helper.set_model_props(record, _metadata(loaded, network))
    data: bytes = record.SerializeToString()
    difference = _difference(data, single_pass, example_inputs(network, tracks, count, seed=1))
    if not difference <= TOLERANCE:
        raise RuntimeError(f"{out}: outputs differ from PyTorch's by {difference:.1e}. It was not written.")
    with atomic_file(Path(out)) as temporary:
        temporary.write_bytes(data)
    return Export({name: tuple(value.shape) for name, value in inputs.items()}, outputs, difference)


def example_inputs(model: AmodalModel, tracks: int, frames: int, seed: int) -> dict[str, Tensor]:
    """Return random inputs of the exported network by name: masks of discs, and values in the range of each input.

    Args:
        model: The model.
        tracks: Number of tracks.
        frames: Number of frames.
        seed: Seed of the random numbers.
    """
    generator, view = np.random.default_rng(seed), model.view
    cells = view.cells
    shape = (tracks, frames, cells, cells)
    rows, columns = np.mgrid[:cells, :cells] + 0.5

    def disc() -> Float[np.ndarray, "b t s s"]:
        x, y, radius = generator.uniform(0.3, 0.7, (3, tracks, frames, 1, 1)) * cells
        return np.asarray(np.hypot(columns - x, rows - y) < radius / 2, dtype=np.float32)

    visible = disc()
    others = disc() * (1 - visible)
    edges = np.abs(np.diff(visible, axis=-1, prepend=0))
    values = {
        "visible": visible,
        "others": others,
        "edges": edges,
        "inside": np.ones(shape),
        "background": (1 - visible) * (1 - others),
        **({"order": others * generator.uniform(-1, 1, (tracks, frames, 1, 1))} if view.order else {}),
        **({"image": generator.random((tracks, frames, 3, cells, cells))} if view.pixels else {}),
        **({"depth": generator.random((tracks, frames, DEPTH_PLANES, cells, cells))} if view.depth else {}),
        "known": np.ones((tracks, frames)),
        "box": generator.uniform(-0.5, 0.5, (tracks, frames, BOX_NUMBERS)),
        "time": np.tile(np.arange(frames) - (frames - 1) / 2, (tracks, 1)),
    }
    tensors = {name: torch.from_numpy(np.asarray(value, dtype=np.float32)) for name, value in values.items()}
    valid = torch.ones(tracks, frames, dtype=torch.bool)
    valid[:, frames - frames // 4 :] = False
    return {**tensors, "valid": valid}


def _import_onnx() -> Any:
    try:
        import onnx
        import onnxruntime
        import onnxscript
    except ImportError as error:
        raise InputError(f"{error.name} is not installed. Install the extra [onnx].") from None
    assert onnxruntime and onnxscript
    return onnx


def _trace(single_pass: nn.Module, inputs: Mapping[str, Tensor], outputs: tuple[str, ...]) -> Any:
    """The graph as ONNX's own record."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            single_pass, tuple(inputs.values()), dynamo=True, verbose=False, input_names=list(inputs),
            output_names=list(outputs),
        )  # fmt: skip
    assert program is not None
    return program.model_proto


def _metadata(loaded: LoadedModel, model: AmodalModel) -> dict[str, str]:
    """What a caller needs to know of the model beside the graph."""
    config = model.config
    return {
        "model": loaded.name,
        "head": loaded.head,
        "weights": loaded.weights_hash,
        "config": loaded.config_hash,
        "chunk": str(config.chunk),
        "overlap": str(config.overlap),
        "threshold": str(config.threshold),
        "presence_threshold": str(config.presence_threshold),
        "windows": json.dumps(dataclasses.asdict(config.windows), sort_keys=True),
    }


def _difference(data: bytes, single_pass: nn.Module, inputs: Mapping[str, Tensor]) -> float:
    """The largest difference between the outputs of ONNX Runtime and those of PyTorch."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    found = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        expected = single_pass(*inputs.values())
    return max(difference_from(b.numpy(), a) for a, b in zip(found, expected, strict=True))


def difference_from(expected: Float[np.ndarray, "*shape"], found: Float[np.ndarray, "*shape"]) -> float:
    """Return the largest difference between two arrays, relative to expected values above 1."""
    return float((np.abs(found - expected) / np.maximum(np.abs(expected), 1)).max())
