"""Visible masks from VidEoMT in transformers, which segments the instances of a whole video.

Its queries are passed on from frame to frame, so that a query stays with its object. Frames are read one at a time:
the results are those of the library for the whole video.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from vidamodal.backbones.pretrained import (
    LOADING_ERRORS,
    config_fingerprint,
    find_pretrained,
    fingerprint,
    quiet_libraries,
    read_pretrained,
)
from vidamodal.geometry import resize_nearest
from vidamodal.hub import first_line
from vidamodal.inference.finders.hub_finder import HubFinder, mask_size
from vidamodal.inference.runtime import FrameSource, open_frames
from vidamodal.types import Frame, FrameInstance, InputError

EXAMPLE = "tue-mps/videomt-dinov2-small-ytvis2019"
VIDEO_MODELS = ("videomt",)
"""Types of the models in config.json."""
THRESHOLD = 0.5
"""Least score of an instance, as in the library's post-processing."""


@dataclass(frozen=True)
class LoadedVideoModel:
    """A VidEoMT model ready to use, and what run.json records of it."""

    model: Any
    processor: Any
    """An image processor with the settings of the model's video processor, which needs torchvision."""
    name: str
    config_hash: str
    weights_hash: str


@dataclass(frozen=True)
class QueryOutputs:
    """What the model predicts in one frame for each of q queries."""

    masks: Float[Tensor, "q h w"]
    """Logits."""
    classes: Float[Tensor, "q c"]
    """Logits; the last class is "no object"."""
    queries: Float[Tensor, "1 q d"]
    """What is passed on to the next frame."""


@dataclass
class _QueryTracks:
    """Gives each query's object an id; a query that was long without an object begins a new one."""

    most_unseen: int
    _seen: dict[int, tuple[int, int]] = field(default_factory=dict)
    """The id of the object of each query, and the last frame in which it was seen."""
    _next_id: int = 1

    def id_of(self, query: int, t: int) -> int:
        key, last = self._seen.get(query, (0, t))
        if not key or t - last > self.most_unseen:
            key, self._next_id = self._next_id, self._next_id + 1
        self._seen[query] = key, t
        return key


def load_video_model(name: str) -> LoadedVideoModel:
    """Load a VidEoMT model.

    Args:
        name: A folder, or ``owner/name`` on the Hugging Face Hub.

    Raises:
        InputError: If there is no such model, or if it cannot be downloaded.
    """
    from transformers import VideomtForUniversalSegmentation
    from transformers.image_processing_backends import PilBackend
    from transformers.models.videomt.video_processing_videomt import VideomtVideoProcessor

    model = read_pretrained(VideomtForUniversalSegmentation, name, "detect=", EXAMPLE)
    try:
        with quiet_libraries():
            video = VideomtVideoProcessor.from_pretrained(str(find_pretrained(name, "detect=", EXAMPLE)))
    except LOADING_ERRORS as error:
        raise InputError(f"detect=: {name!r} has no video processor that can be loaded: {first_line(error)}") from error
    shared = (
        "size",
        "resample",
        "image_mean",
        "image_std",
        "rescale_factor",
        "do_resize",
        "do_rescale",
        "do_normalize",
    )
    processor = PilBackend(**{setting: getattr(video, setting) for setting in shared})
    short = name.rstrip("/").rpartition("/")[2]
    return LoadedVideoModel(model.eval(), processor, short, config_fingerprint(model), fingerprint(model))


class VideoInstanceSegmentationFinder(HubFinder[LoadedVideoModel]):
    """VidEoMT on a device. A track is the object of a query, also after it was out of sight for a while.

    Of the rules of association, ``max_unseen`` and ``min_frames`` apply.
    """

    ID = "video-instance-segmentation"
    EXAMPLE = EXAMPLE

    @property
    def size(self) -> int:
        """Side in pixels of the square that the model reads."""
        return int(self.loaded.model.config.image_size)

    def run_record(self) -> dict[str, Any]:
        """Return the size of the canvas and the rules that apply."""
        applied = {"max_unseen": self.rules.max_unseen, "min_frames": self.rules.min_frames}
        return {"canvas": self.size, "association": applied}

    def instances(self, frames: FrameSource) -> Iterator[list[FrameInstance]]:
        """Yield the instances of each frame; their masks do not overlap."""
        queries: Float[Tensor, "1 q d"] | None = None
        tracks = _QueryTracks(self.rules.max_unseen)
        for t, frame in enumerate(open_frames(frames, "a video instance segmentation model")):
            began = time.perf_counter()
            outputs = predict_frame(self.loaded, frame, queries)
            queries = outputs.queries
            instances = [
                FrameInstance(
                    mask, mask, 1, self.loaded.model.config.id2label.get(label), score, key=tracks.id_of(q, t)
                )
                for q, mask, label, score in query_instances(outputs, *frame.shape[:2])
            ]
            self.timings.add("model", began)
            yield instances


@torch.no_grad()
def predict_frame(loaded: LoadedVideoModel, frame: Frame, queries: Float[Tensor, "1 q d"] | None) -> QueryOutputs:
    """Return what the model predicts in a frame.

    Args:
        loaded: The model.
        frame: The frame.
        queries: The queries of the frame before; None for the first frame.
    """
    model = loaded.model
    pixels = loaded.processor(images=Image.fromarray(frame), return_tensors="pt")["pixel_values"].to(model.device)
    states, first = model.embeddings(pixels), len(model.layers) - model.config.num_blocks
    for layer in model.layers[:first]:
        states = layer(states)
    learned = model.query.weight[None]
    states = torch.cat([learned if queries is None else model.query_updater(queries) + learned, states], dim=1)
    for layer in model.layers[first:]:
        states = layer(states)
    masks, classes = model.predict(model.layernorm(states))
    return QueryOutputs(masks[0], classes[0], states[:, : model.config.num_queries])


def query_instances(outputs: QueryOutputs, height: int, width: int) -> list[tuple[int, np.ndarray, int, float]]:
    """Return the query, mask, label and score of each instance of a frame, those with the highest score first.

    Scores and masks are those of ``VideomtVideoProcessor.post_process_instance_segmentation``, which does not return
    the queries: where masks overlap, the last query has the pixel.

    Args:
        outputs: The outputs of the model.
        height: Height of the frame in pixels.
        width: Width of the frame in pixels.
    """
    likelihoods, labels = outputs.classes.float().softmax(dim=-1)[:, :-1].max(dim=-1)
    size, found = mask_size(height, width), []
    owners = torch.full(size, -1, device=outputs.masks.device)
    for query in torch.nonzero(likelihoods >= THRESHOLD)[:, 0].tolist():
        logits = interpolate(outputs.masks[None, None, query].float(), size, mode="bilinear", align_corners=False)[0, 0]
        inside = logits > 0
        score = float(likelihoods[query] * (logits.sigmoid() * inside).sum() / (inside.sum() + 1e-6))
        if bool(inside.any()) and score >= THRESHOLD:
            owners[inside] = query
            found.append((query, int(labels[query]), score))
    ids = resize_nearest(owners.cpu().numpy(), height, width)
    masks = [(query, np.asarray(ids == query), label, score) for query, label, score in found]
    return sorted((one for one in masks if one[1].any()), key=lambda one: (-one[3], one[0]))
