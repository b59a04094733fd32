"""Scores of a model in training on whole clips, through the same road that users take."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

from vidamodal.inference.predictor import Predictor
from vidamodal.media.shards import find_clips
from vidamodal.metrics.counts import count_video
from vidamodal.metrics.primary import mean_scores, score_video
from vidamodal.models.amodal import AmodalModel
from vidamodal.types import ClipTracks
from vidamodal.worlds.sample import WorldBank
from vidamodal.worlds.truth import true_tracks


def validate(model: AmodalModel, truth: Path) -> dict[str, float]:
    """Primary protocol over the clips at ``truth``: a folder of worlds, or whatever `vidamodal evaluate` reads."""
    predictor = Predictor(copy.deepcopy(model), device=next(model.parameters()).device.type)
    scores = [score_video(count_video(key, predictor.predict(clip), clip, shapes=False)) for key, clip in _clips(truth)]
    mean = mean_scores(scores)
    return {
        name: value
        for name in ("full", "occ", "hidden", "false_completion", "flicker", "track_iou")
        if (value := getattr(mean, name)) is not None
    }


def _clips(truth: Path) -> Iterator[tuple[str, ClipTracks]]:
    if (truth / "worlds.jsonl").is_file():
        bank = WorldBank.load(truth)
        for world in bank.worlds:
            yield str(world.seed), true_tracks(world, bank.meshes, f"{world.seed}.mp4")
    else:
        for key, source in find_clips(truth).items():
            yield key, source.read()
