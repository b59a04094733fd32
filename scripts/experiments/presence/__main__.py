"""Choose the presence below which an object is gone, and write docs/results/presence.md.

    python -m scripts.experiments.presence --fit data/worlds-street-validation data/worlds-room-validation --model tiny

--keep stores the threshold in the model's config.json.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scripts.experiments.common import (
    RESULTS,
    experiment_parser,
    markdown_table,
    run_experiment,
    spread_clips,
    store_setting,
)
from scripts.experiments.presence.outcomes import THRESHOLDS, Rates, UnseenFrame, choose_threshold, measure
from vidamodal.hub import find_model
from vidamodal.media.files import write_text
from vidamodal.metrics.tables import percent
from vidamodal.models.folder import load_model

SHOWN = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Thresholds that the page shows beside the chosen one."""


def main() -> None:
    """Parse the command line, measure, choose and write the page."""
    parser = experiment_parser("presence", __doc__)
    parser.add_argument("--fit", type=Path, nargs="+", required=True, help="validation data sets, folders of worlds")
    parser.add_argument("--model", default="tiny", help="a model folder or name (default: the bundled one)")
    parser.add_argument("--clips", type=int, default=16, help="number of clips, evenly spread over each data set")
    parser.add_argument("--keep", action="store_true", help="write the threshold into the model's config.json")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "presence.md", help="the page")
    options = parser.parse_args()
    run_experiment("presence", lambda: run_study(options))


def run_study(options: Namespace) -> None:
    """Measure, choose and write the page."""
    model = load_model(options.model).model
    sets = {path.name: spread_clips(path, options.clips) for path in options.fit}
    frames = measure(model, sets, options.device)
    threshold = choose_threshold(frames)
    if options.keep:
        store_setting(find_model(options.model), "presence_threshold", threshold)
    command = f"python -m scripts.experiments.presence --fit {' '.join(sets)} --clips {options.clips}"
    text = render_page(command, Path(options.model).name, frames, threshold)
    write_text(options.out, text)
    print(text)


def render_page(command: str, model: str, frames: Sequence[UnseenFrame], threshold: float) -> str:
    """Return the page as Markdown."""
    rows = [["", "threshold", "ghosts", "lost", "frames without the object", "frames with it, hidden"]]
    for name in ["all", *dict.fromkeys(frame.set for frame in frames)]:
        rates = Rates.of([frame for frame in frames if name in ("all", frame.set)])
        for place in sorted({int(np.abs(THRESHOLDS - x).argmin()) for x in (*SHOWN, threshold)}):
            title = f"{THRESHOLDS[place]:.2f}" + (" (chosen)" if THRESHOLDS[place] == threshold else "")
            cells = ["-" if np.isnan(v[place]) else percent(v[place]) for v in (rates.ghosts, rates.lost)]
            rows.append([name, title, *cells, str(rates.gone_frames), str(rates.hidden_frames)])
    text = (
        f"Written by `{command}`: object-frames of validation clips in which nothing of the object is visible. "
        f"`{model}` predicts the probability that any of it is inside the image; below the threshold its mask is "
        "empty. *Ghosts* are frames without the object that get a mask that counts; *lost* are frames with a hidden "
        "object that get none because of the threshold, in per cent. The chosen threshold has the smallest sum of "
        "both, averaged over the data sets."
    )
    return f"# Presence\n\n{text}\n\n{markdown_table(rows)}\n"


if __name__ == "__main__":
    main()
