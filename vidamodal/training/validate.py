"""Scores of a model in training on whole clips, through the same road that users take."""

from __future__ import annotations

import copy
from pathlib import Path

from vidamodal.data.layouts import find_dataset
from vidamodal.inference.predictor import Predictor
from vidamodal.metrics.counts import count_video
from vidamodal.metrics.primary import mean_scores, score_video
from vidamodal.models.folder import Model


def validate(model: Model, truth: Path) -> dict[str, float]:
    """Primary protocol over the clips at ``truth``: a folder of worlds, or any other data set in a known layout."""
    predictor = Predictor(copy.deepcopy(model), device=next(model.parameters()).device.type)
    scores = []
    for key, source in find_dataset(truth).clips.items():
        clip = source.tracks()
        found = predictor.predict(clip, pictures=source.frames)
        scores.append(score_video(count_video(key, found, clip, shapes=False)))
    mean = mean_scores(scores)
    return {
        name: value
        for name in ("full", "occ", "hidden", "false_completion", "flicker", "track_iou")
        if (value := getattr(mean, name)) is not None
    }
