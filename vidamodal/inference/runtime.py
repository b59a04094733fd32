"""Where and how networks run: device, precision, the source of frames, and timings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import torch

from vidamodal.types import Frame, InputError

FrameSource = Callable[[], Iterator[Frame] | None]
"""Returns the frames of a video from the first on, anew in every call; None if there are none."""
BACKWARD_CHUNK = 32
"""Frames that are held in memory at once when a video is read backwards."""


class FrameRanges(Protocol):
    """A `FrameSource` that can also begin at a later frame, as `VideoReader.frames`."""

    def __call__(self, start: int = 0, stop: int | None = None, /) -> Iterator[Frame] | None:
        """Return frames ``start`` to ``stop`` (exclusive; by default all); None if there are none."""


@dataclass
class Timings:
    """Seconds spent in each step of a prediction, and the number of predicted object-frames."""

    seconds: dict[str, float] = field(default_factory=dict)
    object_frames: int = 0

    def add(self, step: str, since: float) -> None:
        """Add the time that has passed since ``since``, a value of `time.perf_counter`, to a step."""
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - since


@dataclass(frozen=True)
class Runtime:
    """The device that networks run on, and the precision in which they compute."""

    device: torch.device
    precision: torch.dtype

    @staticmethod
    def choose(name: str) -> Runtime:
        """Return the runtime for "auto", "cpu" or "cuda"; see `pick_device`."""
        device = pick_device(name)
        return Runtime(device, pick_precision(device))

    def autocast(self) -> torch.autocast:
        """Return a context in which networks compute in this precision."""
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)


def pick_device(name: str) -> torch.device:
    """Return the device for "auto", "cpu" or "cuda"; "auto" prefers CUDA.

    Raises:
        InputError: If the name is none of these, or if CUDA is not available.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"unknown device {name!r}. Choose auto, cpu or cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("the device cuda is not available to PyTorch. Choose cpu, or install a CUDA build of PyTorch.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def pick_precision(device: torch.device) -> torch.dtype:
    """Return bfloat16 if the device supports it natively, else float32."""
    fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def open_frames(frames: FrameSource, reader: str) -> Iterator[Frame]:
    """Return the frames of a source.

    Args:
        frames: The source.
        reader: What reads the frames, for the error message.

    Raises:
        InputError: If the source has no frames.
    """
    opened = frames()
    if opened is None:
        raise InputError(f"{reader} reads the frames of the video, but there are only masks. Pass the video, too.")
    return opened


def backward_frames(frames: FrameRanges, reader: str, stop: int) -> Iterator[tuple[int, Frame]]:
    """Yield the frames before ``stop`` from the last to the first, with their numbers.

    Frames are decoded in chunks, so that the memory does not grow with the length of the video.

    Args:
        frames: The source.
        reader: What reads the frames, for the error message.
        stop: One past the last frame.

    Raises:
        InputError: If the source has no frames.
    """
    for end in range(stop, 0, -BACKWARD_CHUNK):
        start = max(0, end - BACKWARD_CHUNK)
        chunk = list(open_frames(partial(frames, start, end), reader))
        while chunk:
            yield start + len(chunk) - 1, chunk.pop()
