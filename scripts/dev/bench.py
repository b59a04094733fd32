"""Where the time goes: prints the cost of each step on the bundled clip, and ratios, from one run on one thread.

`make bench`. Machines are noisy: compare the ratios, not the milliseconds of two runs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool

from vidamodal.baselines import predict_baseline
from vidamodal.data.clips import ClipConfig, TrainingClips
from vidamodal.data.crops import boxes_and_areas
from vidamodal.demo import sample_clip
from vidamodal.formats.tracks import read_tracks
from vidamodal.geometry import paste
from vidamodal.inference.api import predict
from vidamodal.inference.predictor import Predictor
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.evaluate import score_counts
from vidamodal.models.attention import attend
from vidamodal.models.folder import load_model
from vidamodal.types import ClipTracks, Rle
from vidamodal.windows import View, WindowConfig, track_windows
from vidamodal.worlds.sample import WorldConfig
from vidamodal.worlds.toy import toy_bank


def main() -> None:
    """Print everything."""
    torch.set_num_threads(1)
    prediction()
    evaluation()
    attention()
    training_data()


def prediction() -> None:
    """A whole `predict --formats tracks` of the sample clip, and its steps."""
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
        print(f"  {step:8s} {1000 * seconds / count:7.2f} ms an object-frame by the clock")
    print(f"  {'whole':8s} {1000 * whole / count:7.2f} CPU-ms an object-frame (limit 30)")
    print(f"track windows hold {100 * held_share(clip):.1f} % of the hidden pixels of the sample clip")


def evaluation(object_frames: int = 10_000) -> None:
    """All measures and protocols over the sample clip, again and again until that many object-frames are scored."""
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


def held_share(clip: ClipTracks) -> float:
    """Share of a clip's hidden pixels that lie in the track windows: what no model can add to."""
    tracks = [track for track in clip.tracks if track.ever_visible]
    boxes, areas = boxes_and_areas(np.array([[_mask(mask) for mask in track.visible] for track in tracks]))
    windows = track_windows(boxes, areas, WindowConfig())
    held = hidden = 0
    for k, track in enumerate(tracks):
        for t, (visible, amodal) in enumerate(zip(track.visible, track.amodal or (), strict=True)):
            behind = _mask(amodal) & ~_mask(visible)
            rows, columns, _ = paste(np.zeros((2, 2)), windows.at(k, t), clip.video.height, clip.video.width)
            held += np.count_nonzero(behind[rows, columns])
            hidden += np.count_nonzero(behind)
    return held / hidden


def _mask(rle: Rle | None) -> Bool[np.ndarray, "h w"]:
    assert rle is not None  # the truth of a rendered scene knows every frame
    return rle.decode()


def attention() -> None:
    """The written-out attention against PyTorch's fused one, forward and backward in bf16."""
    for name, shape in (
        ("space: 96 frames x 64 places", (96, 4, 64, 32)),
        ("time: 768 places x 8 frames", (768, 4, 8, 32)),
    ):
        tensors = [torch.randn(shape, dtype=torch.bfloat16, requires_grad=True) for _ in range(3)]
        spent = {backend: _seconds(partial(_train_attention, tensors, backend), 5) for backend in ("sdpa", "math")}
        print(f"attention, {name}: math trains {spent['sdpa'] / spent['math']:.1f} times as fast as sdpa")


def _train_attention(tensors: list[torch.Tensor], backend: str) -> None:
    query, key, value = tensors
    attend(query, key, value, None, backend).sum().backward()


def training_data() -> None:
    """Object-frames that one core makes from mask-only worlds."""
    rng, bank, config = np.random.default_rng(0), toy_bank(0), WorldConfig()
    clips = [bank.sample(rng, config) for _ in range(3)]
    made = sum(clip.visible.shape[0] * clip.visible.shape[1] for clip in clips)
    spent = _seconds(lambda: [bank.sample(rng, config) for _ in range(3)], 1)
    print(f"mask-only worlds: about {made / spent:.0f} object-frames rasterised a CPU-second at 256 px")
    samples = TrainingClips(toy_bank(0), 0, 2, 100, ClipConfig(), View(WindowConfig(), 64))
    spent = _seconds(lambda: [samples[k] for k in range(5)], 1)
    print(f"training samples: {5 * 64 / spent:.0f} object-frames a CPU-second, ready to train on")


def _seconds(work: Callable[[], object], times: int) -> float:
    work()
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


if __name__ == "__main__":
    main()
