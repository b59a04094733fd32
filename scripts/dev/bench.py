"""Print the time of each step of prediction, evaluation and training on the bundled clip, on one thread: `make bench`.

Timings vary between runs, so compare ratios rather than milliseconds.
"""

from __future__ import annotations

import copy
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from scripts.experiments.common import run_measured
from scripts.experiments.cost.measure import measure_scale, moving_shapes
from vidamodal.baselines import predict_baseline
from vidamodal.commandline import Parser
from vidamodal.data.clips import ClipConfig, TrainingClips
from vidamodal.data.crops import TrackCrops, boxes_and_areas
from vidamodal.demo import sample_clip
from vidamodal.geometry import paste
from vidamodal.inference.api import predict
from vidamodal.inference.predictor import Predictor
from vidamodal.inference.runtime import Runtime
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.evaluate import score_counts
from vidamodal.models.amodal import AmodalOutput
from vidamodal.models.attention import Backend, attend
from vidamodal.models.folder import load_model
from vidamodal.tracks import read_tracks
from vidamodal.types import ClipTracks, Rle
from vidamodal.windows import View, WindowConfig, track_windows
from vidamodal.worlds.sample import WorldConfig
from vidamodal.worlds.toy import toy_bank

SIZES = ((1, (256, 256)), (1, (720, 1280)), (10, (1080, 1920)))
"""Numbers of objects, and height and width of the frames of the videos that are compared."""


def main() -> None:
    """Run all benchmarks."""
    Parser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    benchmark_start()
    benchmark_prediction()
    benchmark_sizes()
    benchmark_network()
    benchmark_evaluation()
    benchmark_attention()
    benchmark_training_data()


def benchmark_start() -> None:
    """Time what a command imports before it predicts, relative to torch alone."""
    spent = {}
    for name in ("torch", "vidamodal.inference.api"):
        spent[name] = min(run_measured([sys.executable, "-c", f"import {name}"]) for _ in range(3))
    ratio = spent["vidamodal.inference.api"] / spent["torch"]
    print(f"start: importing what predict needs takes {ratio:.2f} times as long as importing torch")


def benchmark_prediction() -> None:
    """Time `predict --formats tracks` on the bundled clip, as a whole and by step."""
    video, truth = sample_clip()
    loaded = load_model()
    clip = read_tracks(truth)
    Predictor(loaded.model, "cpu").predict(clip)  # warm up
    with tempfile.TemporaryDirectory() as out:
        began = time.process_time()
        predict(video, truth, Path(out), model=loaded, device="cpu", formats=("tracks",))
        whole = time.process_time() - began
    predictor = Predictor(loaded.model, "cpu")
    predictor.predict(clip)
    timings, count = predictor.timings, predictor.timings.object_frames
    print(f"predict --formats tracks, one thread, {predictor.runtime.precision}, {count} object-frames")
    for step, seconds in timings.seconds.items():
        print(f"  {step:8s} {1000 * seconds / count:7.2f} ms per object-frame, wall clock")
    print(f"  {'whole':8s} {1000 * whole / count:7.2f} CPU-ms per object-frame (limit 30)")
    print(f"track windows cover {100 * covered_share(clip):.1f} % of the occluded pixels of the bundled clip")


def benchmark_sizes(frames: int = 24) -> None:
    """Compare the prediction of video files of several sizes; one object spans about half of the height."""
    small, large, full = (measure_scale("tiny", n, frames, *size) for n, size in SIZES)
    print(
        f"predict, {frames} frames of video files, CPU-ms a frame (network / cut, paste, order / all, tracks / default)"
    )
    for scale in (small, large, full):
        parts = (scale.network, scale.beside, scale.tracks, scale.default)
        figures = " / ".join(f"{1000 * seconds / frames:.1f}" for seconds in parts)
        print(f"  {scale.width} x {scale.height}, {scale.objects:2d} object{'s' * (scale.objects > 1)}: {figures}")
    print(f"  14 times the pixels cost {large.tracks / small.tracks:.2f} times as much, tracks only (limit 1.5 for 10)")
    print(f"  default formats cost {large.default / large.tracks:.1f} times as much as tracks at 1280 x 720")
    shares = ", ".join(f"{100 * scale.beside / scale.tracks:.0f} %" for scale in (small, large, full))
    print(f"  cutting, pasting and order: {shares} of the whole (limit 25 %)")
    beside = 1000 * (full.tracks - full.network) / full.objects / frames
    print(f"  beside the network at 1920 x 1080: {beside:.1f} CPU-ms per object-frame (limit 12)")


