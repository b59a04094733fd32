"""Pictures for the page: frames with marks on them, and the painter of an amodal mask."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from vidamodal.media.images import encode_image
from vidamodal.media.prompts import Prompt
from vidamodal.report.colours import DARK, object_colour
from vidamodal.report.html_page import data_element, page_end, page_start, read_asset
from vidamodal.rle import run_lengths
from vidamodal.types import Frame, InputError, Mask, Rle, VideoInfo

_QUALITY = 92


@dataclass(frozen=True)
class PaintedMask:
    """A mask that was painted."""

    object: int
    frame: int
    mask: Mask


def painter_page(frame: Frame, mask: Mask, number: int, t: int) -> str:
    """Return a page on which the mask of an object can be painted and erased.

    Args:
        frame: The frame.
        mask: The mask to begin with, of the size of the frame.
        number: Id of the object.
        t: Number of the frame.
    """
    record = {
        "object": number,
        "frame": t,
        "height": mask.shape[0],
        "width": mask.shape[1],
        "colour": "#{:02x}{:02x}{:02x}".format(*object_colour(number)),
        "runs": run_lengths(Rle.encode(mask).counts).tolist(),
    }
    body = read_asset("paint.html").replace(
        "<!--frame-->", base64.b64encode(encode_image(frame, ".jpg", quality=_QUALITY)).decode("ascii")
    )
    return page_start(f"object {number}, frame {t}", "paint") + body + data_element(record) + page_end("paint")


def read_painted(text: str, video: VideoInfo) -> PaintedMask:
    """Return the mask that the painter hands back.

    Args:
        text: JSON of the object, the frame, and the run lengths in column-major order, background first.
        video: The video of the frame.

    Raises:
        InputError: If nothing was painted on, or if the text is not such a mask.
    """
    if not text:
        raise InputError("no object is loaded. Choose an object and a frame.")
    try:
        record = json.loads(text)
        number, frame, runs = record["object"], record["frame"], np.asarray(record["runs"])
        is_valid = (
            type(number) is int and type(frame) is int and runs.ndim == 1 and runs.dtype.kind == "i"
            and runs.min() >= 0 and runs.max() <= video.height * video.width
            and runs.sum() == video.height * video.width
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, RecursionError):
        is_valid = False
    if not is_valid:
        raise InputError("the painted mask does not fit this video. Load the object and the frame again.")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return PaintedMask(number, frame, flat.reshape(video.width, video.height).T)


def marked_frame(frame: Frame, prompts: list[Prompt]) -> Frame:
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
