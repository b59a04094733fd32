"""Scores of trained models on the data sets of a page, kept in files beside the models."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from scripts.experiments.ablation.layer_scores import layer_scores, layered_frame
from scripts.experiments.ablation.model_changes import change_model, change_segmenter
from scripts.experiments.ablation.tables import DataSet
from scripts.experiments.ablation.training import TrainedModel, short_hash
from vidamodal.data.layer_frames import ground_truth_layers
from vidamodal.data.recorded import RecordedBank
from vidamodal.inference.predictor import Predictor
from vidamodal.inference.runtime import pick_precision
from vidamodal.media.files import write_text
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.primary import MEASURES, mean_scores, score_video
from vidamodal.metrics.protocols import cumulative_iou
from vidamodal.models.folder import is_segmenter, load_model, load_segmenter
from vidamodal.occlusion.layers import LayeredFrame
from vidamodal.segmenters.base import FrameSegmenter
from vidamodal.segmenters.cumulative import CumulativeSegmenter
from vidamodal.segmenters.cumulative.layering import representative
from vidamodal.types import ClipTracks

Scores = dict[str, float | None]
Settings = Mapping[str, Any]
TRUE_LAYERS, TRUE_ORDER, CONSTRAIN, ALONE = "true_layers", "true_order", "constrain", "alone"
"""Settings of the prediction rather than of the model: the true layers in front or the true order as an input, the
physical constraint of an exhaustive scene, and the mask of each object alone as the input, in a partial scene."""


def score_model(trained: TrainedModel, use: Settings, name: str, data: DataSet) -> None:
    """Score a model on a data set, unless its scores exist."""
    path = scores_path(trained, use, name, data)
    if path.is_file():
        return
    score: Callable[[TrainedModel, Settings, DataSet], Scores]
    score = score_frames if is_segmenter(trained.model) else score_tracks
    write_text(path, json.dumps(score(trained, use, data)))


def scores_path(trained: TrainedModel, use: Settings, name: str, data: DataSet) -> Path:
    """Return the file for the scores of a model with some settings on a data set."""
    plain = {key: value for key, value in asdict(data).items() if value is not None}
    return trained.scores / f"scores-{short_hash(dict(use), name, plain)}.json"


def read_score(trained: TrainedModel, use: Settings, name: str, data: DataSet, measure: str) -> float | None:
    """Return one measure of a scored model, None if it was not scored."""
    path = scores_path(trained, use, name, data)
    value: float | None = json.loads(path.read_text()).get(measure) if path.is_file() else None
    return value


def score_tracks(trained: TrainedModel, use: Settings, data: DataSet) -> Scores:
    """Score a model that completes visible masks; ``ms`` is CPU-milliseconds per object-frame."""
    settings = dict(use)
    constrain, true_order = settings.pop(CONSTRAIN, True), settings.pop(TRUE_ORDER, False)
    alone = settings.pop(ALONE, False)
    model = change_model(load_model(trained.model, trained.head).model, settings)
    predictor = Predictor(model, "cpu", constrain=constrain)
    videos, spent = [], 0.0
    for key, clip in data.first_clips():
        truth = clip.tracks()
        began = time.process_time()
        order = truth.order if true_order else None
        predicted = predict_alone(predictor, truth) if alone else predictor.predict(truth, True, clip.frames, order)
        spent += time.process_time() - began
        videos.append(count_video(key, predicted, truth, shapes=False))
    mean = mean_scores([score_video(video) for video in videos])
    over_all = cumulative_iou.score(videos)
    return {measure: getattr(mean, measure) for measure in MEASURES} | {
        "cumulative_full": over_all["full"],
        "cumulative_inv": over_all["occ"],
        "ms": 1000 * spent / predictor.timings.object_frames,
    }


def predict_alone(predictor: Predictor, clip: ClipTracks) -> ClipTracks:
    """Complete each track of a clip from its mask alone, in a partial scene."""
    partial = replace(clip, exhaustive=False, order=None)
    tracks = [predictor.predict(replace(partial, tracks=(track,))).tracks[0] for track in clip.tracks]
    return replace(partial, tracks=tuple(tracks))


def score_frames(trained: TrainedModel, use: Settings, data: DataSet) -> Scores:
    """Score a segmenter on some frames of each clip; ``ms`` is CPU-milliseconds per frame."""
    settings = dict(use)
    true_layers = settings.pop(TRUE_LAYERS, False)
    model = change_segmenter(load_segmenter(trained.model).model, settings).eval()
    predicted: list[LayeredFrame] = []
    truth: list[LayeredFrame] = []
    spent = 0.0
    assert data.frames is not None
    bank = RecordedBank.load(Path(data.path), pixels=True)
    for number, (pictures, true) in enumerate(ground_truth_layers(bank, data.clips, data.frames, model.size)):
        began = time.process_time()
        with torch.autocast("cpu", pick_precision(torch.device("cpu"))):
            images = torch.from_numpy(pictures).float()
            if true_layers:
                predicted += predict_layers_behind_true_ones(model, images, number, true)
            else:
                predicted += predict_layers(model, images, number)
        spent += time.process_time() - began
        truth += true
    scores = layer_scores(predicted, truth) | {"ms": 1000 * spent / len(truth)}
    if true_layers:  # only layers are predicted
        scores = {name: value for name, value in scores.items() if name.startswith(("iou_", "ap_"))}
    return scores


def predict_layers(model: FrameSegmenter, images: Float[torch.Tensor, "t 3 s s"], seed: int) -> list[LayeredFrame]:
    """Segment images. A segmenter of layers keeps its own layers, which are not the union of its objects."""
    seeds = [seed] * len(images)
    if isinstance(model, CumulativeSegmenter):
        frames = model.predict_layers(images, seeds)
        return [layered_frame(layers.instances(), model.size, layers.masks()) for layers in frames]
    return [layered_frame(objects, model.size) for objects in model.segment(images, seeds)]


def predict_layers_behind_true_ones(
    model: FrameSegmenter, images: Float[torch.Tensor, "t 3 s s"], seed: int, truth: Sequence[LayeredFrame]
) -> list[LayeredFrame]:
    """Predict each layer from the true layers in front of it, as in training, so that errors do not accumulate."""
    assert isinstance(model, CumulativeSegmenter)
    frames = []
    for image, frame in zip(images, truth, strict=True):
        front, layers = np.zeros((model.size, model.size), dtype=bool), []
        for number, mask in enumerate(frame.layers, start=1):
            samples = model.sample_layer(image[None], torch.from_numpy(front)[None].float(), number, [seed])
            chosen = representative(samples[0].numpy() > 0, model.config.choose)
            layers.append(np.zeros_like(front) if chosen is None else chosen)
            front = front | mask
        frames.append(layered_frame([], model.size, np.array(layers).reshape(-1, model.size, model.size)))
    return frames