def benchmark_network() -> None:
    """Compare the network with matrix products alone, and with its compiled and its 8-bit form."""
    model = load_model().model
    runtime = Runtime.choose("cpu")
    inputs: list[tuple[Any, ...]] = []
    complete = model.complete

    def keep(*values: Any) -> AmodalOutput:
        inputs.append(values)
        output: AmodalOutput = complete(*values)
        return output

    model.complete = keep  # type: ignore[assignment, method-assign]
    Predictor(model, "cpu").predict(moving_shapes(1, model.config.chunk))
    crops = inputs[-1][0]

    @torch.inference_mode()
    def run(network: Callable[[TrackCrops], object]) -> None:
        with runtime.autocast():
            network(crops)

    with FlopCounterMode(display=False) as counter:
        run(model)
    square = torch.randn(1024, 1024, dtype=runtime.precision)
    rate = 2 * 1024**3 / _seconds(lambda: square @ square, 20)
    spent = _seconds(partial(run, model), 5)
    share = counter.get_total_flops() / spent / rate
    print(f"the network computes at {100 * share:.0f} % of the rate of products of 1024 x 1024 matrices")
    compiled = torch.compile(model)
    print(f"  compiled by torch.compile it takes {_seconds(partial(run, compiled), 5) / spent:.2f} times as long")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch moves this function to another package
        small = torch.ao.quantization.quantize_dynamic(copy.deepcopy(load_model().model), {nn.Linear}, torch.qint8)
    eight = _seconds(lambda: small(crops), 5)
    print(f"  with linear layers in 8 bits, all else in fp32, it takes {eight / spent:.2f} times as long")


def benchmark_evaluation(object_frames: int = 10_000) -> None:
    """Time all measures and protocols on copies of the bundled clip, up to a number of object-frames."""
    clip = read_tracks(sample_clip()[1])
    predicted = predict_baseline("hull-under-occluders", clip)
    share = len(clip.tracks) * clip.video.frames
    began = time.process_time()
    counts = [count_video(f"{k}", predicted, clip) for k in range(-(-object_frames // share))]
    counted = time.process_time()
    score_counts(counts)
    scale = object_frames / (share * len(counts))
    steps = scale * (counted - began), scale * (time.process_time() - counted)
    print(
        f"evaluate, {object_frames} object-frames at {clip.video.height} x {clip.video.width}: {sum(steps):.1f} CPU-s "
        f"(limit 60), {steps[0]:.1f} to count and {steps[1]:.1f} for all protocols"
    )


def covered_share(clip: ClipTracks) -> float:
    """Return the share of a clip's occluded pixels inside the track windows, an upper bound for any model."""
    tracks = [track for track in clip.tracks if track.ever_visible]
    boxes, areas = boxes_and_areas(np.array([[_mask(mask) for mask in track.visible] for track in tracks]))
    windows = track_windows(boxes, areas, WindowConfig())
    covered = occluded = 0
    for k, track in enumerate(tracks):
        for t, (visible, amodal) in enumerate(zip(track.visible, track.amodal or (), strict=True)):
            behind = _mask(amodal) & ~_mask(visible)
            rows, columns, _ = paste(np.zeros((2, 2)), windows.at(k, t), clip.video.height, clip.video.width)
            covered += int(np.count_nonzero(behind[rows, columns]))
            occluded += int(np.count_nonzero(behind))
    return covered / occluded


def _mask(rle: Rle | None) -> Bool[np.ndarray, "h w"]:
    assert rle is not None  # rendered scenes are annotated in every frame
    return rle.decode()


def benchmark_attention() -> None:
    """Compare the explicit attention with PyTorch's fused one, forward and backward in bf16."""
    for name, shape in (
        ("space: 96 frames x 64 places", (96, 4, 64, 32)),
        ("time: 768 places x 8 frames", (768, 4, 8, 32)),
    ):
        tensors = [torch.randn(shape, dtype=torch.bfloat16, requires_grad=True) for _ in range(3)]
        backends: tuple[Backend, ...] = ("sdpa", "math")
        spent = {backend: _seconds(partial(_train_attention, tensors, backend), 5) for backend in backends}
        print(f"attention, {name}: math trains {spent['sdpa'] / spent['math']:.1f} times as fast as sdpa")


def _train_attention(tensors: list[torch.Tensor], backend: Backend) -> None:
    query, key, value = tensors
    attend(query, key, value, None, backend).sum().backward()


def benchmark_training_data() -> None:
    """Time the rasterisation of mask-only worlds and the preparation of training samples."""
    rng, bank, config = np.random.default_rng(0), toy_bank(0), WorldConfig()
    clips = [bank.sample(rng, config) for _ in range(3)]
    made = sum(clip.visible.shape[0] * clip.visible.shape[1] for clip in clips)
    spent = _seconds(lambda: [bank.sample(rng, config) for _ in range(3)], 1)
    print(f"mask-only worlds: about {made / spent:.0f} object-frames rasterised per CPU-second at 256 px")
    samples = TrainingClips(toy_bank(0), 0, 2, 100, ClipConfig(), View(WindowConfig(), 64))
    spent = _seconds(lambda: [samples[k] for k in range(5)], 1)
    print(f"training samples: {5 * 64 / spent:.0f} object-frames per CPU-second, ready for training")


def _seconds(work: Callable[[], object], times: int) -> float:
    work()
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


if __name__ == "__main__":
    main()
