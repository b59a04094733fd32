"""Make docs/results.md: the bundled model and every baseline on a held-out set, under every protocol.

`python -m scripts.experiments.results --truth data/test --out docs/results.md`. The model sees the true visible masks, as the
baselines do. Two rows of it: with the physical constraint of an exhaustive scene, as `predict` has it, and raw. What
the measures fail to notice is shown by predictors that are wrong on purpose.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from scripts.experiments.results.probes import PROBES
from vidamodal.baselines import load_baselines, predict_baseline
from vidamodal.formats import find_dataset
from vidamodal.inference.predictor import Predictor
from vidamodal.media.files import write_text
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.counts import VideoCounts
from vidamodal.metrics.evaluate import Evaluation, score_counts
from vidamodal.metrics.primary import MEASURES
from vidamodal.metrics.tables import percent
from vidamodal.models.folder import load_model
from vidamodal.types import ClipTracks, InputError

Method = Callable[[ClipTracks], ClipTracks]


def main() -> None:
    """Predict, score and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, required=True, help="a data set, or whatever `vidamodal evaluate` reads")
    parser.add_argument("--out", type=Path, default=Path("docs/results/results.md"), help="page to write")
    parser.add_argument("--model", default="tiny", help="a model folder or name (default: the bundled one)")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    try:
        write_text(options.out, page(options.truth, options.model, options.device))
    except InputError as error:
        raise SystemExit(f"results.py: {error}") from None


def page(truth: Path, model: str, device: str) -> str:
    """The page as Markdown."""
    torch.set_num_threads(1)
    name = Path(model).name
    network = load_model(model).model
    methods: dict[str, Method] = {
        name: Predictor(network, device).predict,
        f"{name}, raw": Predictor(network, device, constrain=False).predict,
        **{baseline: partial(predict_baseline, baseline) for baseline in load_baselines()},
    }
    results, probes = score(truth, methods), score(truth, PROBES)
    first = results[name]
    sections = [
        f"# Results\n\nMade by `python -m scripts.experiments.results --truth {truth.name} --model {name}`: "
        f"{first.primary.object_frames} object-frames of {first.primary.videos} videos with exact truth, which "
        "nothing was trained on (the half-life of last-complete-shape was set on four of them). All methods see the "
        "true visible masks. Per cent; `-` is a mean over nothing.",
        section("Primary protocol", primary_rows(results)),
        "95 % of bootstraps over videos: "
        + "; ".join(f"{m} {spread(first.interval[m])}" for m in MEASURES if first.interval[m])
        + f" ({name}).",
        section("By how much is hidden: full / occ", strata_rows(results)),
        section(
            "Named protocols: full / occ",
            [
                ["", *first.protocols],
                *(
                    [method, *(f"{percent(p.full)} / {percent(p.occ)}" for p in e.protocols.values())]
                    for method, e in results.items()
                ),
                [
                    "*a perfect prediction*",
                    *(f"{percent(p.ceiling_full)} / {percent(p.ceiling_occ)}" for p in first.protocols.values()),
                ],
            ],
            [name for name, p in first.protocols.items() if p.more],
        ),
        "What each hides:\n\n" + "\n".join(f"- **{n}**: {p.hides}" for n, p in first.protocols.items()),
        section("Ranked masks and tracks", ranked_rows(results)),
        section("Occlusion layers: IoU / AP, and the same with the layer required", layer_rows(results)),
        section("Time", time_rows(results)),
        "Drift is the distance between the centres of the predicted and the true mask, in per cent of the object's "
        "size, by the number of frames for which the object has been fully hidden.",
        section("What each measure fails to notice", probe_rows(probes)),
        "These predictors know the truth and are wrong on purpose. A constant mask is the object's first one in every "
        "frame; a constant error turns over the same pixels in every frame. Neither flicker nor false completion, "
        "track IoU nor identity says anything alone.",
    ]
    return "\n\n".join(sections) + "\n"


