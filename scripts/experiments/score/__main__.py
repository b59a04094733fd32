"""Complete every clip of a data set from its true visible masks and score the result: the README's table.

`python -m scripts.experiments.score --truth data/test --out runs/score`. Writes `<key>.tracks.json` and `metrics.json`. Two rows
beside the baselines: with the physical constraint of an exhaustive scene, as `predict` has it, and raw.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from vidamodal.formats import find_dataset
from vidamodal.formats.tracks import write_tracks
from vidamodal.inference.predictor import Predictor
from vidamodal.media.files import write_text
from vidamodal.metrics.evaluate import Evaluation, evaluate
from vidamodal.metrics.tables import format_protocols, format_table
from vidamodal.models.folder import load_model


def main() -> None:
    """Predict, score and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--truth", type=Path, required=True, help="a data set, or whatever `vidamodal evaluate` reads")
    parser.add_argument("--out", type=Path, required=True, help="folder for the predictions and metrics.json")
    parser.add_argument("--model", default="tiny", help="a model folder or name (default: the bundled one)")
    parser.add_argument("--head", help="a head of the model (default: its own)")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    result = score(options, constrain=True, name="constrained")
    raw = score(options, constrain=False, name="raw")
    write_text(options.out / "metrics.json", result.to_json())
    print(format_table({"vidamodal": result.primary, "vidamodal, raw": raw.primary, **result.baselines}))
    for name, interval in result.interval.items():
        if interval is not None:
            print(f"{name}: 95 % of bootstraps over videos within {100 * interval[0]:.1f} .. {100 * interval[1]:.1f}")
    print(format_protocols(result.protocols))
    print(f"{result.primary.object_frames} object-frames in {result.primary.videos} videos")


def score(options: argparse.Namespace, constrain: bool, name: str) -> Evaluation:
    """Predict all clips into ``out/name`` and evaluate them."""
    predictor = Predictor(load_model(options.model, options.head).model, options.device, constrain=constrain)
    clips = find_dataset(options.truth).clips
    if unsafe := [key for key in clips if Path(key).name != key]:
        raise SystemExit(f"{options.truth}: the key {unsafe[0]!r} is no file name; name the sample otherwise")
    for key, source in tqdm(clips.items(), desc=name, unit="video"):
        write_tracks(
            options.out / name / f"{key}.tracks.json", predictor.predict(source.tracks(), frames=source.frames)
        )
    return evaluate(options.out / name, options.truth)


if __name__ == "__main__":
    main()
