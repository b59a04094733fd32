"""Measurement of multiply-adds, CPU time and memory of a model, on synthetic clips."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from torch.utils.flop_counter import FlopCounterMode

from vidamodal.errors import InputError
from vidamodal.inference.api import predict as predict_video
from vidamodal.inference.collected import collect
from vidamodal.inference.compose import FramePrediction
from vidamodal.inference.prediction import DEFAULT_FORMATS, Format
from vidamodal.inference.predictor import Predictor
from vidamodal.media.video_writer import write_video
from vidamodal.models.amodal import AmodalOutput
from vidamodal.models.folder import Model, load_model
from vidamodal.runs import Runs
from vidamodal.training.command import read_recipe
from vidamodal.training.stages.amodal import AmodalFamily
from vidamodal.training.stages.c2f import C2FFamily
from vidamodal.training.stages.head import FramewiseFamily
from vidamodal.types import ClipTracks, Frame, Rle, Track, VideoInfo

SIZE = 128
"""Height and width of the frames in pixels."""
MAX_TRACED = 2400
"""Number of frames of the longest clip whose memory is traced."""
MAX_MULTIPLY_ADDS = 40e9
"""A network is timed on the longest clip, of 2 to 24 frames, that needs at most this many multiply-adds."""


@dataclass(frozen=True)
class Cost:
    """Cost of one object-frame.

    Attributes:
        name: Name of the model.
        precision: Floating-point type of the computation.
        parameters: Number of parameters.
        multiply_adds: Multiply-adds of one pass of the network.
        network: CPU-seconds of one pass of the network.
        passes: Number of passes of a prediction.
        seconds: CPU-seconds of the whole prediction.
    """

    name: str
    precision: str
    parameters: int
    multiply_adds: float
    network: float
    passes: int
    seconds: float


@dataclass(frozen=True)
class Load:
    """Time and memory of a process that predicts a clip.

    Attributes:
        objects: Number of objects.
        frames: Number of frames.
        seconds: CPU-seconds.
        start: Peak memory of the process before the prediction, in bytes.
        peak: Peak memory of the process afterwards.
        traced: Peak size of the Python objects and arrays of the prediction; exact, unlike the other two. None for
            clips of more than `MAX_TRACED` frames, since tracing is slow.
        slowing: CPU time of the last third of the frames over that of the first third.
    """

    objects: int
    frames: int
    seconds: float
    start: int
    peak: int
    traced: int | None
    slowing: float


@dataclass(frozen=True)
class FormatCost:
    """Cost of writing a format of `predict` beside tracks.json.

    Attributes:
        name: Name of the format.
        seconds: CPU-seconds for each frame.
        size: Bytes for each frame.
    """

    name: str
    seconds: float
    size: float


@dataclass(frozen=True)
class Scale:
    """CPU-seconds of predictions of one video.

    Attributes:
        objects: Number of objects.
        frames: Number of frames.
        height: Height of the frames in pixels.
        width: Width of the frames in pixels.
        network: The network.
        beside: Cutting, pasting, order and all else between masks and tracks.
        tracks: All of `predict`, from a video file to tracks.json.
        default: The same with all default formats.
        peak: Peak memory of the process in bytes.
    """

    objects: int
    frames: int
    height: int
    width: int
    network: float
    beside: float
    tracks: float
    default: float
    peak: int


def load_network(name: str) -> Model:
    """Load a model by folder or name, with a head after a colon, or create the untrained model of a training config.

    Raises:
        InputError: There is no such model or config, or models of its family need the weights of another one.
    """
    if not name.endswith((".yaml", ".yml")):
        folder, _, head = name.partition(":")
        return load_model(folder, head or None).model
    (config,) = read_recipe(name)
    if not isinstance(config.model, AmodalFamily | C2FFamily | FramewiseFamily):
        raise InputError(f"{name}: models of the family {config.model.ID!r} need weights. Name a trained model.")
    return config.model.new_model(config).eval()


def measure_cost(name: str) -> Cost:
    """Measure the prediction of one object that is visible in every frame."""
    model = load_network(name)
    frames = 2
    multiply_adds = count_multiply_adds(model, moving_shapes(1, frames)) / frames
    longest = int(np.clip(MAX_MULTIPLY_ADDS / multiply_adds, frames, model.config.chunk))
    if longest > frames:
        frames = longest
        multiply_adds = count_multiply_adds(model, moving_shapes(1, frames)) / frames
    clip, stopwatch = moving_shapes(1, frames), Stopwatch(model)
    began = time.process_time()
    predictor = predict(model, clip)
    return Cost(
        name=name,
        precision=str(predictor.runtime.precision).removeprefix("torch."),
        parameters=sum(p.numel() for p in model.parameters()),
        multiply_adds=multiply_adds,
        network=stopwatch.seconds / frames / model.config.windows.passes,
        passes=model.config.windows.passes,
        seconds=(time.process_time() - began) / frames,
    )


class Stopwatch:
    """CPU-seconds that a network spends on completing crops, from the creation of the stopwatch on."""

    def __init__(self, model: Model) -> None:
        self.seconds = 0.0
        self._complete = model.complete
        model.complete = self._timed  # type: ignore[assignment, method-assign]

    def _timed(self, *inputs: Any) -> AmodalOutput:
        began = time.process_time()
        output: AmodalOutput = self._complete(*inputs)
        self.seconds += time.process_time() - began
        return output


def predict(model: Model, clip: ClipTracks) -> Predictor:
    """Predict a clip on the CPU, discard the result and return the predictor."""
    predictor = Predictor(model, "cpu")
    predictor.predict(clip, frames=lambda: paint_frames(clip))
    return predictor


def count_multiply_adds(model: Model, clip: ClipTracks) -> float:
    """Count the multiply-adds (half the floating-point operations) of matrix products and convolutions in one pass."""
    with FlopCounterMode(display=False) as counter:
        predict(model, clip)
    return counter.get_total_flops() / 2 / model.config.windows.passes


def measure_load(name: str, objects: int, frames: int) -> Load:
    """Time a prediction, then trace its memory.

    Input and result stay in memory as run lengths, the only data that may grow with the number of frames.
    """
    model = load_network(name)
    predict(model, moving_shapes(1, model.config.chunk))  # one-time setup of torch
    clip = moving_shapes(objects, frames)
    start, began = peak_memory(), time.process_time()
    times = _times(model, clip)
    seconds, peak, third = time.process_time() - began, peak_memory(), frames // 3
    traced = None
    if frames <= MAX_TRACED:
        tracemalloc.start()
        _times(model, clip)
        traced = tracemalloc.get_traced_memory()[1]
    slowing = (times[-1] - times[-1 - third]) / (times[third] - times[0])
    return Load(objects, frames, seconds, start, peak, traced, slowing)


def _times(model: Model, clip: ClipTracks) -> list[float]:
    """Predict a clip and return the CPU time after each frame."""
    times: list[float] = []

    def timed() -> Iterator[FramePrediction]:
        for frame in Predictor(model, "cpu").stream(clip, frames=lambda: paint_frames(clip)):
            yield frame
            times.append(time.process_time())

    collect(clip, timed())
    return times


def peak_memory() -> int:
    """Return the peak memory of this process in bytes; on Linux without that inherited from its parent."""
    status = Path("/proc/self/status")
    if status.is_file():
        return next(1024 * int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure_scale(name: str, objects: int, frames: int, height: int, width: int) -> Scale:
    """Time the prediction of a video file of one size, by part and by format, after a warm-up."""
    loaded = load_model(name)
    model = loaded.model
    clip = moving_shapes(objects, frames, height, width)
    predict(model, moving_shapes(1, model.config.chunk))
    stopwatch = Stopwatch(model)
    began = time.process_time()
    predict(model, clip)
    beside, network = time.process_time() - began - stopwatch.seconds, stopwatch.seconds
    spent: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / clip.video.path
        write_video(video, paint_frames(clip), clip.video.fps)
        for formats in (("tracks",), DEFAULT_FORMATS):
            began = time.process_time()
            predict_video(video, clip, Path(folder) / "out", model=loaded, device="cpu", formats=formats)
            spent["+".join(formats)] = time.process_time() - began
    tracks, default = spent.values()
    return Scale(objects, frames, height, width, network, beside, tracks, default, peak_memory())


def measure_formats(name: str, frames: int, height: int, width: int) -> list[FormatCost]:
    """Time the writing of each format of one object's prediction, beside tracks.json."""
    clip = moving_shapes(1, frames, height, width)
    costs: dict[str, FormatCost] = {}
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / clip.video.path
        write_video(video, paint_frames(clip), clip.video.fps)
        prediction = predict_video(video, clip, model=name, device="cpu")
        for form in get_args(Format):
            out = Path(folder) / form
            began = time.process_time()
            prediction.save(out, [form])
            seconds = time.process_time() - began
            size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file() and path.name != "run.json")
            costs[form] = FormatCost(form, seconds / frames, size / frames)
    return list(costs.values())


