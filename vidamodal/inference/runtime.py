"""Where and how networks run: device, precision, the source of frames, and timings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import torch

from vidamodal.types import Frame, InputError

_NEEDED = {
    "cuda": "a CUDA build of PyTorch",
    "mps": "PyTorch on a Mac with Apple silicon",
}
"""What makes a device available."""

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
        """Return the runtime for the name of a device; see `pick_device`."""
        device = pick_device(name)
        return Runtime(device, pick_precision(device))

    def autocast(self) -> AbstractContextManager[object]:
        """Return a context in which networks compute in this precision."""
        return nullcontext() if self.precision == torch.float32 else torch.autocast(self.device.type, self.precision)


def pick_device(name: str) -> torch.device:
    """Return the device for "auto", "cpu", "cuda" or "mps"; "auto" takes CUDA, else Apple's GPU, else the CPU.

    Raises:
        InputError: If the name is none of these, or if the device is not available.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, found in available.items() if found))
    if name not in available:
        raise InputError(f"unknown device {name!r}. Choose auto, cpu, cuda or mps.")
    if not available[name]:
        raise InputError(f"the device {name} is not available to PyTorch. Choose cpu, or install {_NEEDED[name]}.")
    return torch.device(name)


def pick_precision(device: torch.device) -> torch.dtype:
    """Return bfloat16 if the device supports it natively, else float32."""
    if device.type == "mps":
        return torch.float32
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.cpu._is_avx512_bf16_supported()
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
