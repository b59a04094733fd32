"""Contact sheets, film strips and small animations made of overlays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from vidamodal.media.files import whole_file
from vidamodal.report.overlay import Colour, Drawn, Frame, Mask, draw, drawn_at, enlarge, font
from vidamodal.types import ClipTracks

_PAPER: Colour = (24, 25, 30)
_INK: Colour = (236, 236, 240)
_GAP = 6
_PANEL_SIDE = 512
_PALETTE_FRAMES = 8

MISSED: Colour = (255, 122, 0)
FALSE: Colour = (40, 150, 255)
FOUND: Colour = (168, 178, 168)
"""Colours of ``error_map``: apart in hue, and told apart by the colour-blind."""


def contact_sheet(panels: Sequence[Frame], columns: int, titles: Sequence[str] = ()) -> Frame:
    """Panels in rows on dark paper, each centred in its cell, with a title above it where ``titles`` has one.

    Raises:
        ValueError: no panel, ``columns`` below 1, or titles that are neither none nor one a panel.
    """
    if not panels or columns < 1:
        raise ValueError(f"a contact sheet needs panels and columns, not {len(panels)} and {columns}")
    if titles and len(titles) != len(panels):
        raise ValueError(f"{len(titles)} titles for {len(panels)} panels")
    height, width = (max(panel.shape[axis] for panel in panels) for axis in (0, 1))
    text = max(11, round(min(width, 1600) / 32))
    caption = round(text * 1.6) if titles else 0
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    size = columns * (width + _GAP) + _GAP, rows * (height + caption + _GAP) + _GAP
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, panel in enumerate(panels):
        x = _GAP + index % columns * (width + _GAP)
        y = _GAP + index // columns * (height + caption + _GAP)
        if titles:
            pen.text((x + width / 2, y + caption / 2), titles[index], _INK, font(text), "mm")
        corner = x + (width - panel.shape[1]) // 2, y + caption + (height - panel.shape[0]) // 2
        sheet.paste(Image.fromarray(panel), corner)
    return np.array(sheet)


def film_strip(frames: Mapping[int, Frame], prediction: ClipTracks, truth: ClipTracks | None = None) -> Frame:
    """A row for each frame: frame, visible masks, prediction and, where there is truth, truth and ``error_map``.

    Args:
        frames: the frames to show by their number in the clip.
    """
    panels: list[Frame] = []
    titles: list[str] = []
    for index, frame in sorted(frames.items()):
        small, predicted = _fit(frame, drawn_at(prediction, index))
        row = {
            f"frame {index}": enlarge(small),
            "visible": draw(small, _visible_only(predicted)),
            "prediction": draw(small, predicted),
        }
        if truth is not None:
            _, true = _fit(frame, drawn_at(truth, index))
            row |= {"truth": draw(small, true), "error": error_map(small, predicted, true)}
        panels += row.values()
        titles += row
    return contact_sheet(panels, 5 if truth is not None else 3, titles)


def side_by_side(frame: Frame, objects: Sequence[Drawn]) -> Frame:
    """Left what is given, the visible masks; right what is found, the whole objects; each 512 px on its longer side."""
    small, shrunk = _fit(frame, objects)
    panels = [draw(small, _visible_only(shrunk)), draw(small, shrunk)]
    return contact_sheet(panels, 2, ("visible: given", "whole: predicted"))


def error_map(frame: Frame, prediction: Sequence[Drawn], truth: Sequence[Drawn]) -> Frame:
    """Where hidden parts were missed, falsely completed or found, over the frame in dark grey; objects match by id.

    A pixel that is several of these for several objects shows the first. Objects without true amodal mask are skipped.
    """
    missed, false, found = (np.zeros(frame.shape[:2], dtype=bool) for _ in range(3))
    predicted = {item.id: item.amodal for item in prediction}
    for item in truth:
        if item.amodal is None:
            continue
        guess = predicted.get(item.id)
        guess = np.zeros_like(item.amodal) if guess is None else guess
        hidden = item.amodal if item.visible is None else item.amodal & ~item.visible
        missed |= hidden & ~guess
        found |= hidden & guess
        false |= guess & ~item.amodal
    grey = Image.fromarray(enlarge(frame)).convert("L").point([round(20 + 0.45 * v) for v in range(256)])
    picture = grey.convert("RGB")
    for mask, rgb in ((found, FOUND), (false, FALSE), (missed, MISSED)):
        picture.paste(rgb, (0, 0), _stencil(mask, picture.size))
    _legend(picture, (("missed", MISSED), ("false", FALSE), ("found", FOUND)))
    return np.array(picture)


def save_png(path: str | os.PathLike[str], picture: Frame) -> None:
    """Writes a PNG, whole or not at all."""
    with whole_file(path) as beside:
        Image.fromarray(picture).save(beside, format="PNG", optimize=True)


def save_gif(
    path: str | os.PathLike[str], frames: Iterable[Frame], fps: float, max_width: int = 720, colours: int = 128
) -> None:
    """Writes an endless GIF, whole or not at all; 24 frames of 480x240 take 1 to 2 MB.

    All frames are kept (shrunk), because they share one palette: a palette of its own would make each frame's
    unchanged parts shimmer. Nothing is dithered, which would double the file.

    Raises:
        ValueError: there is no frame.
    """
    small = [Image.fromarray(_shrink(frame, max_width)) for frame in frames]
    if not small:
        raise ValueError("a GIF needs a frame")
    palette = _common_palette(small, colours)
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in small]
    with whole_file(path) as beside:
        indexed[0].save(
            beside, format="GIF", save_all=True, append_images=indexed[1:], duration=round(1000 / fps), loop=0
        )


def _visible_only(objects: Sequence[Drawn]) -> list[Drawn]:
    return [Drawn(item.id, item.visible, None, item.label) for item in objects]


def _fit(frame: Frame, objects: Sequence[Drawn]) -> tuple[Frame, list[Drawn]]:
    """A large frame and its masks at panel size, so that lines and labels are drawn for the size they are seen at."""
    height, width = frame.shape[:2]
    factor = _PANEL_SIDE / max(height, width)
    if factor >= 1:
        return frame, list(objects)
    size = max(1, round(width * factor)), max(1, round(height * factor))

    def fit(mask: Mask | None) -> Mask | None:
        return None if mask is None else np.asarray(_stencil(mask, size)) > 127

    return _resize(frame, size), [Drawn(item.id, fit(item.visible), fit(item.amodal), item.label) for item in objects]


def _shrink(picture: Frame, max_width: int) -> Frame:
    height, width = picture.shape[:2]
    return picture if width <= max_width else _resize(picture, (max_width, max(1, round(height * max_width / width))))


def _resize(picture: Frame, size: tuple[int, int]) -> Frame:
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def _stencil(mask: Mask, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(mask).convert("L").resize(size, Image.Resampling.BILINEAR)


def _legend(picture: Image.Image, entries: Iterable[tuple[str, Colour]]) -> None:
    pen = ImageDraw.Draw(picture)
    text = font(max(12, round(picture.width / 36)))
    x, y = text.size * 0.5, text.size * 0.4
    for word, rgb in entries:
        pen.text((x, y), word, rgb, text, stroke_width=2, stroke_fill=_PAPER)
        x += text.getlength(word) + text.size * 0.8


def _common_palette(frames: Sequence[Image.Image], colours: int) -> Image.Image:
    chosen = frames[:: -(-len(frames) // _PALETTE_FRAMES)]
    column = np.concatenate([np.asarray(frame) for frame in chosen])
    return Image.fromarray(column).quantize(colours, method=Image.Quantize.MEDIANCUT, kmeans=2)
