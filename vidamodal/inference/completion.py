"""Completion of one track in a chunk of frames by the network, which is also shown clear frames and anchors."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from vidamodal.data.crops import EXHAUSTIVE, FrameCrops, TrackCrops, mirrored, stack_crops
from vidamodal.inference.propagation import propagate
from vidamodal.inference.runtime import Runtime, Timings
from vidamodal.inference.scene import Memory, Scene
from vidamodal.inference.track_logits import CERTAIN, TrackLogits
from vidamodal.models.amodal import AmodalModel, AmodalOutput, KnownMasks
from vidamodal.models.folder import Model

SAMPLE_STEPS = 4
"""Rounds in which the codes of a hypothesis are sampled."""


@dataclass(frozen=True)
class TrackFrames:
    """What the network is shown of a track."""

    chunk: range
    """The frames to complete."""
    crops: Mapping[int, FrameCrops]
    """Crops of those of them that the track's span includes."""
    memory: Memory
    """The clearest earlier frames, used if the chunk shows little of the object."""
    anchored: Mapping[int, FrameCrops]
    """The frames of the nearest anchors outside the chunk."""


@dataclass(frozen=True)
class Completion:
    """A model that completes the tracks of a scene, one at a time, so that no track depends on the others' number."""

    model: Model
    runtime: Runtime
    seed: int
    timings: Timings

    @torch.no_grad()
    def complete(self, scene: Scene, k: int, frames: TrackFrames, hypotheses: int, mirror: bool) -> TrackLogits:
        """Return the calibrated logits of track k, for each hypothesis; the presence is that of the first.

        Args:
            scene: The scene.
            k: Number of the track.
            frames: What the network is shown.
            hypotheses: Number of hypotheses.
            mirror: Average the logits with those of the mirrored windows.
        """
        began = time.perf_counter()
        # If the chunk shows little of the object, its clearest earlier frames are added.
        recalled = frames.memory
        if scene.largest_share(k, recalled) <= 2 * scene.largest_share(k, frames.crops):
            recalled = {}
        shown = dict(sorted({**recalled, **frames.anchored, **frames.crops}.items()))
        batch, known = self._batch(scene, k, frames, shown), self._known(scene, k, shown)
        cells = self.model.view.cells
        out = np.full((hypotheses, len(frames.chunk), cells, cells), -np.inf, dtype=np.float32)
        presence = None
        places = [t - frames.chunk.start for t in frames.crops]
        own = [place for place, t in enumerate(shown) if t in frames.crops]
        with self.runtime.autocast():
            for h in range(hypotheses):
                output = self._run(batch, known, scene.tracks[k].id, h, mirror)
                out[h, places] = output.refined[0, own].float().cpu().numpy()
                if not h and output.presence is not None:
                    presence = np.full(len(frames.chunk), -np.inf, dtype=np.float32)
                    presence[places] = output.presence[0, own].float().cpu().numpy()
        self.timings.add("model", began)
        logits = TrackLogits(out / np.float32(self.model.config.temperature), presence)
        return self._with_anchors(scene, k, frames, logits)

    def _batch(self, scene: Scene, k: int, frames: TrackFrames, shown: Mapping[int, FrameCrops]) -> TrackCrops:
        """Return the crops of the track in all frames that the network is shown."""
        numbers = list(shown)
        box = scene.box_numbers[k : k + 1, numbers].copy()
        box[0, [crops.comparison is not None for crops in shown.values()], EXHAUSTIVE] = 1
        middle, furthest = (min(frames.crops) + max(frames.crops)) / 2, self.model.config.chunk
        return stack_crops(
            [list(shown.values())],
            np.array([[scene.tracks[k].visible[t] is not None for t in numbers]]),
            box,
            np.clip(np.array([numbers]) - middle, -furthest, furthest),  # no further away than in training
        ).to(self.runtime.device)

    def _known(self, scene: Scene, k: int, shown: Mapping[int, FrameCrops]) -> KnownMasks | None:
        """Return the anchors among the frames that the network is shown; None if there are none."""
        anchored = [t in scene.anchors.of(scene.tracks[k].id) for t in shown]
        if not any(anchored):
            return None
        cells = self.model.view.cells
        nothing = np.zeros((cells, cells), dtype=np.float32)
        masks = [
            scene.anchor_cells(k, t, cells) if known else nothing for t, known in zip(shown, anchored, strict=True)
        ]
        return KnownMasks(
            torch.from_numpy(np.stack(masks))[None].to(self.runtime.device),
            torch.tensor([anchored], device=self.runtime.device),
        )

    def _run(
        self, batch: TrackCrops, known: KnownMasks | None, track: int, hypothesis: int, mirror: bool
    ) -> AmodalOutput:
        output = self._run_once(batch, known, track, hypothesis)
        if not mirror:
            return output
        turned = None if known is None else known._replace(masks=known.masks.flip(-1))
        other = self._run_once(mirrored(batch), turned, track, hypothesis)
        presence = output.presence
        if presence is not None and other.presence is not None:
            presence = (presence + other.presence) / 2
        return replace(output, refined=(output.refined + other.refined.flip(-1)) / 2, presence=presence)

    def _run_once(self, batch: TrackCrops, known: KnownMasks | None, track: int, hypothesis: int) -> AmodalOutput:
        generator, model = self._generator(track, hypothesis), self.model
        if isinstance(model, AmodalModel):
            if hypothesis:
                return model.sample(batch, SAMPLE_STEPS, generator, known)
            return model.complete(batch, generator, known)
        return model.sample(batch, SAMPLE_STEPS, generator) if hypothesis else model.complete(batch, generator)

    def _generator(self, track: int, hypothesis: int) -> torch.Generator:
        """The generator of a track's hypothesis, the same in every chunk: one noise for the whole track."""
        key = np.random.SeedSequence([self.seed, track, hypothesis]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(key >> np.uint64(1)))

    def _with_anchors(self, scene: Scene, k: int, frames: TrackFrames, logits: TrackLogits) -> TrackLogits:
        """Return logits that the anchors correct, with certain masks and presence in their frames."""
        anchors, cells = scene.anchors.of(scene.tracks[k].id), logits.masks.shape[-1]
        shown = {**frames.anchored, **frames.crops}
        known = {t: scene.anchor_cells(k, t, cells) for t in shown if t in anchors}
        if not known:
            return logits
        numbers, presence = list(frames.crops), logits.presence
        places = [t - frames.chunk.start for t in numbers]
        logits.masks[:, places] = propagate(logits.masks[:, places], numbers, shown, known)
        for t, place in zip(numbers, places, strict=True):
            if t in anchors:
                logits.masks[:, place] = CERTAIN * (2 * known[t] - 1)
                if presence is not None:
                    presence[place] = CERTAIN if anchors[t].area() else -CERTAIN
        return logits
