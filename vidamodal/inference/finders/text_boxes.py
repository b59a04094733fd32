"""Boxes of the objects that a text names, by a zero-shot detector of transformers: Grounding DINO or OWLv2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from vidamodal.backbones.pretrained import (
    config_fingerprint,
    fingerprint,
    model_type,
    read_image_processor,
    read_pretrained,
    read_tokenizer,
)
from vidamodal.types import Box, Frame, InputError

DEFAULT_DETECTOR = "IDEA-Research/grounding-dino-tiny"
"""The detector unless another is named; its licence is Apache-2.0."""
_PROCESSORS = {
    "grounding-dino": "GroundingDinoProcessor",
    "mm-grounding-dino": "GroundingDinoProcessor",
    "owlv2": "Owlv2Processor",
    "owlvit": "OwlViTProcessor",
}
"""Classes in transformers that prepare images and text, by the type of the model in config.json."""


@dataclass(frozen=True)
class Detection:
    """An object that a text names, in one frame."""

    box: Box
    """Box (x0, y0, x1, y1) in pixels, inside the image."""
    score: float
    label: str | None
    """The words of the text that fit best; None if none does."""


@dataclass(frozen=True)
class LoadedDetector:
    """A zero-shot detector ready to use, and what run.json records of it."""

    model: Any
    processor: Any
    name: str
    config_hash: str
    weights_hash: str

    @torch.no_grad()
    def detect(self, frame: Frame, names: list[str]) -> list[Detection]:
        """Return the objects in a frame, those with the highest score first, above the library's threshold.

        Raises:
            InputError: If the model cannot read so many words.
        """
        height, width = frame.shape[:2]
        inputs = self.processor(images=Image.fromarray(frame), text=[names], return_tensors="pt")
        if inputs["input_ids"].shape[-1] > self.longest_text:
            raise InputError(f"text=: {self.name} reads at most {self.longest_text} tokens. Name fewer objects.")
        outputs = self.model(**inputs.to(self.model.device))
        (found,) = self.processor.post_process_grounded_object_detection(
            outputs, target_sizes=[(height, width)], text_labels=[names]
        )
        boxes = found["boxes"].float().cpu()
        boxes = torch.stack([boxes[:, 0::2].clamp(0, width), boxes[:, 1::2].clamp(0, height)], dim=2).flatten(1)
        rows = zip(boxes.tolist(), found["scores"].tolist(), found["text_labels"], strict=True)
        detections = [Detection((x0, y0, x1, y1), score, label or None) for (x0, y0, x1, y1), score, label in rows]
        return sorted((one for one in detections if _has_area(one.box)), key=lambda one: (-one.score, one.box))

    @property
    def longest_text(self) -> int:
        """Number of tokens that the model reads: in all for Grounding DINO, of one name for OWLv2."""
        config = self.model.config
        return int(getattr(config, "max_text_len", None) or config.text_config.max_position_embeddings)


def load_detector(name: str = DEFAULT_DETECTOR) -> LoadedDetector:
    """Load a zero-shot detector.

    Args:
        name: A folder, or ``owner/name`` on the Hugging Face Hub.

    Raises:
        InputError: If there is no such model, if it cannot be downloaded, or if it detects nothing by text.
    """
    import transformers

    setting = "detector="
    kind = model_type(name, setting, DEFAULT_DETECTOR)
    if kind not in _PROCESSORS:
        raise InputError(
            f"{setting}: {name!r} is a model of type {kind!r}, which does not detect objects by text. Pass a Grounding "
            f"DINO or OWLv2 model, such as {DEFAULT_DETECTOR}."
        )
    model = read_pretrained(transformers.AutoModelForZeroShotObjectDetection, name, setting, DEFAULT_DETECTOR)
    image_processor = read_image_processor(name, setting, DEFAULT_DETECTOR)
    tokenizer = read_tokenizer(name, setting, DEFAULT_DETECTOR)
    processor = getattr(transformers, _PROCESSORS[kind])(image_processor=image_processor, tokenizer=tokenizer)
    short = name.rstrip("/").rpartition("/")[2]
    return LoadedDetector(model.eval(), processor, short, config_fingerprint(model), fingerprint(model))


def parse_names(text: str) -> list[str]:
    """Return the names in a text such as "person. dog.", in lower case, each once.

    Raises:
        InputError: If there is none.
    """
    names = list(dict.fromkeys(part.strip().lower() for part in text.split(".") if part.strip()))
    if not names:
        raise InputError('text=: no object is named. Separate names by full stops, as in "person. dog.".')
    return names


def _has_area(box: Box) -> bool:
    return box[0] < box[2] and box[1] < box[3]
