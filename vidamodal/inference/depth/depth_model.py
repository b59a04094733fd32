"""Depth maps estimated by a model of transformers, such as Depth Anything V2 or DPT.

Each frame is estimated once, in order. The maps are kept at reduced size in a temporary file, so that a second pass
reads them again and memory does not grow with the video.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from vidamodal.backbones.pretrained import config_fingerprint, fingerprint, read_image_processor, read_pretrained
from vidamodal.inference.depth.depth_source import DepthKind, DepthSource
from vidamodal.inference.runtime import Runtime
from vidamodal.media.video import VideoReader
from vidamodal.types import Frame, InputError

DEFAULT_DEPTH = "depth-anything/Depth-Anything-V2-Small-hf"
"""The depth model unless another is named; its licence is Apache-2.0."""

LONGEST_SIDE = 640
"""Larger side of a kept map in pixels; depth models themselves see about 500."""

_METRIC_MODELS = {"depth_pro", "glpn", "zoedepth"}
"""Types of models that estimate distances without saying so in their config."""


@dataclass(frozen=True)
class LoadedDepthModel:
    """A depth model ready to use, and what run.json records of it."""

    model: Any
    processor: Any
    name: str
    config_hash: str
    weights_hash: str

    @property
    def kind(self) -> DepthKind:
        """Which way the values of the model point."""
        config = self.model.config
        stated = getattr(config, "depth_estimation_type", None)
        return "depth" if stated == "metric" or config.model_type in _METRIC_MODELS else "disparity"


def load_depth_model(name: str = DEFAULT_DEPTH) -> LoadedDepthModel:
    """Load a depth model of transformers with its image processor.

    Args:
        name: A folder, or ``owner/name`` on the Hugging Face Hub.

    Raises:
        InputError: If there is no such model, or if it does not estimate depth.
    """
    from transformers import AutoModelForDepthEstimation

    model = read_pretrained(AutoModelForDepthEstimation, name, "depth=", DEFAULT_DEPTH)
    processor = read_image_processor(name, "depth=", DEFAULT_DEPTH)
    if not hasattr(processor, "post_process_depth_estimation"):
        raise InputError(
            f"depth=: the image processor of {name!r} is not one for depth. Pass a model such as {DEFAULT_DEPTH}."
        )
    short = name.rstrip("/").rpartition("/")[2]
    return LoadedDepthModel(model.eval(), processor, short, config_fingerprint(model), fingerprint(model))


def estimate_depth(loaded: LoadedDepthModel, reader: VideoReader, device: str, kind: DepthKind = "auto") -> DepthSource:
    """Return the depth of a video as a model estimates it, when a frame is first asked for.

    Args:
        loaded: The model.
        reader: The video.
        device: "auto", "cpu", "cuda" or "mps".
        kind: Which way the values point; auto takes it from the model.
    """
    estimates = _Estimates(loaded, Runtime.choose(device), reader)
    kind = loaded.kind if kind == "auto" else kind
    values = "distances" if kind == "depth" else "relative, larger values nearer"
    million = sum(parameter.numel() for parameter in loaded.model.parameters()) / 1e6
    notes = (
        f"depth model {loaded.name}: its values are read as {values}; {million:.1f} million parameters, run once on "
        f"each of {reader.info.frames} frames",
    )
    hashes = {"weights": loaded.weights_hash, "config": loaded.config_hash}
    return DepthSource(estimates.read, kind, True, None, f"depth model {loaded.name}", notes, hashes)


@dataclass
class _Estimates:
    """The maps of the frames so far, in a temporary file."""

    loaded: LoadedDepthModel
    runtime: Runtime
    reader: VideoReader
    done: int = 0
    _frames: Iterator[Frame] | None = None
    _file: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    def __post_init__(self) -> None:
        self.loaded.model.to(self.runtime.device)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the kept maps."""
        video = self.reader.info
        scale = min(1.0, LONGEST_SIDE / max(video.height, video.width))
        return max(1, round(scale * video.height)), max(1, round(scale * video.width))

    def read(self, frame: int) -> Float[np.ndarray, "h w"]:
        """Return the map of a frame, after those of all frames before it have been estimated."""
        height, width = self.size
        length = 2 * height * width
        while self.done <= frame:
            self._frames = self._frames or self.reader.frames()
            self._file.seek(self.done * length)
            self._file.write(self.estimate(next(self._frames)).tobytes())
            self.done += 1
        self._file.seek(frame * length)
        return np.frombuffer(self._file.read(length), dtype=np.float16).reshape(height, width)

    @torch.no_grad()
    def estimate(self, frame: Frame) -> Float[np.ndarray, "h w"]:
        """Return the map of an image in half precision, whose range values are clipped to."""
        inputs = self.loaded.processor(images=Image.fromarray(frame), return_tensors="pt").to(self.runtime.device)
        outputs = self.loaded.model(**inputs)
        (result,) = self.loaded.processor.post_process_depth_estimation(outputs, target_sizes=[self.size])
        limit = float(np.finfo(np.float16).max)
        return np.asarray(result["predicted_depth"].float().clamp(-limit, limit).cpu().numpy().astype(np.float16))