def moving_shapes(objects: int, frames: int, height: int = SIZE, width: int | None = None) -> ClipTracks:
    """Return visible masks of discs and boxes that orbit the centre and occlude each other; later ones are in front.

    Args:
        objects: Number of objects.
        frames: Number of frames.
        height: Height of the frames in pixels.
        width: Width of the frames in pixels; that of a square by default.
    """
    width = height if width is None else width
    visible: list[list[Rle]] = [[] for _ in range(objects)]
    radius = height * 0.3 / np.sqrt(objects) + 3
    for t in range(frames):
        labels = np.zeros((height, width), dtype=np.int16, order="F")
        places = []
        for k in range(objects):
            angle = 2 * np.pi * (k * 0.618 + t / (40 + 7 * (k % 5)))
            orbit = 0.12 + 0.24 * (k + 0.5) / objects
            y, x = height * (0.5 + orbit * np.sin(angle)), width * (0.5 + orbit * np.cos(angle))
            top, left = max(int(y - radius), 0), max(int(x - radius), 0)
            place = slice(top, int(y + radius) + 2), slice(left, int(x + radius) + 2)
            rows, columns = np.ogrid[top : top + labels[place].shape[0], left : left + labels[place].shape[1]]
            distance = np.abs(rows - y), np.abs(columns - x)
            inside = np.hypot(*distance) < radius if k % 2 else np.maximum(*distance) < 0.85 * radius
            labels[place][inside] = k + 1
            places.append(place)
        for k, place in enumerate(places):
            corner = place[0].start, place[1].start
            visible[k].append(Runs.placed(labels[place] == k + 1, corner, height, width).encode())
    tracks = tuple(Track(k + 1, tuple(masks)) for k, masks in enumerate(visible))
    return ClipTracks(VideoInfo("shapes.mp4", height, width, frames, 12.0), tracks, exhaustive=True)


def paint_frames(clip: ClipTracks) -> Iterator[Frame]:
    """Yield the frames of such a clip, with a grey level per object."""
    for t in range(clip.video.frames):
        frame = np.full((clip.video.height, clip.video.width, 3), 40, dtype=np.uint8)
        for k, track in enumerate(clip.tracks):
            mask = track.visible[t]
            if mask is not None and (box := mask.box()) is not None:
                rows, columns = slice(box[0], box[2]), slice(box[1], box[3])
                frame[rows, columns][Runs.of(mask).at(rows, columns)] = 60 + 180 * (k + 1) // len(clip.tracks)
        yield frame
