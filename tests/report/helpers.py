"""Shared data of the tests of overlays and reports."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html.parser import HTMLParser

import numpy as np
from PIL import Image, ImageFilter

from vidamodal.report.overlay import ObjectMasks
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 190, (height, width, 3), dtype=np.uint8)


def box(height: int, width: int, top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((height, width), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def dilated(mask: np.ndarray, scale: int) -> np.ndarray:
    """The mask on the canvas, dilated by the width of the outline."""
    pixels = -(-5 // scale)
    wide = np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(2 * pixels + 1))) > 0
    return wide.repeat(scale, 0).repeat(scale, 1)


def half_occluded(size: int = 600) -> ObjectMasks:
    """An object whose left half is visible; its label is on that half."""
    return ObjectMasks(3, box(size, size, 150, 100, 450, 300), box(size, size, 150, 100, 450, 500))


def clip(frames: int, height: int = 40, width: int = 60) -> ClipTracks:
    """A box that moves behind the right half of the image, and a track without masks in odd frames."""
    amodal = [box(height, width, 10, 4 + t, 30, 34 + t) for t in range(frames)]
    visible = [mask & box(height, width, 0, 0, height, 30) for mask in amodal]
    odd = [None if t % 2 else Rle.encode(box(height, width, 2, 40, 8, 50)) for t in range(frames)]
    return ClipTracks(
        VideoInfo("clip.mp4", height, width, frames, 12.0),
        (
            Track(1, tuple(map(Rle.encode, visible)), tuple(map(Rle.encode, amodal))),
            Track(7, tuple(odd), tuple(odd)),
        ),
    )


def still(labels: Sequence[str], seen: Sequence[int], frames: int = 4) -> ClipTracks:
    """Objects of 16 x 16 pixels side by side; ``seen`` is the number of visible columns of each."""
    tracks = []
    for number, (label, columns) in enumerate(zip(labels, seen, strict=True)):
        whole = np.zeros((64, 64), dtype=bool)
        whole[20:36, 20 * number + 2 : 20 * number + 18] = True
        visible = whole.copy()
        visible[:, 20 * number + 2 + columns :] = False
        tracks.append(Track(number, (Rle.encode(visible),) * frames, (Rle.encode(whole),) * frames, label=label))
    return ClipTracks(VideoInfo("clip.mp4", 64, 64, frames, 12.0), tuple(tracks))


VOID = {"meta", "img", "br", "circle", "path", "line", "input"}


class Page(HTMLParser):
    """Parses a page strictly (every element is closed, in order) and keeps attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def pictures(self) -> list[np.ndarray]:
        uris = [value for tag, name, value in self.attributes if (tag, name) == ("img", "src")]
        assert all(uri.startswith("data:image/webp;base64,") for uri in uris)
        return [np.array(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))) for uri in uris]
