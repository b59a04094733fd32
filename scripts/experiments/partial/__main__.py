"""Choose how masks are decided in partial scenes, and write docs/results/partial.md.

    python -m scripts.experiments.partial --fit data/worlds-street-validation data/worlds-room-validation --model tiny

Every object is completed from its mask alone and from all masks. --keep stores the decision in the model's config.json.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from scripts.experiments.common import RESULTS, experiment_parser, run_experiment, spread_clips, store_setting
from scripts.experiments.partial.choice import choose, decision_at
from scripts.experiments.partial.outcomes import measure
from scripts.experiments.partial.page import render_page
from vidamodal.hub import find_model
from vidamodal.media.files import write_text
from vidamodal.models.folder import load_model

MODES = {"the object's mask alone": True, "all masks": False}


def main() -> None:
    """Parse the command line, measure, choose and write the page."""
    parser = experiment_parser("partial", __doc__)
    parser.add_argument("--fit", type=Path, nargs="+", required=True, help="validation data sets, folders of worlds")
    parser.add_argument("--model", default="tiny", help="a model folder or name (default: the bundled one)")
    parser.add_argument("--clips", type=int, default=12, help="number of clips, evenly spread over each data set")
    parser.add_argument("--loss", type=float, default=0.0, help="largest loss of full, in any stratum (default: 0)")
    parser.add_argument("--keep", action="store_true", help="write the decision into the model's config.json")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "partial.md", help="the page")
    options = parser.parse_args()
    run_experiment("partial", lambda: run_study(options))


def run_study(options: Namespace) -> None:
    """Measure, choose and write the page."""
    model = load_model(options.model).model
    sets = {path.name: spread_clips(path, options.clips) for path in options.fit}
    modes = {name: measure(model, sets, alone, options.device, name) for name, alone in MODES.items()}
    alone = next(iter(modes.values()))
    place = choose(alone.frames, options.loss)
    decision = decision_at(place, alone.pixels)
    if options.keep:
        store_setting(find_model(options.model), "partial", asdict(decision))
    command = (
        f"python -m scripts.experiments.partial --fit {' '.join(sets)} --clips {options.clips} --loss {options.loss:g}"
    )
    frames = {name: outcomes.frames for name, outcomes in modes.items()}
    text = render_page(command, Path(options.model).name, frames, place, decision, options.loss)
    write_text(options.out, text)
    print(text)


if __name__ == "__main__":
    main()
