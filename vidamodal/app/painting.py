"""Pictures for the page: frames with marks or other objects on them, and masks as layers that can be painted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from vidamodal.media.prompts import Prompt
from vidamodal.report.colours import DARK, object_colour
from vidamodal.types import Frame, Mask

Layer = UInt8[np.ndarray, "h w 4"]
"""An RGBA image; a mask is where alpha is at least half."""

LAYER_ALPHA = 160
"""Opacity of a mask that can be painted."""
_OPAQUE = 64
"""Smallest alpha of a pixel that counts as painted."""


def mask_layer(mask: Mask, object_id: int) -> Layer:
    """Return a mask in the colour of its object, transparent elsewhere."""
    layer = np.zeros((*mask.shape, 4), dtype=np.uint8)
    layer[mask] = (*object_colour(object_id), LAYER_ALPHA)
    return layer


def painted_mask(layers: Sequence[Layer], height: int, width: int) -> Mask:
    """Return the mask that layers show together.

    Args:
        layers: RGBA images of one size; strokes may be smooth at their edges.
        height: Height of the mask in pixels.
        width: Width of the mask in pixels.
    """
    mask = np.zeros((height, width), dtype=bool)
    for layer in layers:
        alpha = Image.fromarray(np.ascontiguousarray(layer[..., 3]))
        if alpha.size != (width, height):
            alpha = alpha.resize((width, height), Image.Resampling.BOX)
        mask |= np.asarray(alpha) >= _OPAQUE
    return mask


def marked_frame(frame: Frame, prompts: Sequence[Prompt]) -> Frame:
    """Return a frame with the points of prompts: discs on an object, rings outside it, each with the object's id."""
    canvas = Image.fromarray(frame)
    pen = ImageDraw.Draw(canvas)
    radius = max(3.0, max(canvas.size) / 120)
    for prompt in prompts:
        rgb = object_colour(prompt.id)
        for (x, y), label in zip(prompt.points, prompt.labels, strict=True):
            box = (x - radius, y - radius, x + radius, y + radius)
            pen.ellipse(box, fill=rgb if label else None, outline=DARK if label else rgb, width=2)
            pen.text((x + 1.5 * radius, y), str(prompt.id), fill=rgb, anchor="lm", stroke_width=2, stroke_fill=DARK)
    return np.array(canvas)
