"""Complete a live video: raw frames from a camera or another program on stdin, the overlay on stdout.

    mkfifo ids
    segment /dev/video0 > ids &                # your segmenter: a byte a pixel, the id of the object or 0
    ffmpeg -f v4l2 -i /dev/video0 -f rawvideo -pix_fmt rgb24 -s 640x480 - \
        | python scripts/live.py --size 640x480 --ids ids \
        | ffplay -f rawvideo -pixel_format rgb24 -video_size 640x480 -

A frame is read, completed and written before the next one is read. The time of the steps is printed at the end.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from vidamodal.commandline import Parser, run_command
from vidamodal.inference.stream import Stream
from vidamodal.report.overlay import ObjectMasks, render_overlay
from vidamodal.types import Frame, InputError, Mask


def main() -> None:
    """Parse the command line and complete frames until stdin ends."""
    parser = Parser(prog="scripts/live.py", description=__doc__)
    parser.add_argument("--size", required=True, metavar="WxH", help="width and height of the frames in pixels")
    parser.add_argument("--ids", required=True, type=Path, help="file or pipe with a map of ids for each frame")
    parser.add_argument("--model", default="tiny", help="a model folder or name (default: the bundled one)")
    parser.add_argument("--exhaustive", action="store_true", help="every object that may occlude another has an id")
    parser.add_argument("--window", type=int, help="frames that a step sees (default: 24)")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    raise SystemExit(run_command(partial(complete, options, sys.stdin.buffer, sys.stdout.buffer), "live"))


def complete(options: Namespace, source: BinaryIO, target: BinaryIO) -> None:
    """Complete all frames of a source.

    Args:
        options: The command line.
        source: Frames, rgb24.
        target: Where overlays are written, rgb24 of the same size.

    Raises:
        InputError: If an option is wrong, or if frames or ids end in the middle of a frame.
    """
    width, height = parse_size(options.size)
    stream = Stream(options.model, exhaustive=options.exhaustive, window=options.window, device=options.device)
    seconds = []
    with options.ids.open("rb") as ids:
        pictures = read_arrays(source, (height, width, 3), "stdin")
        for frame, labels in zip(pictures, read_arrays(ids, (height, width), str(options.ids)), strict=False):
            began = time.perf_counter()
            amodal = stream.step(frame, labels)
            seconds.append(time.perf_counter() - began)
            target.write(draw(frame, labels, amodal).tobytes())
            target.flush()
    longest = max(seconds, default=0.0)
    mean = sum(seconds) / max(len(seconds), 1)
    print(f"{len(seconds)} frames: {1000 * mean:.0f} ms a step, {1000 * longest:.0f} ms at most", file=sys.stderr)


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height. Raises InputError if the text is not WxH."""
    numbers = text.lower().split("x")
    if len(numbers) != 2 or not all(number.isdigit() and int(number) for number in numbers):
        raise InputError(f"--size: {text!r} is not WxH. Pass for example 640x480.")
    return int(numbers[0]), int(numbers[1])


def read_arrays(source: BinaryIO, shape: tuple[int, ...], name: str) -> Iterator[np.ndarray]:
    """Yield arrays of bytes until the source ends.

    Raises:
        InputError: The source ends in the middle of an array.
    """
    size = int(np.prod(shape))
    while data := source.read(size):
        if len(data) < size:
            raise InputError(f"{name}: ends after {len(data)} of the {size} bytes of a frame. Check --size.")
        yield np.frombuffer(data, dtype=np.uint8).reshape(shape)


def draw(frame: Frame, labels: np.ndarray, amodal: dict[int, Mask]) -> Frame:
    """Return the overlay of a frame, in its size."""
    objects = [ObjectMasks(key, labels == key, mask) for key, mask in amodal.items()]
    overlay = render_overlay(frame, objects)
    if overlay.shape == frame.shape:
        return overlay
    return np.array(Image.fromarray(overlay).resize((frame.shape[1], frame.shape[0]), Image.Resampling.BOX))


if __name__ == "__main__":
    main()
