"""Film strips of single objects: small pictures of what is visible, true, predicted and wrong through a clip."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vidamodal.metrics.shapes import erode
from vidamodal.report.colours import FALSE_NEGATIVE, FALSE_POSITIVE, OCCLUDED, VISIBLE, Colour
from vidamodal.types import ClipTracks, Frame, InputError, Mask, Rle, Track

SIDE = 192
"""Pixels along each side of a picture."""
FRAMES = 8
"""Pictures in a row, at most."""
_EDGE: Colour = (250, 250, 250)
_GROUND, _OTHERS = 104, 72
"""Greys where there is no video, the second one under other objects."""
_MARGIN = 1.3
_LEAST = 32
_QUALITY = 72


@dataclass(frozen=True)
class Row:
    """One WebP for each frame of a strip; ``method`` is None where it shows the truth."""

    title: str
    method: str | None
    pictures: tuple[bytes, ...]


@dataclass(frozen=True)
class Strip:
    """An object at some frames of its clip. ``plain`` says why the ground is plain; None where it is the video."""

    label: str | None
    frames: tuple[int, ...]
    rows: tuple[Row, ...]
    plain: str | None


def film_strip(
    truth: ClipTracks,
    frames: Callable[[], Iterator[Frame] | None],
    number: int,
    predictions: Mapping[str, ClipTracks | None],
) -> Strip:
    """The object ``number`` of a true clip, and what each method predicted for it; None stands for nothing at all.

    ``frames`` gives the pictures of the clip, or None if they are not there.

    The frames are spread over those where the truth knows the object and has a pixel of it. Each is cut out in a square
    around all masks that are drawn there, and the squares are of one size.
    """
    track = next(track for track in truth.tracks if track.id == number)
    whole = _amodal(track, truth)
    guesses = {name: _predicted(prediction, number, truth) for name, prediction in predictions.items()}
    shown = _spread([t for t, mask in enumerate(whole) if mask and mask.area() and track.visible[t] is not None])
    windows = _windows([[masks[t] for masks in (whole, *guesses.values())] for t in shown], truth)
    video, plain = _pictures(frames, truth, shown)
    views = []
    for t, window in zip(shown, windows, strict=True):
        ground = _plain(truth, number, t) if plain else video[t]
        views.append(_View(t, window, window.picture(ground), window.mask(track.visible[t]), window.mask(whole[t])))

    rows = [Row("visible", None, tuple(_webp(_painted(view.picture, [(view.seen, VISIBLE)])) for view in views))]
    rows.append(Row("truth", None, tuple(_webp(view.completed(view.whole)) for view in views)))
    for name, masks in guesses.items():
        cut = [(view, view.window.mask(masks[view.frame])) for view in views]
        rows.append(Row("prediction", name, tuple(_webp(view.completed(mask)) for view, mask in cut)))
        rows.append(Row("error", name, tuple(_webp(view.wrong(mask)) for view, mask in cut)))
    return Strip(track.label, tuple(shown), tuple(rows), plain)


@dataclass(frozen=True)
class _Window:
    """The square of a frame that is looked at; it may reach beyond the image, which is black there."""

    top: int
    left: int
    side: int

    def picture(self, frame: Frame) -> Frame:
        return np.asarray(self._cut(Image.fromarray(frame)))

    def mask(self, mask: Rle | None) -> Mask:
        if mask is None:
            return np.zeros((SIDE, SIDE), dtype=bool)
        return np.asarray(self._cut(Image.fromarray(mask.decode()).convert("L"))) > 127

    def _cut(self, image: Image.Image) -> Image.Image:
        box = self.left, self.top, self.left + self.side, self.top + self.side
        return image.crop(box).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class _View:
    """A frame as a window shows it: the picture, and the true masks of the object in it."""

    frame: int
    window: _Window
    picture: Frame
    seen: Mask
    whole: Mask

    def completed(self, mask: Mask) -> Frame:
        """A whole object, its visible and its hidden part in two colours."""
        return _painted(self.picture, [(mask & self.seen, VISIBLE), (mask & ~self.seen, OCCLUDED)])

    def wrong(self, mask: Mask) -> Frame:
        """What a mask has too much and too little, over the picture in dark grey with the true outline."""
        grey = np.asarray(Image.fromarray(self.picture).convert("L"))[..., None].repeat(3, axis=2)
        picture = _painted((20 + 0.45 * grey).astype(np.uint8), [(self.whole, _EDGE)], opacity=0.1)
        return _painted(
            picture, [(mask & ~self.whole, FALSE_POSITIVE), (self.whole & ~mask, FALSE_NEGATIVE)], opacity=0.85
        )


def _painted(picture: Frame, parts: Sequence[tuple[Mask, Colour]], opacity: float = 0.4) -> Frame:
    """Parts filled with their colours, more strongly along the outline of them all together."""
    painted = picture.astype(np.float32)
    union = np.logical_or.reduce([mask for mask, _ in parts])
    edge = union & ~erode(union)
    for mask, rgb in parts:
        painted[mask] += opacity * (np.array(rgb) - painted[mask])
        painted[mask & edge] = rgb
    return painted.round().astype(np.uint8)


def _amodal(track: Track | None, truth: ClipTracks) -> tuple[Rle | None, ...]:
    """A track's amodal masks, none in every frame if it has none."""
    return (track.amodal if track else None) or (None,) * truth.video.frames


