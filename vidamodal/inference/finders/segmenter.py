"""Visible masks, and amodal ones, from a segmenter of bare frames.

Frames are read a few at a time and brought to the segmenter's canvas.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch

from vidamodal.inference.finders.base import on_canvas
from vidamodal.inference.predictor import Pictures, Timings, pick_device, pick_precision
from vidamodal.inference.tracker import Association, join_instances
from vidamodal.segmenters.base import FrameSegmenter
from vidamodal.types import ClipTracks, FrameInstance, InputError, VideoInfo

TOGETHER = 16
"""Frames that are held in memory at once."""


class VisibleFinder:
    """A segmenter on a device, for whole videos."""

    def __init__(
        self, segmenter: FrameSegmenter, device: str = "auto", seed: int = 0, rules: Association | None = None
    ) -> None:
        if seed < 0:
            raise InputError(f"the seed must be at least 0, not {seed}")
        self.device = pick_device(device)
        self.precision = pick_precision(self.device)
        self.segmenter = segmenter.to(self.device).eval()
        self.seed, self.rules = seed, rules or Association()
        self.timings = Timings()

    @property
    def size(self) -> int:
        return self.segmenter.size

    def find(self, video: VideoInfo, pictures: Pictures, quiet: bool = True) -> ClipTracks:
        """Tracks with visible and amodal masks and the order of every frame: see `join_instances`."""
        return join_instances(video, self._instances(pictures), self.rules, self.timings, quiet)

    def _instances(self, pictures: Pictures) -> Iterator[list[FrameInstance]]:
        """Of each frame, those in front first."""
        frames = pictures()
        if frames is None:
            raise InputError("a segmenter reads pictures, and there are none: give the video")
        first, shared = 0, getattr(self.segmenter.config, "noise", "clip") == "clip"
        while batch := list(islice(frames, TOGETHER)):
            began = time.perf_counter()
            canvas = torch.from_numpy(np.stack([on_canvas(frame, self.segmenter.size) for frame in batch]))
            seeds = [
                int(np.random.SeedSequence([self.seed, 0 if shared else 1 + first + k]).generate_state(1)[0])
                for k in range(len(batch))
            ]
            with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
                found = self.segmenter.segment(canvas.float().to(self.device), seeds)
            self.timings.add("model", began)
            yield from found
            first += len(batch)
