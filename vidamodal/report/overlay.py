"""Overlays: the visible and occluded parts of objects, painted over the frame.

The visible part is filled with the object's colour and the occluded part is hatched. The outline of the whole object is
solid where its edge is visible and dashed where it is inferred, as in a technical drawing. Pixels that no mask covers
are left unchanged. Frames below 512 px are enlarged by a whole factor to paint on; in videos they get their size back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from vidamodal.report.colours import DARK, Colour, object_colour
from vidamodal.report.contours import Points, on_dash, smooth, stretches, trace_contours
from vidamodal.report.labels import Label, rank_places, write_labels
from vidamodal.report.style import MIN_SIDE, Style
from vidamodal.runs import Runs
from vidamodal.types import ClipTracks, Frame, Mask

_VISIBLE_ALPHA = 0.50
_SHADE_ALPHA = 0.25
_CASING_ALPHA = 0.65
_SUPERSAMPLING = 2


@dataclass(frozen=True)
class ObjectMasks:
    """The masks of one object in one frame.

    Attributes:
        id: Track id; determines the colour.
        visible: Visible mask; None if unknown, which paints all of ``amodal`` as occluded.
        amodal: Amodal mask; None if unknown, which paints the visible mask alone.
        label: Text written on the object; its id by default, none for an empty string.
        rgb: Colour in place of the id's colour.
    """

    id: int
    visible: Mask | None
    amodal: Mask | None
    label: str | None = None
    rgb: Colour | None = None


def object_masks_at(tracks: ClipTracks, frame: int) -> list[ObjectMasks]:
    """Return the decoded masks of one frame; objects with neither a visible nor an amodal mask are omitted."""
    objects = []
    for track in tracks.tracks:
        visible = track.visible[frame]
        amodal = track.amodal[frame] if track.amodal else None
        if visible or amodal:
            visible_mask, amodal_mask = (mask.decode() if mask else None for mask in (visible, amodal))
            objects.append(ObjectMasks(track.id, visible_mask, amodal_mask))
    return objects


def overlay_frames(frames: Iterable[Frame], tracks: ClipTracks) -> Iterator[Frame]:
    """Yield the overlay of every frame of a video, in the size of the video; only one frame is held in memory.

    Args:
        frames: RGB frames (h, w, 3) of the video.
        tracks: Tracks with visible or amodal masks.

    Raises:
        ValueError: The number of frames is not ``tracks.video.frames``, or a frame has another size than its masks.
    """
    for index, frame in zip(range(tracks.video.frames), frames, strict=True):
        overlay = _paint(frame, _shapes_at(tracks, index))
        height, width = frame.shape[:2]
        if overlay.shape != frame.shape:
            overlay = np.array(Image.fromarray(overlay).resize((width, height), Image.Resampling.BOX))
        yield overlay


def render_overlay(frame: Frame, objects: Sequence[ObjectMasks]) -> Frame:
    """Paint objects over a copy of a frame. Their order does not matter.

    Args:
        frame: RGB (h, w, 3).
        objects: Masks of the size of the frame.

    Returns:
        RGB (s h, s w, 3) with s = ``canvas_scale(h, w)``. Pixels away from the objects equal ``enlarge_frame(frame)``.

    Raises:
        ValueError: A mask has another size than the frame.
    """
    shapes = []
    for item in objects:
        for mask in (item.visible, item.amodal):
            if mask is not None and mask.shape != frame.shape[:2]:
                raise ValueError(
                    f"object {item.id}: a mask of shape {mask.shape} for a frame of shape {frame.shape[:2]}"
                )
        text = item.label if item.label is not None else str(item.id)
        rgb = object_colour(item.id) if item.rgb is None else item.rgb
        visible, amodal = (None if mask is None else Runs.of_mask(mask) for mask in (item.visible, item.amodal))
        shapes.append(_Shape(item.id, text, rgb, visible, amodal))
    return _paint(frame, shapes)


def canvas_scale(height: int, width: int) -> int:
    """Return the factor by which overlays enlarge a frame: 1 if its longer side has at least 512 px."""
    return max(1, -(-MIN_SIDE // max(height, width)))


def enlarge_frame(frame: Frame) -> Frame:
    """Return the frame enlarged by ``canvas_scale``, as `render_overlay` paints on it."""
    height, width = frame.shape[:2]
    scale = canvas_scale(height, width)
    if scale == 1:
        return frame
    return np.array(Image.fromarray(frame).resize((width * scale, height * scale), Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class _Shape:
    """The masks of one object in one frame, and how it is painted: see `ObjectMasks`."""

    id: int
    text: str
    rgb: Colour
    visible: Runs | None
    amodal: Runs | None


def _shapes_at(tracks: ClipTracks, frame: int) -> list[_Shape]:
    shapes = []
    for track in tracks.tracks:
        masks = track.visible[frame], track.amodal[frame] if track.amodal else None
        visible, amodal = (None if mask is None else Runs.of(mask) for mask in masks)
        shapes.append(_Shape(track.id, str(track.id), object_colour(track.id), visible, amodal))
    return shapes


def _paint(frame: Frame, shapes: Sequence[_Shape]) -> Frame:
    """Paint objects over a copy of a frame: see `render_overlay`."""
    height, width = frame.shape[:2]
    scale = canvas_scale(height, width)
    canvas = Image.fromarray(enlarge_frame(frame))
    style = Style(canvas.width, canvas.height)
    cutouts = [_Cutout.of(shape, (height, width), scale, style) for shape in shapes]
    present = sorted((cutout for cutout in cutouts if cutout), key=lambda cutout: (-cutout.area, cutout.id))
    for cutout in present:
        cutout.fill_visible(canvas)
    for cutout in present:
        cutout.hatch_occluded(canvas)
    for cutout in present:
        cutout.outline(canvas)
    smallest_first = reversed(present)  # small objects have the least room for a label
    write_labels(canvas, [Label(each.text, each.rgb, each.label_places()) for each in smallest_first], style)
    return np.array(canvas)


@dataclass(frozen=True)
class _Cutout:
    """One object cropped to its bounding box and a margin: masks in frame pixels, painted in canvas pixels."""

    id: int
    text: str
    rgb: Colour
    visible: Mask
    amodal: Mask
    top: int
    left: int
    frame_size: tuple[int, int]
    scale: int
    style: Style

    @staticmethod
    def of(shape: _Shape, size: tuple[int, int], scale: int, style: Style) -> _Cutout | None:
        """Crop an object, or return None if its masks are empty."""
        masks = [mask for mask in (shape.visible, shape.amodal) if mask is not None]
        boxes = [mask.box for mask in masks if mask.box is not None]
        if not boxes:
            return None
        margin = math.ceil(style.margin / scale)
        top, left = (max(0, min(box[i] for box in boxes) - margin) for i in (0, 1))
        bottom, right = (min(max(box[i] for box in boxes) + margin, size[i - 2]) for i in (2, 3))
        cuts = [mask.at(slice(top, bottom), slice(left, right)) for mask in masks]
        visible = cuts[0] if shape.visible is not None else np.zeros_like(cuts[0])
        whole = np.logical_or(cuts[0], cuts[-1])
        visible, whole = np.ascontiguousarray(visible), np.ascontiguousarray(whole)
        return _Cutout(shape.id, shape.text, shape.rgb, visible, whole, top, left, size, scale, style)

    @cached_property
    def area(self) -> int:
        return int(np.count_nonzero(self.amodal))

    def _corner(self, top: int = 0, left: int = 0) -> tuple[int, int]:
        """Return (x, y) on the canvas of a pixel of the cut-out."""
        return (self.left + left) * self.scale, (self.top + top) * self.scale

    def fill_visible(self, canvas: Image.Image) -> None:
        alpha, corner = self._alpha(self.visible)
        canvas.paste(self.rgb, corner, alpha.point(_gain(_VISIBLE_ALPHA)))

    def hatch_occluded(self, canvas: Image.Image) -> None:
        alpha, (x, y) = self._alpha(self.amodal & ~self.visible)
        stripes = self.style.hatching(1 if self.id % 2 else -1).crop((x, y, x + alpha.width, y + alpha.height))
        canvas.paste(DARK, (x, y), alpha.point(_gain(_SHADE_ALPHA)))
        canvas.paste(self.rgb, (x, y), ImageChops.multiply(alpha, stripes))

    def _alpha(self, mask: Mask) -> tuple[Image.Image, tuple[int, int]]:
        """Return a part of the object as alpha on the canvas, cropped to its bounding box, and its corner (x, y)."""
        top, left, bottom, right = _box(mask) or (0, 0, 0, 0)
        return _enlarge_mask(mask[top:bottom, left:right], self.scale), self._corner(top, left)

    def outline(self, canvas: Image.Image) -> None:
        """Paint the outline over a dark casing, dashed where no visible pixel is near."""
        height, width = self.amodal.shape
        size = width * self.scale * _SUPERSAMPLING, height * self.scale * _SUPERSAMPLING
        line, casing = Image.new("L", size), Image.new("L", size)
        pens = [
            (ImageDraw.Draw(casing), self.style.line + 2 * self.style.casing, round(255 * _CASING_ALPHA)),
            (ImageDraw.Draw(line), self.style.line, 255),
        ]
        for stroke in self._strokes():
            points = (stroke * (self.scale * _SUPERSAMPLING)).view(float).tolist()
            for pen, pen_width, alpha in pens:
                pen.line(points, fill=alpha, width=round(pen_width * _SUPERSAMPLING))
        canvas.paste(DARK, self._corner(), casing.reduce(_SUPERSAMPLING))
        canvas.paste(self.rgb, self._corner(), line.reduce(_SUPERSAMPLING))

    def _strokes(self) -> Iterator[Points]:
        """Yield the painted pieces of the outline, in frame pixels of the cut-out."""
        reach = max(1, round(self.style.line / self.scale))
        near_visible = np.asarray(Image.fromarray(self.visible).convert("L").filter(ImageFilter.BoxBlur(reach))) > 0
        for contour in trace_contours(self.amodal):
            stride = max(1, min(round(1.5 * self.style.line / self.scale), len(contour.points) // 4))
            points = smooth(contour.points, 3 + 2 * math.ceil(self.style.unit))[::stride]
            solid = near_visible.ravel()[contour.inside[::stride]]
            dashed = on_dash(points, self.scale, *self.style.dash)
            yield from stretches(points, (solid | dashed) & ~self._on_border(contour.points[::stride]))

    def _on_border(self, points: Points) -> Bool[np.ndarray, " p"]:
        """Return which points lie on the border of the image, where the object is cut off."""
        height, width = self.frame_size
        x, y = points.real + self.left, points.imag + self.top
        return (x <= 0) | (y <= 0) | (x >= width) | (y >= height)

    def label_places(self) -> Float[np.ndarray, "p 2"]:
        """Return places for the label on the visible part, or on the occluded part if nothing is visible."""
        mask = self.visible if self.visible.any() else self.amodal
        top, left, bottom, right = _box(mask) or (0, 0, 1, 1)
        return (rank_places(mask[top:bottom, left:right]) + (left, top)) * self.scale + self._corner()


def _box(mask: Mask) -> tuple[int, int, int, int] | None:
    """Return (top, left, bottom, right) of a mask, None if it is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _enlarge_mask(mask: Mask, scale: int) -> Image.Image:
    """Return the mask as alpha on the canvas, with smoothed steps from 3 times on, where they would be visible."""
    alpha = Image.fromarray(mask).convert("L")
    if scale == 1 or not mask.size:
        return alpha
    size = mask.shape[1] * scale, mask.shape[0] * scale
    if scale == 2:
        return alpha.resize(size, Image.Resampling.NEAREST)
    return alpha.resize(size, Image.Resampling.BILINEAR).point(_gain(1.0, scale))


@lru_cache(maxsize=16)
def _gain(opacity: float, contrast: int = 1) -> list[int]:
    """Return a lookup table for alpha that raises the contrast around the middle and applies an opacity."""
    return [round(opacity * min(255, max(0, 127.5 + (v - 127.5) * contrast))) for v in range(256)]
