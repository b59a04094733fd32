"""Cut-outs and mattes of a prediction for video editors.

A cut-out holds the pixels of the video inside the amodal mask of one object and is transparent elsewhere. Where the
object is occluded, these are the pixels of its occluder: vidamodal predicts shapes, not appearance. A matte is a
black-and-white mask of all objects in one occlusion layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from vidamodal.media.images import write_image
from vidamodal.media.mask_images import write_object_masks
from vidamodal.media.video_writer import open_cutout_video
from vidamodal.occlusion.layers import layers_of_clip
from vidamodal.rle import union
from vidamodal.types import ClipTracks, Frame, Rle

Cutout = UInt8[np.ndarray, "h w 4"]


def write_rgba(folder: Path, frames: Iterable[Frame], clip: ClipTracks) -> None:
    """Write the cut-outs of every object as ``folder/<id>/00000.png`` and so on, RGBA.

    Frames without an amodal mask (None) get no file. The files are not synced to disk.

    Args:
        folder: The folder to write to.
        frames: The frames of the video.
        clip: Tracks with amodal masks.
    """
    for track in clip.tracks:
        (folder / str(track.id)).mkdir(parents=True, exist_ok=True)
    for t, frame in enumerate(frames):
        for number, mask in _masks_at(clip, t):
            if mask is not None:
                write_image(folder / str(number) / f"{t:05d}.png", _cut_out(frame, mask))


def write_prores(folder: Path, frames: Iterable[Frame], clip: ClipTracks) -> None:
    """Write the cut-outs of every object as ``folder/<id>.mov``: ProRes 4444 with an alpha channel.

    Frames without an amodal mask (None) are transparent. The arguments are those of `write_rgba`.
    """
    empty = Rle.empty(clip.video.height, clip.video.width)
    with ExitStack() as stack:
        add = {
            track.id: stack.enter_context(open_cutout_video(folder / f"{track.id}.mov", clip.video.fps))
            for track in clip.tracks
        }
        for t, frame in enumerate(frames):
            for number, mask in _masks_at(clip, t):
                add[number](_cut_out(frame, mask or empty))


def write_layers(folder: Path, clip: ClipTracks) -> None:
    """Write the mattes of every occlusion layer as ``folder/<layer>/00000.png`` and so on, with the values 0 and 255.

    Layer 1 is in front. A matte is black where no object lies in the layer; frames in which no amodal mask is known get
    no file. The files are not synced to disk.
    """
    layers = layers_of_clip(clip)
    deepest = max((layer for frame in layers for layer in frame.values()), default=0)
    for layer in range(1, deepest + 1):
        write_object_masks(folder, layer, (_matte(clip, t, frame, layer) for t, frame in enumerate(layers)))


def _matte(clip: ClipTracks, t: int, layers: dict[int, int], layer: int) -> Rle | None:
    known = {number: mask for number, mask in _masks_at(clip, t) if mask is not None}
    if not known:
        return None
    return union(
        [
            Rle.empty(clip.video.height, clip.video.width),
            *(mask for number, mask in known.items() if layers.get(number) == layer),
        ]
    )


def _masks_at(clip: ClipTracks, t: int) -> Iterator[tuple[int, Rle | None]]:
    """Yield the id and the amodal mask of every track in a frame."""
    for track in clip.tracks:
        yield track.id, None if track.amodal is None else track.amodal[t]


def _cut_out(frame: Frame, mask: Rle) -> Cutout:
    inside = mask.decode()
    cutout = np.zeros((*inside.shape, 4), dtype=np.uint8)
    cutout[inside, :3] = frame[inside]
    cutout[inside, 3] = 255
    return cutout
