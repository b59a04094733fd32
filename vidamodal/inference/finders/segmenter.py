"""Visible and amodal masks from a segmenter of single frames, joined into tracks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
import torch

from vidamodal.backbones.pretrained import external_networks
from vidamodal.inference.finders.base import Finder, frame_on_canvas
from vidamodal.inference.runtime import FrameSource, Runtime, Timings, open_frames
from vidamodal.inference.track_builder import build_tracks
from vidamodal.inference.tracker import TrackerConfig
from vidamodal.models.folder import load_segmenter
from vidamodal.segmenters.base import FrameSegmenter
from vidamodal.types import ClipTracks, FrameInstance, InputError, VideoInfo

DEFAULT_SEGMENTER = "aisdiff"
"""The bundled segmenter that detects objects unless another is named."""
BATCH = 16
"""Frames that are held in memory at once."""


class SegmenterFinder(Finder):
    """A segmenter on a device, for whole videos."""

    ID = "segmenter"

    def __init__(
        self, segmenter: FrameSegmenter, device: str = "auto", seed: int = 0, rules: TrackerConfig | None = None
    ) -> None:
        """Move the segmenter to a device.

        Args:
            segmenter: The segmenter; it is switched to evaluation mode.
            device: "auto", "cpu", "cuda" or "mps".
            seed: Seed of a segmenter that samples, at least 0.
            rules: How instances of different frames are joined.

        Raises:
            InputError: If the seed is negative, or if the device is not available.
        """
        if seed < 0:
            raise InputError(f"seed must be at least 0, not {seed}")
        self.runtime = Runtime.choose(device)
        self.segmenter = segmenter.to(self.runtime.device).eval()
        self.seed, self.rules = seed, rules or TrackerConfig()
        self.timings = Timings()

    @classmethod
    def create(cls, device: str, seed: int) -> SegmenterFinder:
        """Return a finder with the bundled default segmenter."""
        return cls(load_segmenter(DEFAULT_SEGMENTER).model, device, seed)

    @property
    def size(self) -> int:
        """Side of the segmenter's canvas in cells."""
        return self.segmenter.size

    def find(self, video: VideoInfo, frames: FrameSource, quiet: bool = True) -> ClipTracks:
        """Return tracks with visible and amodal masks and the order of every frame; see `build_tracks`."""
        return build_tracks(video, self._instances(frames), self.rules, self.timings, quiet)

    def run_record(self) -> dict[str, Any]:
        """Return the size of the canvas and the rules of association."""
        return {"canvas": self.size, "association": asdict(self.rules)}

    def external_networks(self) -> list[dict[str, str]]:
        """Return the networks from other projects that the segmenter has used."""
        return external_networks(self.segmenter)

    def _instances(self, frames: FrameSource) -> Iterator[list[FrameInstance]]:
        """The instances of each frame, those in front first."""
        remaining, first = open_frames(frames, "a segmenter"), 0
        while batch := list(islice(remaining, BATCH)):
            began = time.perf_counter()
            images = torch.from_numpy(np.stack([frame_on_canvas(frame, self.segmenter.size) for frame in batch]))
            seeds = [self._frame_seed(first + k) for k in range(len(batch))]
            with self.runtime.autocast():
                instances = self.segmenter.segment(images.float().to(self.runtime.device), seeds)
            self.timings.add("model", began)
            yield from instances
            first += len(batch)

    def _frame_seed(self, frame: int) -> int:
        """The seed of a frame; the same for all frames unless the segmenter is configured otherwise."""
        is_shared = getattr(self.segmenter.config, "noise", "clip") == "clip"
        return int(np.random.SeedSequence([self.seed, 0 if is_shared else 1 + frame]).generate_state(1)[0])
