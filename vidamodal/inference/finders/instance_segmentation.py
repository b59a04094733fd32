"""Visible masks from a model of transformers that segments instances in single frames, joined into tracks.

The models are Mask2Former, OneFormer, MaskFormer and EoMT. Masks, labels and scores are those of the library's own
post-processing with its default thresholds. That of OneFormer needs torchvision and gives every pixel of the background
to an instance, so the outputs of OneFormer are read as those of MaskFormer, which have the same form.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from PIL import Image

from vidamodal.backbones.pretrained import (
    config_fingerprint,
    fingerprint,
    read_image_processor,
    read_pretrained,
    read_tokenizer,
)
from vidamodal.geometry import resize_nearest
from vidamodal.inference.finders.hub_finder import HubFinder, mask_size
from vidamodal.inference.runtime import FrameSource, open_frames
from vidamodal.types import Frame, FrameInstance, InputError

EXAMPLE = "tue-mps/coco_instance_eomt_large_640"
FRAME_MODELS = ("eomt", "eomt_dinov3", "mask2former", "maskformer", "oneformer")
"""Types of the models in config.json."""


@dataclass(frozen=True)
class LoadedInstanceModel:
    """A model that segments the instances of a frame, ready to use, and what run.json records of it."""

    model: Any
    processor: Any
    """Prepares frames."""
    reader: Any
    """Image processor whose post-processing reads the outputs."""
    name: str
    config_hash: str
    weights_hash: str

    @torch.no_grad()
    def segment(self, frame: Frame) -> list[FrameInstance]:
        """Return the instances of a frame at its size; their masks do not overlap."""
        height, width = frame.shape[:2]
        task = {"task_inputs": ["instance"]} if self.model.config.model_type == "oneformer" else {}
        inputs = self.processor(images=Image.fromarray(frame), return_tensors="pt", **task)
        tensors = {name: value for name, value in inputs.items() if isinstance(value, torch.Tensor)}
        outputs = self.model(**{name: value.to(self.model.device) for name, value in tensors.items()})
        (found,) = self.reader.post_process_instance_segmentation(outputs, target_sizes=[mask_size(height, width)])
        return instances_of(found, self.model.config.id2label, height, width)


def load_instance_model(name: str) -> LoadedInstanceModel:
    """Load a model that segments instances.

    Args:
        name: A folder, or ``owner/name`` on the Hugging Face Hub, of a model of one of the types `FRAME_MODELS`.

    Raises:
        InputError: If there is no such model, if it cannot be downloaded, or if it segments no instances.
    """
    import transformers

    setting = "detect="
    model = read_pretrained(transformers.AutoModelForUniversalSegmentation, name, setting, EXAMPLE)
    is_oneformer = model.config.model_type == "oneformer"
    settings = {"class_info_file": ""} if is_oneformer else {}  # it names a file of another repository, for training
    processor = read_image_processor(name, setting, EXAMPLE, **settings)
    if getattr(processor, "do_split_image", False):
        raise InputError(
            f"{setting}: {name!r} is a semantic segmentation model, which reads parts of a frame and does not separate "
            f"instances. Pass an instance segmentation model, such as {EXAMPLE}."
        )
    reader = processor
    if is_oneformer:
        reader = transformers.MaskFormerImageProcessorPil()
        tokenizer, length = read_tokenizer(name, setting, EXAMPLE), model.config.task_seq_len
        processor = transformers.OneFormerProcessor(processor, tokenizer, task_seq_length=length)
    short = name.rstrip("/").rpartition("/")[2]
    return LoadedInstanceModel(model.eval(), processor, reader, short, config_fingerprint(model), fingerprint(model))


class InstanceSegmentationFinder(HubFinder[LoadedInstanceModel]):
    """A model that segments the instances of single frames, on a device, for whole videos."""

    ID = "instance-segmentation"
    EXAMPLE = EXAMPLE

    @property
    def size(self) -> None:
        """None: the image processor of the model determines the size of a frame."""
        return None

    def run_record(self) -> dict[str, Any]:
        """Return the rules of association."""
        return {"association": asdict(self.rules)}

    def instances(self, frames: FrameSource) -> Iterator[list[FrameInstance]]:
        """Yield the instances of each frame; their masks do not overlap."""
        for frame in open_frames(frames, "an instance segmentation model"):
            began = time.perf_counter()
            instances = self.loaded.segment(frame)
            self.timings.add("model", began)
            yield instances


def instances_of(found: dict[str, Any], labels: dict[int, str], height: int, width: int) -> list[FrameInstance]:
    """Return the instances of a frame, those with the highest score first.

    Args:
        found: A result of ``post_process_instance_segmentation``: "segmentation", the id of each pixel, and
            "segments_info", the id, label and score of each instance.
        labels: Names of the labels.
        height: Height of the frame in pixels.
        width: Width of the frame in pixels.
    """
    ids: Int[np.ndarray, "h w"] = resize_nearest(found["segmentation"].cpu().numpy().astype(np.int32), height, width)
    instances = []
    for segment in sorted(found["segments_info"], key=lambda segment: (-segment["score"], segment["id"])):
        mask = ids == segment["id"]
        if mask.any():
            label = labels.get(segment["label_id"])
            instances.append(FrameInstance(mask, mask, 1, label, float(segment["score"])))
    return instances
