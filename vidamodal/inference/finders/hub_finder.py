"""What finders with an instance segmentation model from a folder or the Hub share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Generic, NoReturn, Protocol, TypeVar

from torch import nn

from vidamodal.inference.finders.base import Finder
from vidamodal.inference.runtime import FrameSource, Runtime, Timings
from vidamodal.inference.track_builder import build_tracks
from vidamodal.inference.tracker import TrackerConfig
from vidamodal.types import ClipTracks, FrameInstance, InputError, VideoInfo

LONGEST_SIDE = 1024
"""Larger side in pixels of the masks that are compared with each other; the models predict a quarter of it."""


class LoadedNetwork(Protocol):
    """A loaded model with what run.json records of it."""

    @property
    def model(self) -> nn.Module:
        """The network."""


L = TypeVar("L", bound=LoadedNetwork)


class HubFinder(Finder, Generic[L]):
    """A pretrained model that segments instances, on a device, for whole videos."""

    EXAMPLE: ClassVar[str]
    """Name of a model on the Hub, for error messages."""

    def __init__(self, loaded: L, device: str = "auto", rules: TrackerConfig | None = None) -> None:
        """Move the model to a device.

        Args:
            loaded: The model.
            device: "auto", "cpu", "cuda" or "mps".
            rules: How instances of different frames are joined.

        Raises:
            InputError: If the device is not available.
        """
        self.loaded, self.rules = loaded, rules or TrackerConfig()
        loaded.model.to(Runtime.choose(device).device)
        self.timings = Timings()

    @classmethod
    def create(cls, device: str, seed: int) -> NoReturn:
        """A model is needed, so there is no default.

        Raises:
            InputError: Always.
        """
        raise InputError(f"this finder needs a model. Pass its folder or name as detect=, such as {cls.EXAMPLE}.")

    def find(self, video: VideoInfo, frames: FrameSource, quiet: bool = True) -> ClipTracks:
        """Return tracks with visible masks and labels."""
        clip = build_tracks(video, self.instances(frames), self.rules, self.timings, quiet)
        # The model predicts no amodal masks, confidences and order.
        tracks = tuple(replace(track, amodal=None, confidence=None) for track in clip.tracks)
        return replace(clip, tracks=tracks, order=None)

    @abstractmethod
    def instances(self, frames: FrameSource) -> Iterator[list[FrameInstance]]:
        """Yield the instances of each frame, with their masks at its size."""


def mask_size(height: int, width: int) -> tuple[int, int]:
    """Return the height and width of the masks that are compared with each other, with the shape of the frame."""
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    return max(1, round(scale * height)), max(1, round(scale * width))
