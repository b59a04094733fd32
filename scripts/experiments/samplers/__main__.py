"""Compare few steps of DDIM with DDPM for a segmenter of layers and write docs/results/samplers.md.

    python -m scripts.experiments.samplers MODEL [--truth data/movid-a-mini/test] [--clips 4] [--samples 1]

Each layer is compared with the same layer of DDPM under another seed; the row of DDPM shows how much two of its own
samples differ. One frame of each clip is used.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from tqdm import tqdm

from scripts.experiments.ablation.model_changes import change_segmenter
from scripts.experiments.common import RESULTS, experiment_parser, markdown_table, run_experiment
from vidamodal.data.layer_frames import ground_truth_layers
from vidamodal.data.recorded import RecordedBank
from vidamodal.media.files import write_text
from vidamodal.metrics.averages import mean
from vidamodal.models.folder import load_segmenter
from vidamodal.segmenters.base import FrameSegmenter
from vidamodal.segmenters.cumulative import CumulativeSegmenter

DDIM_STEPS = (1, 2, 5, 10, 20, 50)
LayerMasks = list[Bool[np.ndarray, "m s s"]]
"""Masks of the layers of each frame."""


def main() -> None:
    """Parse the command line, sample, compare and write the page."""
    parser = experiment_parser("samplers", __doc__)
    parser.add_argument("model", help="a segmenter of layers, by folder or name")
    parser.add_argument("--truth", type=Path, default=Path("data/movid-a-mini/test"))
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--samples", type=int, default=1, help="samples per layer (K)")
    parser.add_argument("--steps", type=int, default=1000, help="steps of DDPM")
    parser.add_argument("--out", type=Path, default=RESULTS / "samplers.md", help="page to write")
    options = parser.parse_args()

    def run() -> None:
        text = render_page(options)
        write_text(options.out, text)
        print(text)

    run_experiment("samplers", run)


def render_page(options: Namespace) -> str:
    """Sample with all samplers and return the page as Markdown."""
    loaded = load_segmenter(options.model, "cumulative")
    bank = RecordedBank.load(options.truth, pixels=True)
    frames = list(ground_truth_layers(bank, options.clips, 1, loaded.model.size))
    images = torch.from_numpy(np.concatenate([pictures for pictures, _ in frames])).float()
    truth = [frame.layers for _, layers in frames for frame in layers]

    def sample(sampler: str, steps: int, seed: int) -> tuple[LayerMasks, float]:
        settings = {"denoiser.sampler": sampler, "denoiser.steps": steps, "samples": options.samples}
        return sample_layers(loaded.model, {**settings, "together": len(images)}, images, seed)

    reference, seconds = sample("ddpm", options.steps, 0)
    rows = [[f"DDPM, {options.steps} steps", "-", agreement(reference, truth), f"{seconds:.2f}"]]
    compared = [("ddpm", options.steps, 1), *(("ddim", steps, 0) for steps in DDIM_STEPS)]
    for sampler, steps, seed in tqdm(compared, unit="sampler"):
        layers, seconds = sample(sampler, steps, seed)
        name = "DDPM, another seed" if sampler == "ddpm" else f"DDIM, {steps} steps"
        rows.append([name, agreement(layers, reference), agreement(layers, truth), f"{seconds:.2f}"])
    header = [f"{loaded.name}, K = {options.samples}", "IoU with DDPM", "IoU with the truth", "CPU-seconds per frame"]
    sections = [
        "# Samplers of layers",
        f"Written by `python -m scripts.experiments.samplers {options.model} --truth {options.truth} --clips "
        f"{options.clips} --samples {options.samples} --steps {options.steps}`: IoU of layers in per cent, a mean over "
        "the layers that exist in either result; CPU-seconds per frame on one thread.",
        markdown_table([header, *rows]),
    ]
    return "\n\n".join(sections) + "\n"


def sample_layers(
    segmenter: FrameSegmenter, settings: dict[str, object], images: torch.Tensor, seed: int
) -> tuple[LayerMasks, float]:
    """Sample the layers of all images with changed settings; return them and the CPU-seconds per image."""
    model = change_segmenter(segmenter, settings).eval()
    assert isinstance(model, CumulativeSegmenter)
    began = time.process_time()
    frames = model.predict_layers(images, [seed + k for k in range(0, 2 * len(images), 2)])
    return [layers.masks() for layers in frames], (time.process_time() - began) / len(images)


def agreement(ones: Sequence[Bool[np.ndarray, "m s s"]], others: Sequence[Bool[np.ndarray, "m s s"]]) -> str:
    """Return the mean IoU of layers of equal number in per cent; a layer without a counterpart counts as 0."""
    ious = []
    for one, other in zip(ones, others, strict=True):
        for k in range(max(len(one), len(other))):
            in_both = k < len(one) and k < len(other)
            ious.append(float((one[k] & other[k]).sum() / max((one[k] | other[k]).sum(), 1)) if in_both else 0.0)
    value = mean(ious)
    return "-" if value is None else f"{100 * value:.1f}"


if __name__ == "__main__":
    main()
