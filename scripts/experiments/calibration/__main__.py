"""Measure whether probabilities and confidences are calibrated and write docs/results/calibration.md and .png.

    python -m scripts.experiments.calibration --truth data/test --fit data/worlds-validation --model tiny

Fits a temperature on --fit and measures it on --truth; --hypotheses 8 also scores hypotheses, --keep stores the
temperature in the model's config.json.
"""

from __future__ import annotations

import copy
import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from scripts.experiments.calibration.hypotheses import render_section, sample_hypotheses
from scripts.experiments.calibration.measure import measure
from scripts.experiments.calibration.page import Study, render_diagrams, render_page
from scripts.experiments.calibration.reliability import Scaling, fit_scaling
from scripts.experiments.common import RESULTS, experiment_parser, run_experiment, spread_clips
from vidamodal.formats import Clip
from vidamodal.hub import find_model
from vidamodal.media.files import write_text
from vidamodal.media.images import save_png
from vidamodal.models.folder import Model, load_model


def main() -> None:
    """Parse the command line, measure and write the page and its pictures."""
    parser = experiment_parser("calibration", __doc__)
    parser.add_argument("--truth", type=Path, required=True, help="a data set to measure on")
    parser.add_argument("--fit", type=Path, required=True, help="another data set, to fit the temperature on")
    parser.add_argument("--model", default="tiny", help="a model folder or name (default: the bundled one)")
    parser.add_argument("--head", help="a head of the model (default: its own)")
    parser.add_argument("--clips", type=int, default=6, help="number of clips, evenly spread over each data set")
    parser.add_argument("--keep", action="store_true", help="write the temperature into the model's config.json")
    parser.add_argument("--hypotheses", type=int, default=1, help="number of hypotheses to sample and score, if over 1")
    parser.add_argument("--sampled", type=int, default=2, help="number of clips with sampled hypotheses")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=RESULTS / "calibration.md", help="page; its pictures lie beside it")
    options = parser.parse_args()
    run_experiment("calibration", lambda: run_study(options))


def run_study(options: Namespace) -> None:
    """Measure, and write the page and its pictures."""
    model = load_model(options.model, options.head).model
    held_out, fitting = (spread_clips(path, options.clips) for path in (options.truth, options.fit))
    study = measure_study(model, held_out, fitting, options.device)
    if options.keep:
        keep_temperature(find_model(options.model), study.temperature * study.scaling.temperature, model.config.head)
    text = render_page(options, study)
    save_png(options.out.with_suffix(".png"), render_diagrams(study))
    write_text(options.out, text)  # before the hypotheses, which take the longest
    if options.hypotheses > 1:
        scores, example = sample_hypotheses(model, held_out[: options.sampled], options.hypotheses, options.device)
        picture = options.out.with_name(f"{options.out.stem}-hypotheses.png")
        text += render_section(scores, options.hypotheses, picture.name)
        save_png(picture, example)
        write_text(options.out, text)
    print(text)


def measure_study(model: Model, held_out: list[Clip], fitting: list[Clip], device: str) -> Study:
    """Fit a temperature and measure the model with and without it."""
    pixels = measure(model, fitting, device, constrain=False, title="fit").fitting
    scaling, shifted = fit_scaling(pixels), fit_scaling(pixels, shifted=True)
    return Study(
        unscaled=measure(model, held_out, device, constrain=True, title="measure"),
        scaled=measure(with_temperature(model, scaling), held_out, device, constrain=True, title="at temperature"),
        scaling=scaling,
        shifted=shifted,
        temperature=model.config.temperature,
    )


def with_temperature(model: Model, scaling: Scaling) -> Model:
    """Return a copy of a model with its temperature multiplied by that of ``scaling``."""
    copied = copy.deepcopy(model)
    copied.config = replace(copied.config, temperature=copied.config.temperature * scaling.temperature)
    return copied


def keep_temperature(folder: Path, temperature: float, head: str) -> None:
    """Store the temperature of a head in config.json, rounded to two digits."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "heads" not in config or config["model"]["head"] == head:
        config["model"]["temperature"] = round(temperature, 2)
    else:
        config.setdefault("temperatures", {})[head] = round(temperature, 2)
    write_text(folder / "config.json", json.dumps(config, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
