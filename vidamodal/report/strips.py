"""Film strips of single objects: small pictures of the visible mask, the ground truth, predictions and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vidamodal.media.images import encode_image
from vidamodal.metrics.shapes import erode
from vidamodal.report.colours import FALSE_NEGATIVE, FALSE_POSITIVE, OCCLUDED, VISIBLE, Colour
from vidamodal.types import ClipTracks, Frame, InputError, Mask, Rle, Track

SIDE = 192
"""Height and width of a picture in pixels."""
FRAMES = 8
"""Maximum number of pictures in a row."""
_EDGE: Colour = (250, 250, 250)
_BACKGROUND, _OTHER_OBJECTS = 104, 72
"""Grey levels in place of a missing video."""
_MARGIN = 1.3
_MIN_SIDE = 32
_QUALITY = 72

FrameSource = Callable[[], Iterator[Frame] | None]
"""Opens the video of a clip; returns None if there is no video."""


@dataclass(frozen=True)
class StripRow:
    """One row of a strip.

    Attributes:
        title: What the row shows: visible, truth, prediction or error.
        method: The method that predicted it; None for ground truth.
        pictures: One WebP image per frame.
    """

    title: str
    method: str | None
    pictures: tuple[bytes, ...]


@dataclass(frozen=True)
class Strip:
    """The film strip of one object.

    Attributes:
        label: Label of the object.
        frames: Numbers of the frames shown.
        rows: Rows of pictures.
        plain_reason: Why the background is plain; None if it is the video.
    """

    label: str | None
    frames: tuple[int, ...]
    rows: tuple[StripRow, ...]
    plain_reason: str | None


def film_strip(
    truth: ClipTracks, frames: FrameSource, track_id: int, predictions: Mapping[str, ClipTracks | None]
) -> Strip:
    """Render the film strip of one object of a clip.

    Frames are spread over those in which the object is annotated and its true amodal mask is not empty. Each is cropped
    to a square around all masks of the object; the squares of a strip have the same size.

    Args:
        truth: Ground truth of the clip.
        frames: Opens the video of the clip.
        track_id: The object.
        predictions: Predicted tracks by method; None for a method without a prediction.
    """
    track = next(track for track in truth.tracks if track.id == track_id)
    amodal = _amodal(track, truth)
    predicted = {name: _predicted(clip, track_id, truth) for name, clip in predictions.items()}
    shown = _spread([t for t, mask in enumerate(amodal) if mask and mask.area() and track.visible[t] is not None])
    windows = _windows([[masks[t] for masks in (amodal, *predicted.values())] for t in shown], truth)
    video, plain_reason = _read_frames(frames, truth, shown)
    views = []
    for t, window in zip(shown, windows, strict=True):
        background = _plain_background(truth, track_id, t) if plain_reason else video[t]
        masks = window.crop_mask(track.visible[t]), window.crop_mask(amodal[t])
        views.append(_View(t, window, window.crop(background), *masks))

    rows = [
        StripRow("visible", None, tuple(_webp(_paint(view.picture, [(view.visible, VISIBLE)])) for view in views)),
        StripRow("truth", None, tuple(_webp(view.paint_object(view.amodal)) for view in views)),
    ]
    for name, masks_by_frame in predicted.items():
        crops = [(view, view.window.crop_mask(masks_by_frame[view.frame])) for view in views]
        rows.append(StripRow("prediction", name, tuple(_webp(view.paint_object(mask)) for view, mask in crops)))
        rows.append(StripRow("error", name, tuple(_webp(view.paint_errors(mask)) for view, mask in crops)))
    return Strip(track.label, tuple(shown), tuple(rows), plain_reason)


@dataclass(frozen=True)
class _Window:
    """A square of a frame; it may extend beyond the image, where it is black."""

    top: int
    left: int
    side: int

    def crop(self, frame: Frame) -> Frame:
        return np.asarray(self._resize(Image.fromarray(frame)))

    def crop_mask(self, mask: Rle | None) -> Mask:
        if mask is None:
            return np.zeros((SIDE, SIDE), dtype=bool)
        return np.asarray(self._resize(Image.fromarray(mask.decode()).convert("L"))) > 127

    def _resize(self, image: Image.Image) -> Image.Image:
        box = self.left, self.top, self.left + self.side, self.top + self.side
        return image.crop(box).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class _View:
    """A frame cropped to a window: the picture and the true masks of the object."""

    frame: int
    window: _Window
    picture: Frame
    visible: Mask
    amodal: Mask

    def paint_object(self, mask: Mask) -> Frame:
        """Paint the visible and the occluded part of an amodal mask in two colours."""
        return _paint(self.picture, [(mask & self.visible, VISIBLE), (mask & ~self.visible, OCCLUDED)])

    def paint_errors(self, mask: Mask) -> Frame:
        """Paint the false positives and false negatives of a mask over the dark grey picture with the true outline."""
        grey = np.asarray(Image.fromarray(self.picture).convert("L"))[..., None].repeat(3, axis=2)
        picture = _paint((20 + 0.45 * grey).astype(np.uint8), [(self.amodal, _EDGE)], opacity=0.1)
        errors = [(mask & ~self.amodal, FALSE_POSITIVE), (self.amodal & ~mask, FALSE_NEGATIVE)]
        return _paint(picture, errors, opacity=0.85)


def _paint(picture: Frame, parts: Sequence[tuple[Mask, Colour]], opacity: float = 0.4) -> Frame:
    """Fill parts with their colours, opaque along the outline of their union."""
    painted = picture.astype(np.float32)
    union = np.logical_or.reduce([mask for mask, _ in parts])
    edge = union & ~erode(union)
    for mask, rgb in parts:
        painted[mask] += opacity * (np.array(rgb) - painted[mask])
        painted[mask & edge] = rgb
    return painted.round().astype(np.uint8)


def _amodal(track: Track | None, truth: ClipTracks) -> tuple[Rle | None, ...]:
    return (track.amodal if track else None) or (None,) * truth.video.frames


def _predicted(prediction: ClipTracks | None, track_id: int, truth: ClipTracks) -> tuple[Rle | None, ...]:
    tracks = prediction.tracks if prediction else ()
    return _amodal(next((track for track in tracks if track.id == track_id), None), truth)


def _spread(frames: Sequence[int]) -> list[int]:
    """Select at most ``FRAMES`` frames at even steps, the first and the last included."""
    places = np.linspace(0, len(frames) - 1, min(len(frames), FRAMES)).round().astype(int)
    return [frames[k] for k in places]


def _windows(masks: Sequence[Sequence[Rle | None]], truth: ClipTracks) -> list[_Window]:
    """Return a square around the masks of each frame, all of the size of the largest, inside the image if they fit."""
    height, width = truth.video.height, truth.video.width
    corners = [np.array([box for mask in group if mask and (box := mask.box())]) for group in masks]
    boxes = np.array([[*group[:, :2].min(axis=0), *group[:, 2:].max(axis=0)] for group in corners])
    extent = (boxes[:, 2:] - boxes[:, :2]).max()
    side = int(np.clip(round(_MARGIN * extent), min(_MIN_SIDE, height, width), max(height, width)))
    room = np.sort([[0, 0], [height - side, width - side]], axis=0)
    starts = np.clip((boxes[:, :2] + boxes[:, 2:] - side) // 2, *room)
    return [_Window(int(top), int(left), side) for top, left in starts]


def _read_frames(frames: FrameSource, truth: ClipTracks, shown: Sequence[int]) -> tuple[dict[int, Frame], str | None]:
    """Return the shown frames of the video by number, or the reason why there are none."""
    try:
        video = frames()
        if video is None:
            return {}, "the video is missing"
        pictures = {t: frame for t, frame in zip(range(shown[-1] + 1), video, strict=False) if t in shown}
    except InputError:
        return {}, "the video cannot be read"
    size = truth.video.height, truth.video.width
    if len(pictures) < len(shown) or any(frame.shape[:2] != size for frame in pictures.values()):
        return {}, "the video has another size or length"
    return pictures, None


def _plain_background(truth: ClipTracks, track_id: int, t: int) -> Frame:
    """Return a grey frame, darker where other objects are visible."""
    frame = np.full((truth.video.height, truth.video.width, 3), _BACKGROUND, dtype=np.uint8)
    for track in truth.tracks:
        mask = track.visible[t]
        if mask is not None and track.id != track_id:
            frame[mask.decode()] = _OTHER_OBJECTS
    return frame


def _webp(picture: Frame) -> bytes:
    return encode_image(picture, ".webp", quality=_QUALITY, method=6)
