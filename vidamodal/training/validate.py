"""Scores of a model in training on whole clips, through the same predictor that users call."""

from __future__ import annotations

import copy
from operator import itemgetter
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import gather_object

from vidamodal.formats import find_dataset
from vidamodal.inference.predictor import Predictor
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.primary import mean_scores, score_video
from vidamodal.models.folder import Model


def validate(model: Model, truth: Path, accelerator: Accelerator) -> dict[str, float]:
    """Return the scores of the primary protocol, averaged over the clips of a data set.

    Args:
        model: The model, which is copied.
        truth: Folder of the data set, in any known layout.
        accelerator: The processes, which share the clips. All of them must call this, and all get the same scores.
    """
    predictor = Predictor(copy.deepcopy(model), device=next(model.parameters()).device.type)
    rank, ranks = accelerator.process_index, accelerator.num_processes
    clips = list(find_dataset(truth).clips.items())
    scores = []
    for number in range(rank, len(clips), ranks):
        key, source = clips[number]
        clip = source.tracks()
        prediction = predictor.predict(clip, frames=source.frames)
        scores.append((number, score_video(count_video(key, prediction, clip, shapes=False))))
    mean = mean_scores([score for _, score in sorted(gather_object(scores), key=itemgetter(0))])
    return {
        name: value
        for name in ("full", "occ", "hidden", "false_completion", "flicker", "track_iou")
        if (value := getattr(mean, name)) is not None
    }
