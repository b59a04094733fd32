"""Make docs/samplers.md: how far DDIM in few steps is from the 1000 steps of DDPM, for a segmenter of layers.

    python -m scripts.experiments.samplers MODEL [--truth data/movid-a-mini/test] [--clips 4] [--samples 1] [--steps 1000]

Layers of one frame of each clip. A layer agrees by its IoU with the same layer of DDPM under another seed, so that the
first row, DDPM against itself, says how far apart two of its own answers are. One thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from tqdm import tqdm

from scripts.experiments.ablation.__main__ import changed_segmenter
from vidamodal.data.layer_frames import ground_truth_layers
from vidamodal.data.recorded import RecordedBank
from vidamodal.media.files import write_text
from vidamodal.metrics.averages import mean
from vidamodal.models.folder import load_segmenter
from vidamodal.segmenters.cumulative import CumulativeSegmenter
from vidamodal.types import InputError

FEW = (1, 2, 5, 10, 20, 50)
Stacks = list[Bool[np.ndarray, "m s s"]]


def main() -> None:
    """Sample, compare and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a segmenter of layers, by folder or name")
    parser.add_argument("--truth", type=Path, default=Path("data/movid-a-mini/test"))
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--samples", type=int, default=1, help="K")
    parser.add_argument("--steps", type=int, default=1000, help="of DDPM")
    parser.add_argument("--out", type=Path, default=Path("docs/results/samplers.md"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        loaded = load_segmenter(options.model, "cumulative")
        bank = RecordedBank.load(options.truth, pixels=True)
    except InputError as error:
        raise SystemExit(f"samplers.py: {error}") from None
    given = list(ground_truth_layers(bank, options.clips, 1, loaded.model.size))
    images = torch.from_numpy(np.concatenate([pictures for pictures, _ in given])).float()
    truth = [frame.layers for _, frames in given for frame in frames]
    ways = [("ddpm", options.steps, 1), *(("ddim", steps, 0) for steps in FEW)]

    def draw(sampler: str, steps: int, seed: int) -> tuple[Stacks, float]:
        use = {"denoiser.sampler": sampler, "denoiser.steps": steps, "samples": options.samples}
        use["together"] = len(images)
        model = changed_segmenter(loaded.model, use).eval()
        before = time.process_time()
        assert isinstance(model, CumulativeSegmenter)
        drawn = model.predict_layers(images, [seed + k for k in range(0, 2 * len(images), 2)])
        return [layers.masks() for layers in drawn], (time.process_time() - before) / len(images)

    reference, seconds = draw("ddpm", options.steps, 0)
    lines = [f"| DDPM, {options.steps} steps | - | {agreement(reference, truth)} | {seconds:.2f} |"]
    for sampler, steps, seed in tqdm(ways, unit="sampler"):
        found, seconds = draw(sampler, steps, seed)
        name = "DDPM again, another seed" if sampler == "ddpm" else f"DDIM, {steps} steps"
        lines.append(f"| {name} | {agreement(found, reference)} | {agreement(found, truth)} | {seconds:.2f} |")
    text = "\n".join([
        "# Samplers of layers", "",
        f"Made by `python -m scripts.experiments.samplers {options.model} --truth {options.truth} --clips {options.clips} "
        f"--samples {options.samples} --steps {options.steps}`: IoU of layers in per cent, a mean over all layers that "
        "either has; CPU-seconds a frame on one thread.", "",
        f"| {loaded.name}, K = {options.samples} | IoU with DDPM | IoU with the truth | CPU-seconds a frame |",
        "| --- | --- | --- | --- |", *lines, "",
    ])  # fmt: skip
    write_text(options.out, text)
    print(text)


def agreement(ones: Sequence[Bool[np.ndarray, "m s s"]], others: Sequence[Bool[np.ndarray, "m s s"]]) -> str:
    """Mean IoU of the layers of equal number, in per cent; a layer that only one of them has counts as 0."""
    ious = []
    for one, other in zip(ones, others, strict=True):
        for k in range(max(len(one), len(other))):
            there = k < len(one) and k < len(other)
            ious.append(float((one[k] & other[k]).sum() / max((one[k] | other[k]).sum(), 1)) if there else 0.0)
    value = mean(ious)
    return "-" if value is None else f"{100 * value:.1f}"


if __name__ == "__main__":
    main()