def score(truth: Path, methods: Mapping[str, Method]) -> dict[str, Evaluation]:
    """Every method over every clip. One clip is held at a time."""
    counts: dict[str, list[VideoCounts]] = {name: [] for name in methods}
    for key, source in tqdm(find_dataset(truth).clips.items(), desc="score", unit="video"):
        clip = source.tracks()
        for name, method in methods.items():
            counts[name].append(count_video(key, method(clip), clip))
    return {name: score_counts(videos) for name, videos in counts.items()}


def primary_rows(results: Mapping[str, Evaluation]) -> list[list[str]]:
    """The six measures."""
    return [
        ["", *(name.replace("_", " ") for name in MEASURES)],
        *([name, *(percent(getattr(e.primary, m)) for m in MEASURES)] for name, e in results.items()),
    ]


def strata_rows(results: Mapping[str, Evaluation]) -> list[list[str]]:
    """A row for each stratum, a column for each method."""
    strata = next(iter(results.values())).strata
    return [
        ["", "object-frames", *results],
        *(
            [
                name,
                str(s.object_frames),
                *(f"{percent(x.full)} / {percent(x.occ)}" for x in (e.strata[name] for e in results.values())),
            ]
            for name, s in strata.items()
        ),
    ]


def ranked_rows(results: Mapping[str, Evaluation]) -> list[list[str]]:
    """COCO's measures of masks, and YouTube-VIS' of tracks."""
    keys = ("ap", "ap50", "ap75", "ar")
    rows = [["", *(f"{what} {key.upper()}" for what in ("mask", "track") for key in keys)]]
    for name, e in results.items():
        numbers = e.protocols["coco"].more, e.time.track_ap
        rows.append([name, *(percent(each[key]) for each in numbers for key in keys)])
    return rows


def layer_rows(results: Mapping[str, Evaluation]) -> list[list[str]]:
    """A column for each layer, and one over all."""
    layers = next(iter(results.values())).protocols["layered"].more["layers"]
    rows = [["", *(f"layer {layer}" for layer in layers), "all", "in the right layer"]]
    for name, e in results.items():
        more = e.protocols["layered"].more
        cells = [
            "; ".join(f"{percent(each['iou' + kind])} / {percent(each['ap' + kind])}" for kind in ("", "_required"))
            for each in (*more["layers"].values(), more)
        ]
        rows.append([name, *cells, percent(more["right"])])
    return rows


def time_rows(results: Mapping[str, Evaluation]) -> list[list[str]]:
    """Boundary F, and hidden spells."""
    first = next(iter(results.values())).time
    head = ["", "boundary F", "no mask while hidden", "identity at the end", "identity when seen again"]
    rows = [[*head, *(f"drift, {frames} hidden" for frames in first.drift)]]
    for name, e in results.items():
        t = e.time
        values = (t.boundary_f, t.lost, t.identity_hidden, t.identity_after, *t.drift.values())
        rows.append([name, *map(percent, values)])
    return rows


def probe_rows(probes: Mapping[str, Evaluation]) -> list[list[str]]:
    """The primary measures, and one of each kind of the others."""
    rows = [[*primary_rows(probes)[0], "boundary F", "mask AP", "track AP", "drift, 4-7 hidden", "identity at the end"]]
    for name, e in probes.items():
        others = (
            e.time.boundary_f,
            e.protocols["coco"].more["ap"],
            e.time.track_ap["ap"],
            e.time.drift["4-7"],
            e.time.identity_hidden,
        )
        rows.append([name, *(percent(getattr(e.primary, m)) for m in MEASURES), *map(percent, others)])
    return rows


def section(title: str, rows: Sequence[Sequence[str]], without: Sequence[str] = ()) -> str:
    """A heading and a Markdown table, its first row the heads; columns named in ``without`` are left out."""
    kept = [k for k, head in enumerate(rows[0]) if head not in without]
    lines = ["| " + " | ".join(row[k] for k in kept) + " |" for row in rows]
    return "\n".join([f"## {title}\n", lines[0], "|" + " --- |" * len(kept), *lines[1:]])


def spread(interval: tuple[float, float] | None) -> str:
    """An interval in per cent."""
    return "-" if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"


if __name__ == "__main__":
    main()
