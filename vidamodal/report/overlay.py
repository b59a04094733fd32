"""Pictures of what is visible and of what is hidden, drawn over the frame.

How to read one: a *visible* part is filled with the object's colour, a *hidden* part is hatched with it, and a line
round the whole object is solid where its edge is seen and dashed where it is inferred, as in a technical drawing.

Everything is an 8-bit alpha mask of one object's box, pasted in one colour; a pixel that no mask covers is left as it
was. Line widths, hatch and text grow with the picture, and a frame below 512 px is enlarged by a whole factor first,
because a hatch needs pixels to be legible.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Bool, Complex, Float, Int, UInt8
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from vidamodal.types import ClipTracks

Frame = UInt8[np.ndarray, "h w 3"]
Mask = Bool[np.ndarray, "h w"]
Points = Complex[np.ndarray, " p"]
"""Points of a line as x + iy, which makes their distances and averages one operation."""
Colour = tuple[int, int, int]

MIN_SIDE = 512
_DARK: Colour = (12, 12, 18)
_GOLDEN = (math.sqrt(5) - 1) / 2
_FIRST_HUE = 0.5
_LIGHTNESS = (0.72, 0.76, 0.68, 0.80, 0.64, 0.84)
_MAX_CHROMA = 0.20
_VISIBLE_ALPHA = 0.50
_HATCH_ALPHA = 0.95
_HATCH_DUTY = 0.38
_SHADE_ALPHA = 0.25
_CASING_ALPHA = 0.65
_SUPERSAMPLING = 2
_LABEL_GRID = 24


@dataclass(frozen=True)
class Drawn:
    """One object of one frame, as (h, w) masks.

    Without ``amodal`` the visible part is taken for the whole; without ``visible`` all of ``amodal`` is inferred, and
    drawn as hidden. ``label`` is written in place of the id, ``rgb`` is taken in place of the id's colour.
    """

    id: int
    visible: Mask | None
    amodal: Mask | None
    label: str | None = None
    rgb: Colour | None = None


def drawn_at(tracks: ClipTracks, frame: int) -> list[Drawn]:
    """The objects of one frame, decoded; those with neither mask there are left out."""
    objects = []
    for track in tracks.tracks:
        visible = track.visible[frame]
        amodal = track.amodal[frame] if track.amodal else None
        if visible or amodal:
            objects.append(Drawn(track.id, visible.decode() if visible else None, amodal.decode() if amodal else None))
    return objects


def overlay_frames(frames: Iterable[Frame], tracks: ClipTracks) -> Iterator[Frame]:
    """The overlay of every frame, one at a time: nothing is kept but the frame being drawn.

    Raises:
        ValueError: there are more or fewer frames than ``tracks.video.frames``, or one has another size.
    """
    for index, frame in zip(range(tracks.video.frames), frames, strict=True):
        yield draw(frame, drawn_at(tracks, index))


def draw(frame: Frame, objects: Sequence[Drawn]) -> Frame:
    """Draws the objects over a copy of the frame.

    The order of ``objects`` does not matter.

    Returns:
        (s h, s w, 3) with s = ``canvas_scale(h, w)``; pixels away from the objects equal ``enlarge(frame)``.

    Raises:
        ValueError: a mask has another size than the frame.
    """
    height, width = frame.shape[:2]
    scale = canvas_scale(height, width)
    canvas = Image.fromarray(enlarge(frame))
    style = _Style(canvas.width, canvas.height)
    shapes = [_Shape.of(item, (height, width), scale, style) for item in objects]
    present = sorted((shape for shape in shapes if shape), key=lambda shape: (-shape.area, shape.id))
    for shape in present:
        shape.fill_visible(canvas)
    for shape in present:
        shape.hatch_hidden(canvas)
    for shape in present:
        shape.outline(canvas)
    _write_labels(canvas, present, style)
    return np.array(canvas)


def canvas_scale(height: int, width: int) -> int:
    """How many times larger the overlay of a frame is: 1 from 512 px on the longer side."""
    return max(1, -(-MIN_SIDE // max(height, width)))


def enlarge(frame: Frame) -> Frame:
    """(h, w, 3) -> (s h, s w, 3): the frame as ``draw`` starts from it."""
    height, width = frame.shape[:2]
    scale = canvas_scale(height, width)
    if scale == 1:
        return frame
    return np.array(Image.fromarray(frame).resize((width * scale, height * scale), Image.Resampling.BICUBIC))


@lru_cache(maxsize=4096)
def colour(object_id: int) -> Colour:
    """RGB of an object, a function of its id alone.

    Hues in Oklab (Ottosson 2020) go round by the golden ratio, so the ids in use are far apart however many there are;
    each has the lightness, within a band that shows on dark and bright frames, at which sRGB holds most of its chroma.
    """
    hue = 2 * math.pi * ((_FIRST_HUE + object_id * _GOLDEN) % 1)
    lightness = max(_LIGHTNESS, key=lambda value: _chroma(value, hue))
    linear = _oklch_to_linear(lightness, _chroma(lightness, hue), hue)
    red, green, blue = (round(255 * (12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055)) for v in linear)
    return red, green, blue


def _chroma(lightness: float, hue: float) -> float:
    """The most chroma that sRGB holds, up to a cap."""
    chroma = _MAX_CHROMA
    while min(rgb := _oklch_to_linear(lightness, chroma, hue)) < 0 or max(rgb) > 1:
        chroma -= 0.005
    return chroma


def _oklch_to_linear(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


@dataclass(frozen=True)
class _Style:
    """Sizes in canvas pixels, from the canvas' own size: 1 unit up to 640x640, 1.5 at 720p, 4.5 at 4K."""

    width: int
    height: int

    @property
    def unit(self) -> float:
        return max(1.0, math.sqrt(self.width * self.height) / 640)

    @property
    def line(self) -> float:
        return 2.0 * self.unit

    @property
    def casing(self) -> float:
        return 1.0 * self.unit

    @property
    def dash(self) -> tuple[float, float]:
        """Length of a dash and of the gap after it."""
        return 8.0 * self.unit, 6.0 * self.unit

    @property
    def margin(self) -> int:
        """How far a line may reach beyond the mask."""
        return math.ceil(self.line / 2 + self.casing) + 1

    def hatch(self, direction: int) -> Image.Image:
        return _hatch(self.width, self.height, 8.0 * self.unit, direction)

    @property
    def label_font(self) -> ImageFont.FreeTypeFont:
        return font(round(16 * self.unit))


