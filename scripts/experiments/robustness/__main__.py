"""Score a model and all baselines on incomplete scenes and degraded masks: docs/results/robustness.md and .png.

    python -m scripts.experiments.robustness --truth data/test --model tiny

All methods receive the same degraded masks (`vidamodal.data.augment`); the measures use the true visible masks.
"""

from __future__ import annotations

import zlib
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from scripts.experiments.common import RESULTS, experiment_parser, markdown_table, run_experiment, spread_clips
from scripts.experiments.curves import Axis, Curve, line_chart, tile_panels
from vidamodal.baselines import load_baselines, predict_baseline
from vidamodal.data.augment import Degradation, degrade
from vidamodal.formats import Clip
from vidamodal.inference.predictor import Predictor
from vidamodal.inference.runtime import FrameSource
from vidamodal.media.files import write_text
from vidamodal.media.images import save_png
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.primary import PrimaryScores, mean_scores, score_video
from vidamodal.metrics.tables import percent
from vidamodal.models.folder import load_model
from vidamodal.types import ClipTracks, Rle

Method = Callable[[ClipTracks, FrameSource], ClipTracks]
InputAndTruth = tuple[ClipTracks, ClipTracks]
"""The tracks that a method receives, and the truth that it is scored against."""
Setting = tuple[str, float]
"""A kind of scene or of degradation, and its strength."""

SCENES = {
    "exhaustive": ("of all objects", "that these are all"),
    "all masks": ("of all objects", "nothing"),
    "own mask": ("the object's own", "nothing"),
}
"""For each scene: the masks that are passed, and what is claimed about them."""
STRENGTHS: dict[str, tuple[float, ...]] = {
    "edge": (0.03, 0.1, 0.2),
    "pieces": (0.1, 0.3, 0.6),
    "dropped": (0.1, 0.3, 0.6),
    "merged": (0.1, 0.3, 0.6),
    "unknown": (0.1, 0.3, 0.6),
    "missing": (0.25, 0.5, 0.75),
}
"""Strengths of each kind of degradation; all curves start at 0."""
MEANING = {
    "edge": "outlines moved by up to this share of the object's size",
    "pieces": "share of frames in which a piece of the mask is missing",
    "dropped": "share of frames in which the mask is empty although the object is visible",
    "merged": "share of frames in which the mask of a touching object contains this one's",
    "unknown": "share of frames without an annotation",
    "missing": "share of objects that are not listed (the others are scored)",
}
MEASURES_SHOWN = ("full", "occ", "hidden")


