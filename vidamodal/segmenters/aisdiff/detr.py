"""Proposals by a pretrained model of the DETR family in transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vidamodal.backbones.pretrained import LOADING_ERRORS, find_pretrained, quiet_libraries, read_pretrained
from vidamodal.backbones.resnet import IMAGENET_MEAN, IMAGENET_STD
from vidamodal.errors import InputError
from vidamodal.hub import first_line

EXAMPLE = "PekingU/rtdetr_r18vd"


class Detr(nn.Module):
    """A model of the DETR family with the resizing and normalisation of its image processor."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, model: nn.Module, processor: Mapping[str, Any]) -> None:
        """Wrap a model.

        Args:
            model: The model.
            processor: Content of preprocessor_config.json. If it is empty, images keep their size and are normalised
                as in the first DETR.
        """
        super().__init__()
        self.model = model
        defaults = (("image_mean", IMAGENET_MEAN), ("image_std", IMAGENET_STD))
        statistics = [processor.get(name) or default for name, default in defaults]
        if not processor.get("do_normalize", True):
            statistics = [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0)]
        for name, values in zip(("mean", "deviation"), statistics, strict=True):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(3, 1, 1), persistent=False)
        size = processor.get("size") if processor.get("do_resize", True) else None
        if isinstance(size, dict):
            size = size.get("height", size.get("shortest_edge"))
        self.size = None if size is None else int(size)

    def forward(self, images: Float[Tensor, "b 3 s s"]) -> tuple[Float[Tensor, "b q 4"], Float[Tensor, "b q"]]:
        """Return boxes, relative to the side of the image, and scores, for colours in [0, 1]."""
        if self.size is not None and self.size != images.shape[-1]:
            images = interpolate(images, (self.size, self.size), mode="bilinear", antialias=True).clamp(0, 1)
        output = self.model(pixel_values=(images - self.mean) / self.deviation)
        config: Any = self.model.config
        logits = output.logits.float()
        # Some models have an additional class for "no object", the others have independent classes.
        exclusive = logits.shape[-1] == len(config.id2label) + 1
        scores = logits.softmax(dim=-1)[..., :-1] if exclusive else logits.sigmoid()
        centre, extent = output.pred_boxes.float().chunk(2, dim=-1)
        return torch.cat([centre - extent / 2, centre + extent / 2], dim=-1), scores.amax(dim=-1)


def read_detr(name: str) -> Detr:
    """Load a model of the DETR family from safetensors.

    Args:
        name: Path of a folder, or name of a repository on the Hub.

    Raises:
        InputError: If the model or its image processor cannot be loaded.
    """
    from transformers import AutoModelForObjectDetection, ImageProcessingMixin

    setting = "detector.detr"
    folder = find_pretrained(name, setting, EXAMPLE)
    model = read_pretrained(AutoModelForObjectDetection, str(folder), setting, EXAMPLE)
    if not (folder / "preprocessor_config.json").is_file():
        return Detr(model, {})
    try:
        with quiet_libraries():
            processor, _ = ImageProcessingMixin.get_image_processor_dict(str(folder))
        return Detr(model, processor)
    except LOADING_ERRORS as error:
        raise InputError(
            f"{setting}: the preprocessor_config.json of {name!r} cannot be used: {first_line(error)}"
        ) from error
