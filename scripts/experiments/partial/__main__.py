r"""Fit and choose how masks are decided in partial scenes, and write docs/results/partial.md.

    python -m scripts.experiments.partial --model tiny --train data/worlds-street data/worlds-room data/worlds-field \
        --fit data/worlds-street-validation data/worlds-room-validation data/worlds-field-validation

Every object is completed from its mask alone and from all masks. A judge of completed parts is fitted to the worlds of
--train, and the score above which parts are kept is chosen on those of --fit. --keep stores both in the model's
config.json.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from scripts.experiments.common import RESULTS, experiment_parser, run_experiment, spread_clips, store_setting
from scripts.experiments.partial.choice import choose, decision_at
from scripts.experiments.partial.fit import PartSamples, fit_judge
from scripts.experiments.partial.outcomes import MODES, measure, predict_tracks
from scripts.experiments.partial.page import render_page
from vidamodal.hub import find_model
from vidamodal.media.files import write_text
from vidamodal.models.folder import load_model


def main() -> None:
    """Parse the command line, measure, choose and write the page."""
    parser = experiment_parser("partial", __doc__)
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="training data sets, folders of worlds")
    parser.add_argument("--fit", type=Path, nargs="+", required=True, help="validation data sets, folders of worlds")
    parser.add_argument("--model", default="tiny", help="a model folder or name (default: the bundled one)")
    parser.add_argument("--clips", type=int, default=12, help="number of clips, evenly spread over each set of --fit")
    parser.add_argument("--samples", type=int, default=16, help="the same for each set of --train (default: 16)")
    parser.add_argument("--loss", type=float, default=0.0, help="largest loss of full, in any stratum (default: 0)")
    parser.add_argument("--keep", action="store_true", help="write the decision into the model's config.json")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "partial.md", help="the page")
    options = parser.parse_args()
    run_experiment("partial", lambda: run_study(options))


def run_study(options: Namespace) -> None:
    """Measure, choose and write the page."""
    model = load_model(options.model).model
    train = {path.name: spread_clips(path, options.samples) for path in options.train}
    judge = fit_judge(
        PartSamples.of(
            track
            for name, alone in MODES.items()
            for track in predict_tracks(model, train, alone, options.device, f"fit: {name}")
        )
    )
    sets = {path.name: spread_clips(path, options.clips) for path in options.fit}
    modes = {name: measure(model, judge, sets, alone, options.device, name) for name, alone in MODES.items()}
    first = next(iter(modes.values()))
    place = choose(first.frames, options.loss)
    decision = decision_at(place, judge, first.pixels[place])
    if options.keep:
        store_setting(find_model(options.model), "partial", asdict(decision))
    command = (
        f"python -m scripts.experiments.partial --train {' '.join(train)} --samples {options.samples} "
        f"--fit {' '.join(sets)} --clips {options.clips} --loss {options.loss:g}"
    )
    frames = {name: outcomes.frames for name, outcomes in modes.items()}
    text = render_page(command, Path(options.model).name, frames, place, decision, options.loss)
    write_text(options.out, text)
    print(text)


if __name__ == "__main__":
    main()