def main() -> None:
    """Parse the command line, score and write the page and its picture."""
    parser = experiment_parser("robustness", __doc__)
    parser.add_argument("--truth", type=Path, required=True, help="a data set")
    parser.add_argument("--model", default="tiny", help="a model folder or name (default: the bundled one)")
    parser.add_argument("--clips", type=int, default=6, help="number of clips, evenly spread over the data set")
    parser.add_argument("--kinds", nargs="+", default=list(STRENGTHS), choices=list(STRENGTHS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=RESULTS / "robustness.md", help="page; its picture lies beside it")
    options = parser.parse_args()

    def run() -> None:
        clips = spread_clips(options.truth, options.clips)
        study = run_study(clips, load_methods(options.model, options.device), options.kinds, options.seed)
        text = render_page(options, study)
        write_text(options.out, text)
        save_png(options.out.with_suffix(".png"), render_curves(study))
        print(text)

    run_experiment("robustness", run)


@dataclass(frozen=True)
class Study:
    """Scores of every method.

    Attributes:
        scenes: Scores by kind of scene and method.
        degraded: Scores by kind and strength of degradation and method.
    """

    scenes: Mapping[str, Mapping[str, PrimaryScores]]
    degraded: Mapping[str, Mapping[float, Mapping[str, PrimaryScores]]]


def load_methods(model: str, device: str) -> dict[str, Method]:
    """Return the model first, then the baselines."""
    predictor = Predictor(load_model(model).model, device)

    def baseline_method(name: str) -> Method:
        return lambda clip, _: predict_baseline(name, clip)

    methods: dict[str, Method] = {Path(model).name: lambda clip, frames: predictor.predict(clip, frames=frames)}
    return methods | {name: baseline_method(name) for name in load_baselines()}


def run_study(clips: Sequence[Clip], methods: Mapping[str, Method], kinds: Sequence[str], seed: int) -> Study:
    """Score every method in every setting, with one clip in memory at a time."""
    scores: dict[Setting, dict[str, list[PrimaryScores]]] = {}
    bar = tqdm(clips, desc="score", unit="clip")
    for source in bar:
        truth = source.tracks()
        for setting, inputs in make_settings(truth, kinds, seed, zlib.crc32(source.key.encode())):
            bar.set_postfix_str(f"{setting[0]} {setting[1] or ''}")
            row = scores.setdefault(setting, {name: [] for name in methods})
            for name, method in methods.items():
                row[name].append(score_method(method, source.frames, inputs))
    means = {setting: {m: mean_scores(videos) for m, videos in row.items()} for setting, row in scores.items()}
    return Study(
        scenes={name: means[name, 0.0] for name in SCENES},
        degraded={
            kind: {0.0: means["all masks", 0.0], **{s: means[kind, s] for s in STRENGTHS[kind]}} for kind in kinds
        },
    )


def make_settings(
    truth: ClipTracks, kinds: Sequence[str], seed: int, clip_number: int
) -> Iterator[tuple[Setting, list[InputAndTruth]]]:
    """Yield every setting of a clip with its inputs; the strengths of one kind share their random numbers."""
    partial = replace(truth, exhaustive=False, order=None)
    yield ("exhaustive", 0.0), [(replace(partial, exhaustive=truth.exhaustive), truth)]
    yield ("all masks", 0.0), [(partial, truth)]
    yield ("own mask", 0.0), [(replace(partial, tracks=(track,)), truth) for track in truth.tracks]
    masks = np.array([[_decode(mask, truth) for mask in track.visible] for track in truth.tracks])
    for kind in kinds:
        for strength in STRENGTHS[kind]:
            rng = np.random.default_rng([seed, clip_number, list(STRENGTHS).index(kind)])
            yield (kind, strength), [_degrade_clip(truth, masks, Degradation(**{kind: strength}), rng)]


def _degrade_clip(
    truth: ClipTracks, masks: np.ndarray, degradation: Degradation, rng: np.random.Generator
) -> InputAndTruth:
    """Return a partial scene with degraded masks, and the ground truth of its listed objects."""
    degraded = degrade(masks, degradation, rng)
    tracks = tuple(
        replace(
            track,
            visible=tuple(
                Rle.encode(mask) if known else None
                for mask, known in zip(degraded.visible[k], degraded.known[k], strict=True)
            ),
        )
        for k, track in enumerate(truth.tracks)
        if degraded.listed[k]
    )
    listed = {track.id for track in tracks}
    scored = replace(truth, tracks=tuple(track for track in truth.tracks if track.id in listed))
    return replace(truth, exhaustive=False, order=None, tracks=tracks), scored


def _decode(mask: Rle | None, truth: ClipTracks) -> np.ndarray:
    return np.zeros((truth.video.height, truth.video.width), dtype=bool) if mask is None else mask.decode()


def score_method(method: Method, frames: FrameSource, inputs: Sequence[InputAndTruth]) -> PrimaryScores:
    """Score a clip by the primary protocol; its tracks may be split over several inputs."""
    tracks = [track for clip, _ in inputs for track in method(clip, frames).tracks]
    clip, truth = inputs[0]
    return score_video(count_video("clip", replace(clip, tracks=tuple(tracks)), truth, shapes=False))


def render_page(options: Namespace, study: Study) -> str:
    """Return the page as Markdown."""
    name, *baselines = next(iter(study.scenes.values()))
    first = study.scenes["exhaustive"][name]
    settings = [*study.scenes.values(), *(row for rows in study.degraded.values() for s, row in rows.items() if s)]
    leads = {
        measure: [
            getattr(row[name], measure) - max(getattr(row[b], measure) for b in baselines)
            for row in settings
            if getattr(row[name], measure) is not None
        ]
        for measure in MEASURES_SHOWN
    }
    lines = [
        "# Robustness",
        f"Written by `python -m scripts.experiments.robustness --truth {options.truth.name} --model {name} --clips "
        f"{first.videos} --seed {options.seed}`: {first.object_frames} object-frames of {first.videos} clips with "
        "exact ground truth. Cells hold full / occ / hidden of the primary protocol in per cent. All methods receive "
        "the same masks. The measures use the true visible masks, however the input masks were degraded.",
        "## Incomplete scenes",
        markdown_table(score_rows([("masks passed", "claim"), *SCENES.values()], [study.scenes[s] for s in SCENES])),
        "## Degraded masks",
        "The scenes are partial: they do not claim to list every object.",
    ]
    for kind, rows in study.degraded.items():
        headers = [(kind,), *((f"{s:g}",) for s in rows)]
        lines += [f"### {kind}: {MEANING[kind]}", markdown_table(score_rows(headers, list(rows.values())))]
    lines.append(f"![full, occ and hidden by strength]({options.out.with_suffix('.png').name})")
    lines.append(
        f"Smallest lead of {name} over the best baseline in any of the {len(settings)} rows: "
        + "; ".join(f"{m} {percent(min(gaps), '+')}" for m, gaps in leads.items())
        + "."
    )
    return "\n\n".join(lines) + "\n"


def score_rows(headers: Sequence[tuple[str, ...]], rows: Sequence[Mapping[str, PrimaryScores]]) -> list[list[str]]:
    """Return table rows, one per setting with a column per method; the first header names the columns."""
    names = list(rows[0])
    table = [[*headers[0], *names]]
    for header, row in zip(headers[1:], rows, strict=True):
        cells = (" / ".join(percent(getattr(row[n], m)) for m in MEASURES_SHOWN) for n in names)
        table.append([*header, *cells])
    return table


def render_curves(study: Study) -> np.ndarray:
    """Render a row of panels per kind of degradation, a panel per measure and a curve per method."""
    panels = []
    for kind, rows in study.degraded.items():
        for measure in MEASURES_SHOWN:
            series = []
            for k, name in enumerate(next(iter(rows.values()))):
                values = {strength: getattr(row[name], measure) for strength, row in rows.items()}
                points = [(s, 100 * value) for s, value in values.items() if value is not None]
                series.append(Curve(name, points, dashed=k > 0))
            panels.append(line_chart(f"{kind}: {measure}", series, Axis(kind), Axis("per cent", 0, 100), (430, 330)))
    return tile_panels(panels, len(MEASURES_SHOWN))


if __name__ == "__main__":
    main()