@lru_cache(maxsize=4)
def _hatch(width: int, height: int, period: float, direction: int) -> Image.Image:
    """Anti-aliased diagonal stripes over the whole canvas, as alpha; they stand still while objects move."""
    y, x = np.ogrid[:height, :width]
    phase = ((x + direction * y) / (math.sqrt(2) * period)) % 1
    distance = (_HATCH_DUTY / 2 - abs(phase - 0.5)) * period
    return Image.fromarray((np.clip(distance + 0.5, 0, 1) * (255 * _HATCH_ALPHA)).astype(np.uint8))


@lru_cache(maxsize=16)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own typeface, so that pictures are the same on every machine."""
    typeface = ImageFont.load_default(size)
    if not isinstance(typeface, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow was built without FreeType, which writes the labels")
    return typeface


@dataclass(frozen=True)
class _Shape:
    """One object cut out with a margin: masks in frame pixels, drawing in canvas pixels."""

    id: int
    text: str
    rgb: Colour
    visible: Mask
    amodal: Mask
    top: int
    left: int
    frame_size: tuple[int, int]
    scale: int
    style: _Style

    @staticmethod
    def of(item: Drawn, size: tuple[int, int], scale: int, style: _Style) -> _Shape | None:
        """The object's cut-out, or None if it has no pixel."""
        for mask in (item.visible, item.amodal):
            if mask is not None and mask.shape != size:
                raise ValueError(f"object {item.id}: a mask of shape {mask.shape} over a frame of shape {size}")
        masks = [mask for mask in (item.visible, item.amodal) if mask is not None]
        boxes = [box for mask in masks if (box := _box(mask))]
        if not boxes:
            return None
        margin = math.ceil(style.margin / scale)
        top, left = (max(0, min(box[i] for box in boxes) - margin) for i in (0, 1))
        bottom, right = (max(box[i] for box in boxes) + margin for i in (2, 3))
        cuts = [mask[top:bottom, left:right] for mask in masks]
        visible = cuts[0] if item.visible is not None else np.zeros_like(cuts[0])
        text = item.label if item.label is not None else str(item.id)
        rgb = colour(item.id) if item.rgb is None else item.rgb
        return _Shape(item.id, text, rgb, visible, np.logical_or(cuts[0], cuts[-1]), top, left, size, scale, style)

    @cached_property
    def area(self) -> int:
        return int(np.count_nonzero(self.amodal))

    @property
    def corner(self) -> tuple[int, int]:
        """(x, y) of the cut-out on the canvas."""
        return self.left * self.scale, self.top * self.scale

    def fill_visible(self, canvas: Image.Image) -> None:
        alpha, corner = self._alpha(self.visible)
        canvas.paste(self.rgb, corner, alpha.point(_gain(_VISIBLE_ALPHA)))

    def hatch_hidden(self, canvas: Image.Image) -> None:
        alpha, (x, y) = self._alpha(self.amodal & ~self.visible)
        stripes = self.style.hatch(1 if self.id % 2 else -1).crop((x, y, x + alpha.width, y + alpha.height))
        canvas.paste(_DARK, (x, y), alpha.point(_gain(_SHADE_ALPHA)))
        canvas.paste(self.rgb, (x, y), ImageChops.multiply(alpha, stripes))

    def _alpha(self, mask: Mask) -> tuple[Image.Image, tuple[int, int]]:
        """A part of the object as alpha on the canvas, no larger than it must be, and its corner (x, y) there."""
        top, left, bottom, right = _box(mask) or (0, 0, 0, 0)
        corner = (self.left + left) * self.scale, (self.top + top) * self.scale
        return _enlarge_mask(mask[top:bottom, left:right], self.scale), corner

    def outline(self, canvas: Image.Image) -> None:
        """The line round the whole object over a dark casing, dashed where no visible pixel is near."""
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
        canvas.paste(_DARK, self.corner, casing.reduce(_SUPERSAMPLING))
        canvas.paste(self.rgb, self.corner, line.reduce(_SUPERSAMPLING))

    def _strokes(self) -> Iterator[Points]:
        """Pieces of the outline to draw, in frame pixels of the cut-out."""
        reach = max(1, round(self.style.line / self.scale))
        near_visible = np.asarray(Image.fromarray(self.visible).convert("L").filter(ImageFilter.BoxBlur(reach))) > 0
        for edge in _contours(self.amodal):
            stride = max(1, min(round(1.5 * self.style.line / self.scale), len(edge.points) // 4))
            points = _smooth(edge.points, 3 + 2 * math.ceil(self.style.unit))[::stride]
            solid = near_visible.ravel()[edge.inside[::stride]]
            yield from _runs(points, (solid | self._dashes(points)) & ~self._on_border(edge.points[::stride]))

    def _dashes(self, points: Points) -> Bool[np.ndarray, " p"]:
        """Which points lie on a dash; a whole number of dashes goes round."""
        along = np.cumsum(abs(points - _from(points, -1))) * self.scale
        dash, gap = self.style.dash
        count = max(1, round(along[-1] / (dash + gap)))
        return along * (count / max(along[-1], 1e-6)) % 1 < dash / (dash + gap)

    def _on_border(self, points: Points) -> Bool[np.ndarray, " p"]:
        """Where the image cuts the object there is no edge to draw."""
        height, width = self.frame_size
        x, y = points.real + self.left, points.imag + self.top
        return (x <= 0) | (y <= 0) | (x >= width) | (y >= height)


def _box(mask: Mask) -> tuple[int, int, int, int] | None:
    """(top, left, bottom, right) of the pixels inside, None for none."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _enlarge_mask(mask: Mask, scale: int) -> Image.Image:
    """The mask as alpha on the canvas. From 3 times on its steps would show beside the line, so they are levelled."""
    alpha = Image.fromarray(mask).convert("L")
    if scale == 1 or not mask.size:
        return alpha
    size = mask.shape[1] * scale, mask.shape[0] * scale
    if scale == 2:
        return alpha.resize(size, Image.Resampling.NEAREST)
    return alpha.resize(size, Image.Resampling.BILINEAR).point(_gain(1.0, scale))


@lru_cache(maxsize=16)
def _gain(opacity: float, contrast: int = 1) -> list[int]:
    """A table for alpha: steeper round the middle, then fainter."""
    return [round(opacity * min(255, max(0, 127.5 + (v - 127.5) * contrast))) for v in range(256)]


@dataclass(frozen=True)
class _Contour:
    """A closed edge: the midpoints of the sides of pixels along it in order, and the flat index of each one's pixel."""

    points: Points
    inside: Int[np.ndarray, " p"]


def _contours(mask: Mask) -> Iterator[_Contour]:
    """All edges of a mask, outer ones clockwise and holes anticlockwise, by following the sides of its pixels.

    As many sides enter a corner as leave it, so the sorted ends equal the sorted starts: pairing the two sequences
    gives each side a successor, and the successors form closed loops.
    """
    padded = np.pad(mask, 1)
    width = padded.shape[1]
    flat = padded.ravel()  # a corner has the index of the pixel to its lower right
    sides = ((-width, 0, 1), (1, 1, width + 1), (width, width + 1, width), (-1, width, 0))  # neighbour, start, end
    pixels = [np.flatnonzero(flat & ~np.roll(flat, -neighbour)) for neighbour, _, _ in sides]
    starts = np.concatenate([pixel + start for pixel, (_, start, _) in zip(pixels, sides, strict=True)])
    ends = np.concatenate([pixel + end for pixel, (_, _, end) in zip(pixels, sides, strict=True)])
    successor = np.empty_like(starts)
    successor[np.argsort(ends, kind="stable")] = np.argsort(starts, kind="stable")
    x, y = starts % width + ends % width, starts // width + ends // width
    points = (x + 1j * y) / 2 - (1 + 1j)
    pixel_y, pixel_x = np.divmod(np.concatenate(pixels), width)
    inside = (pixel_y - 1) * mask.shape[1] + pixel_x - 1
    for loop in _loops(successor.tolist()):
        yield _Contour(points[loop], inside[loop])


def _loops(successor: list[int]) -> Iterator[list[int]]:
    """The cycles of a permutation."""
    seen = [False] * len(successor)
    for first in range(len(successor)):
        loop = []
        while not seen[first]:
            seen[first] = True
            loop.append(first)
            first = successor[first]
        if loop:
            yield loop


def _from(points: np.ndarray, first: int) -> np.ndarray:
    """A closed sequence, begun elsewhere (``np.roll`` takes several times as long on short ones)."""
    return np.concatenate([points[first:], points[:first]])


def _smooth(points: Points, window: int) -> Points:
    """Moving average round a closed line, over less of it where it is short."""
    half = min(window, len(points) // 4) // 2
    wrapped = np.concatenate([points[len(points) - half :], points, points[:half]])
    return np.convolve(wrapped, np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid")


def _runs(points: Points, drawn: Bool[np.ndarray, " p"]) -> Iterator[Points]:
    """The drawn stretches of a closed line, each with the point after it."""
    if drawn.all():
        yield np.concatenate([points, points[:2]])
        return
    first = int(np.argmin(drawn))
    points = np.concatenate([_from(points, first), points[first : first + 1]])
    drawn = np.concatenate([_from(drawn, first), [False]])
    changes = (np.flatnonzero(drawn[1:] != drawn[:-1]) + 1).tolist()
    for begin, end in zip(changes[::2], changes[1::2], strict=True):
        yield points[begin : end + 1]


# Labels


def _write_labels(canvas: Image.Image, shapes: Sequence[_Shape], style: _Style) -> None:
    """One label an object, small objects first because they have the least room."""
    pen = ImageDraw.Draw(canvas)
    text_font, rim = style.label_font, max(1, round(1.8 * style.unit))
    taken: list[tuple[float, float, float, float]] = []
    for shape in reversed(shapes):
        left, top, right, bottom = pen.textbbox((0, 0), shape.text, font=text_font, anchor="mm", stroke_width=rim)
        half = (right - left) / 2, (bottom - top) / 2
        x, y = _free_place(_places(shape), half, taken, canvas.size)
        taken.append((x - half[0], y - half[1], x + half[0], y + half[1]))
        pen.text((x, y), shape.text, _pale(shape.rgb), text_font, "mm", stroke_width=rim, stroke_fill=_DARK)


def _pale(rgb: Colour) -> Colour:
    """Half way to white: the object's colour, legible as text on a dark rim."""
    red, green, blue = (round((v + 255) / 2) for v in rgb)
    return red, green, blue


def _places(shape: _Shape) -> Float[np.ndarray, "p 2"]:
    """Points (x, y) on the canvas where a label may stand, best first: in the thick of the visible part, else of the
    hidden one, near its middle."""
    mask = shape.visible if shape.visible.any() else shape.amodal
    top, left, bottom, right = _box(mask) or (0, 0, 1, 1)
    step = max(1, -(-max(bottom - top, right - left) // _LABEL_GRID))
    rows = np.logical_or.reduceat(mask[top:bottom, left:right], np.arange(0, bottom - top, step), axis=0)
    grid = np.pad(np.logical_or.reduceat(rows, np.arange(0, right - left, step), axis=1), 1)
    depth = np.zeros(grid.shape, dtype=int)
    while grid.any():
        depth += grid
        grid[1:-1, 1:-1] &= grid[:-2, 1:-1] & grid[2:, 1:-1] & grid[1:-1, :-2] & grid[1:-1, 2:]
    y, x = np.nonzero(depth)
    off_middle = np.hypot(y - y.mean(), x - x.mean())
    best = np.argsort(off_middle - 2.5 * np.minimum(depth[y, x], 5), kind="stable")
    cells = np.stack([x[best], y[best]], axis=1) - 1
    return (cells * step + (step / 2 + left, step / 2 + top)) * shape.scale + shape.corner


def _free_place(
    places: Float[np.ndarray, "p 2"],
    half: tuple[float, float],
    taken: Sequence[tuple[float, float, float, float]],
    size: tuple[int, int],
) -> tuple[float, float]:
    """The first place whose label overlaps no other, else the first; moved inside the picture."""
    room = np.asarray(size) - half
    centres = np.clip(np.round(places), half, np.maximum(room, half))
    free = np.ones(len(centres), dtype=bool)
    for left, top, right, bottom in taken:
        x, y = centres[:, 0], centres[:, 1]
        free &= (x + half[0] <= left) | (x - half[0] >= right) | (y + half[1] <= top) | (y - half[1] >= bottom)
    x, y = centres[int(np.argmax(free))]
    return float(x), float(y)
