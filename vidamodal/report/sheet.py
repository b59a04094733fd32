"""Contact sheets of overlays, and error maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from vidamodal.report.colours import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, Colour
from vidamodal.report.overlay import ObjectMasks, enlarge_frame, object_masks_at, render_overlay
from vidamodal.report.style import load_font
from vidamodal.types import ClipTracks, Frame, Mask

_PAPER: Colour = (24, 25, 30)
_INK: Colour = (236, 236, 240)
_GAP = 6
_PANEL_SIDE = 512


def contact_sheet(panels: Sequence[Frame], columns: int, titles: Sequence[str] = ()) -> Frame:
    """Arrange panels in rows on a dark background, each centred in its cell.

    Args:
        panels: RGB pictures, which may differ in size.
        columns: Number of panels per row.
        titles: One title per panel, written above it, or none at all.

    Raises:
        ValueError: There are no panels or columns, or the number of titles is not the number of panels.
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
            pen.text((x + width / 2, y + caption / 2), titles[index], _INK, load_font(text), "mm")
        corner = x + (width - panel.shape[1]) // 2, y + caption + (height - panel.shape[0]) // 2
        sheet.paste(Image.fromarray(panel), corner)
    return np.array(sheet)


def clip_sheet(frames: Mapping[int, Frame], prediction: ClipTracks, truth: ClipTracks | None = None) -> Frame:
    """Render a contact sheet of a clip with one row per frame.

    The columns are the frame, the visible masks and the prediction; with ground truth also the ground truth and the
    error map.

    Args:
        frames: RGB frames (h, w, 3) to show, by frame number.
        prediction: Predicted tracks of the clip.
        truth: Ground-truth tracks of the clip.
    """
    panels: list[Frame] = []
    titles: list[str] = []
    for index, frame in sorted(frames.items()):
        small, predicted = _fit(frame, object_masks_at(prediction, index))
        row = {
            f"frame {index}": enlarge_frame(small),
            "visible": render_overlay(small, _visible_only(predicted)),
            "prediction": render_overlay(small, predicted),
        }
        if truth is not None:
            _, true = _fit(frame, object_masks_at(truth, index))
            row |= {"truth": render_overlay(small, true), "error": error_map(small, predicted, true)}
        panels += row.values()
        titles += row
    return contact_sheet(panels, 5 if truth is not None else 3, titles)


def side_by_side(frame: Frame, objects: Sequence[ObjectMasks]) -> Frame:
    """Render the visible masks of a frame on the left and the whole objects on the right, 512 px each."""
    small, shrunk = _fit(frame, objects)
    panels = [render_overlay(small, _visible_only(shrunk)), render_overlay(small, shrunk)]
    return contact_sheet(panels, 2, ("visible (input)", "amodal (predicted)"))


def error_map(frame: Frame, prediction: Sequence[ObjectMasks], truth: Sequence[ObjectMasks]) -> Frame:
    """Render the errors of occluded regions over the frame in dark grey.

    Missed pixels (false negatives) are painted over false completions (false positives), and these over correctly
    predicted pixels. Objects are matched by id; those without a true amodal mask are skipped.

    Args:
        frame: RGB (h, w, 3).
        prediction: Predicted masks of the frame.
        truth: Ground-truth masks of the frame.
    """
    missed, false, correct = (np.zeros(frame.shape[:2], dtype=bool) for _ in range(3))
    predicted = {item.id: item.amodal for item in prediction}
    for item in truth:
        if item.amodal is None:
            continue
        amodal = predicted.get(item.id)
        amodal = np.zeros_like(item.amodal) if amodal is None else amodal
        occluded = item.amodal if item.visible is None else item.amodal & ~item.visible
        missed |= occluded & ~amodal
        correct |= occluded & amodal
        false |= amodal & ~item.amodal
    grey = Image.fromarray(enlarge_frame(frame)).convert("L").point([round(20 + 0.45 * v) for v in range(256)])
    picture = grey.convert("RGB")
    for mask, rgb in ((correct, TRUE_POSITIVE), (false, FALSE_POSITIVE), (missed, FALSE_NEGATIVE)):
        picture.paste(rgb, (0, 0), _resize_mask(mask, picture.size))
    entries = (("false negative", FALSE_NEGATIVE), ("false positive", FALSE_POSITIVE), ("true positive", TRUE_POSITIVE))
    _write_legend(picture, entries)
    return np.array(picture)


def _visible_only(objects: Sequence[ObjectMasks]) -> list[ObjectMasks]:
    return [ObjectMasks(item.id, item.visible, None, item.label) for item in objects]


def _fit(frame: Frame, objects: Sequence[ObjectMasks]) -> tuple[Frame, list[ObjectMasks]]:
    """Shrink a large frame and its masks to panel size first, so that lines and labels fit the size they appear at."""
    height, width = frame.shape[:2]
    factor = _PANEL_SIDE / max(height, width)
    if factor >= 1:
        return frame, list(objects)
    size = max(1, round(width * factor)), max(1, round(height * factor))

    def fit(mask: Mask | None) -> Mask | None:
        return None if mask is None else np.asarray(_resize_mask(mask, size)) > 127

    small = np.array(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))
    return small, [ObjectMasks(item.id, fit(item.visible), fit(item.amodal), item.label) for item in objects]


def _resize_mask(mask: Mask, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(mask).convert("L").resize(size, Image.Resampling.BILINEAR)


def _write_legend(picture: Image.Image, entries: Iterable[tuple[str, Colour]]) -> None:
    pen = ImageDraw.Draw(picture)
    font = load_font(max(12, round(picture.width / 36)))
    x, y = font.size * 0.5, font.size * 0.4
    for word, rgb in entries:
        pen.text((x, y), word, rgb, font, stroke_width=2, stroke_fill=_PAPER)
        x += font.getlength(word) + font.size * 0.8
