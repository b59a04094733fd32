"""The page on calibration."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scripts.experiments.calibration.measure import REGIONS, Measurement
from scripts.experiments.calibration.reliability import Scaling
from scripts.experiments.common import markdown_table
from scripts.experiments.curves import Axis, Curve, line_chart, tile_panels
from vidamodal.metrics.primary import MEASURES, mean_scores
from vidamodal.metrics.tables import percent
from vidamodal.types import Frame

UNCERTAIN = (1 / 15, 14 / 15)
"""Probabilities inside all but the outermost bins."""


@dataclass(frozen=True)
class Study:
    """Everything that the page shows.

    Attributes:
        unscaled: Measurement of the model at its stored temperature.
        scaled: Measurement at the fitted temperature.
        scaling: The fitted temperature.
        shifted: The fitted temperature and shift.
        temperature: Temperature of the model itself, by which the fitted one is multiplied.
    """

    unscaled: Measurement
    scaled: Measurement
    scaling: Scaling
    shifted: Scaling
    temperature: float


def render_page(options: Namespace, study: Study) -> str:
    """Return the page as Markdown, without its section on hypotheses."""
    model = Path(options.model).name
    name = f"{model}, {options.head}" if options.head else model
    scores = mean_scores(study.unscaled.scores)
    titles = (name, f"{name} at temperature {study.temperature * study.scaling.temperature:.2f}")
    sampled = f" with `--hypotheses {options.hypotheses} --sampled {options.sampled}`" if options.hypotheses > 1 else ""
    scaling, shifted = study.scaling, study.shifted
    lines = [
        "# Calibration of the diffusion head" if options.head == "conddiff" else "# Calibration",
        "Written by `python -m scripts.experiments.calibration --truth "
        f"{options.truth.name} --fit {options.fit.name} --model {model} "
        + (f"--head {options.head} " if options.head else "")
        + f"--clips {options.clips}`{sampled}: {scores.object_frames} object-frames of {scores.videos} clips with "
        "exact ground truth, which are not used for fitting. The pixels are those of the objects' windows outside "
        "their visible masks. ECE is the expected calibration error in per cent, with 15 bins.",
        "## Pixels",
        markdown_table(_pixel_rows(study)),
        f"Uncertain pixels have probabilities from {UNCERTAIN[0]:.3f} to {UNCERTAIN[1]:.3f}, that is, all but the "
        "outermost bins. The bias is the mean probability minus the observed frequency.",
        f"{name} has a temperature of {study.temperature:.3f}. A factor of {scaling.temperature:.3f} fits the pixels "
        f"behind other objects of {options.fit.name} best: it lowers the log loss of the network's own probabilities "
        f"from {scaling.before:.4f} to {scaling.after:.4f} nats per pixel. With an additional shift "
        f"({shifted.shift:+.3f}, factor {shifted.temperature:.3f}) it would be {shifted.after:.4f}.",
        markdown_table(
            [
                ["", *MEASURES],
                *(
                    [title, *(percent(getattr(mean_scores(each.scores), m)) for m in MEASURES)]
                    for title, each in zip(titles, (study.unscaled, study.scaled), strict=True)
                ),
            ]
        ),
        f"![Reliability of the pixels]({options.out.with_suffix('.png').name})",
        "## Confidence",
        markdown_table(_confidence_rows(study, titles)),
        "The confidence is the expected IoU of the mask under the predicted probabilities, if pixels are "
        "independent. The mean distance is the mean absolute difference between confidence and IoU.",
    ]
    return "\n\n".join(lines) + "\n"


def _pixel_rows(study: Study) -> list[list[str]]:
    header = ["pixels", "number", "inside the object", "ECE", "bias", "uncertain", "ECE of uncertain"]
    rows = [[*header, "ECE at the fitted temperature", "bias", "ECE of uncertain"]]
    for region, meaning in REGIONS.items():
        unscaled, scaled = study.unscaled.pixels[region], study.scaled.pixels[region]
        total = unscaled.count.sum()
        cells = [f"{total:.0f}", percent(unscaled.observed.sum() / total if total else None)]
        for k, pixels in enumerate((unscaled, scaled)):
            uncertain = pixels.between(*UNCERTAIN)
            cells += [_hundredths(pixels.ece), _hundredths(pixels.bias, "+")]
            cells += [percent(uncertain.count.sum() / total if total else None)] if k == 0 else []
            cells += [_hundredths(uncertain.ece)]
        rows.append([meaning, *cells])
    return rows


def _confidence_rows(study: Study, titles: tuple[str, str]) -> list[list[str]]:
    header = ["object-frames", "", "number", "mean confidence", "mean IoU", "mean distance"]
    return [
        [*header, "correlation", "rank correlation"],
        *(
            [meaning, title, *confidence_cells(*each.split(occluded))]
            for occluded, meaning in ((True, "at least 5 % occluded"), (False, "less occluded"))
            for title, each in zip(titles, (study.unscaled, study.scaled), strict=True)
        ),
    ]


def confidence_cells(confidence: np.ndarray, iou: np.ndarray) -> list[str]:
    """Return the cells that compare confidences with IoUs."""
    if len(iou) < 2:
        return [str(len(iou)), *["-"] * 5]
    return [
        str(len(iou)),
        percent(float(confidence.mean())),
        percent(float(iou.mean())),
        percent(float(np.abs(confidence - iou).mean())),
        f"{np.corrcoef(confidence, iou)[0, 1]:.2f}",
        f"{np.corrcoef(_ranks(confidence), _ranks(iou))[0, 1]:.2f}",
    ]


def _ranks(values: np.ndarray) -> np.ndarray:
    return values.argsort().argsort()


def _hundredths(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{100 * value:{sign}.2f}"


def render_diagrams(study: Study) -> Frame:
    """Render reliability diagrams of the pixels behind other objects."""
    panels = []
    for region in ("occluded", "hidden"):
        series = [
            Curve("as it is", study.unscaled.pixels[region].diagram),
            Curve("at the temperature", study.scaled.pixels[region].diagram),
            Curve("", [(0, 0), (1, 1)], dashed=True),
        ]
        axes = Axis("predicted probability", 0, 1), Axis("observed frequency", 0, 1)
        panels.append(line_chart(f"Pixels {REGIONS[region]}", series, *axes, size=(540, 460)))
    return tile_panels(panels, 2)