def _predicted(prediction: ClipTracks | None, number: int, truth: ClipTracks) -> tuple[Rle | None, ...]:
    tracks = prediction.tracks if prediction else ()
    return _amodal(next((track for track in tracks if track.id == number), None), truth)


def _spread(frames: Sequence[int]) -> list[int]:
    """At most ``FRAMES`` of them, from the first to the last at even steps."""
    places = np.linspace(0, len(frames) - 1, min(len(frames), FRAMES)).round().astype(int)
    return [frames[k] for k in places]


def _windows(masks: Sequence[Sequence[Rle | None]], truth: ClipTracks) -> list[_Window]:
    """A square for each frame around its masks, as large as the largest needs; inside the image where it fits."""
    height, width = truth.video.height, truth.video.width
    corners = [np.array([box for mask in group if mask and (box := mask.box())]) for group in masks]
    boxes = np.array([[*group[:, :2].min(axis=0), *group[:, 2:].max(axis=0)] for group in corners])
    extent = (boxes[:, 2:] - boxes[:, :2]).max()
    side = int(np.clip(round(_MARGIN * extent), min(_LEAST, height, width), max(height, width)))
    room = np.sort([[0, 0], [height - side, width - side]], axis=0)
    starts = np.clip((boxes[:, :2] + boxes[:, 2:] - side) // 2, *room)
    return [_Window(int(top), int(left), side) for top, left in starts]


def _pictures(
    frames: Callable[[], Iterator[Frame] | None], truth: ClipTracks, shown: Sequence[int]
) -> tuple[dict[int, Frame], str | None]:
    """The video's frames with these numbers, or why there are none."""
    try:
        video = frames()
        if video is None:
            return {}, "its video is not at hand"
        found = {t: frame for t, frame in zip(range(shown[-1] + 1), video, strict=False) if t in shown}
    except InputError:
        return {}, "its video cannot be read"
    size = truth.video.height, truth.video.width
    if len(found) < len(shown) or any(frame.shape[:2] != size for frame in found.values()):
        return {}, "its video has another size or length"
    return found, None


def _plain(truth: ClipTracks, number: int, t: int) -> Frame:
    """Grey, darker where other objects are visible."""
    frame = np.full((truth.video.height, truth.video.width, 3), _GROUND, dtype=np.uint8)
    for track in truth.tracks:
        mask = track.visible[t]
        if mask is not None and track.id != number:
            frame[mask.decode()] = _OTHERS
    return frame


def _webp(picture: Frame) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="WEBP", quality=_QUALITY, method=6)
    return buffer.getvalue()
