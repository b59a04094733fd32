"""Complete every clip of a data set from its true visible masks and score the predictions.

    python -m scripts.experiments.score --truth data/test --out runs/score

Writes the predictions, with and without the constraint of an exhaustive scene, and metrics.json; prints the scores.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from tqdm import tqdm

from scripts.experiments.common import experiment_parser, run_experiment
from vidamodal.errors import InputError
from vidamodal.formats import find_dataset
from vidamodal.inference.predictor import Predictor
from vidamodal.media.files import write_text
from vidamodal.metrics.evaluate import Evaluation, evaluate
from vidamodal.metrics.tables import format_protocols, format_table
from vidamodal.models.folder import load_model
from vidamodal.tracks import write_tracks


def main() -> None:
    """Parse the command line, predict, score and print."""
    parser = experiment_parser("score", __doc__)
    parser.add_argument("--truth", type=Path, required=True, help="a data set, or anything `vidamodal evaluate` reads")
    parser.add_argument("--out", type=Path, required=True, help="folder for the predictions and metrics.json")
    parser.add_argument("--model", default="tiny", help="a model folder or name (default: the bundled one)")
    parser.add_argument("--head", help="a head of the model (default: its own)")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()

    def run() -> None:
        result = score_model(options, constrain=True, name="constrained")
        raw = score_model(options, constrain=False, name="raw")
        write_text(options.out / "metrics.json", result.to_json())
        print_scores(result, raw)

    run_experiment("score", run)


def print_scores(result: Evaluation, raw: Evaluation) -> None:
    """Print the scores, their bootstrap intervals and the published protocols."""
    print(format_table({"vidamodal": result.primary, "vidamodal, raw": raw.primary, **result.baselines}))
    for name, interval in result.interval.items():
        if interval is not None:
            print(f"{name}: 95 % bootstrap interval over videos {100 * interval[0]:.1f} .. {100 * interval[1]:.1f}")
    print(format_protocols(result.protocols))
    print(f"{result.primary.object_frames} object-frames in {result.primary.videos} videos")


def score_model(options: Namespace, constrain: bool, name: str) -> Evaluation:
    """Predict all clips into the folder ``name`` and evaluate them."""
    predictor = Predictor(load_model(options.model, options.head).model, options.device, constrain=constrain)
    clips = find_dataset(options.truth).clips
    if invalid := [key for key in clips if Path(key).name != key]:
        raise InputError(f"{options.truth}: the key {invalid[0]!r} is not a file name. Rename the sample.")
    for key, source in tqdm(clips.items(), desc=name, unit="video"):
        prediction = predictor.predict(source.tracks(), frames=source.frames)
        write_tracks(options.out / name / f"{key}.tracks.json", prediction)
    return evaluate(options.out / name, options.truth)


if __name__ == "__main__":
    main()
