"""Make docs/robustness.md and docs/robustness.png: what a model and every baseline make of less, and of worse, masks.

`python -m scripts.experiments.robustness --truth data/test --model tiny`. First the scenes are shown in part: all objects and that
they are all, all objects, only the object itself. Then visible masks are spoilt more and more, one kind at a time
(`vidamodal.data.augment`); every method gets the same spoilt masks of scenes that do not claim to list everything.
What is *visible* to the measures is always the truth's: a spoilt mask is an input, never a yardstick.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from scripts.experiments.curves import Axis, Curve, line_chart, tile_panels
from vidamodal.baselines import load_baselines, predict_baseline
from vidamodal.data.augment import Degradation, degrade
from vidamodal.formats import Clip, find_dataset
from vidamodal.inference.predictor import Predictor
from vidamodal.inference.runtime import FrameSource
from vidamodal.media.files import write_text
from vidamodal.media.images import save_png
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.primary import PrimaryScores, mean_scores, score_video
from vidamodal.metrics.tables import percent
from vidamodal.models.folder import load_model
from vidamodal.types import ClipTracks, InputError, Rle

Method = Callable[[ClipTracks, FrameSource], ClipTracks]
Given = tuple[ClipTracks, ClipTracks]
"""What methods are given of a clip, and the truth that they are scored against."""

STRENGTHS: dict[str, tuple[float, ...]] = {
    "edge": (0.03, 0.1, 0.2),
    "pieces": (0.1, 0.3, 0.6),
    "dropped": (0.1, 0.3, 0.6),
    "merged": (0.1, 0.3, 0.6),
    "unknown": (0.1, 0.3, 0.6),
    "missing": (0.25, 0.5, 0.75),
}
"""How strong each kind of spoiling becomes; 0 is where all curves begin."""
MEANING = {
    "edge": "outlines moved by up to this share of the object's size",
    "pieces": "share of frames in which a piece of the mask is missing",
    "dropped": "share of frames in which the mask is empty though the object is seen",
    "merged": "share of frames in which a touching object's mask has swallowed this one's",
    "unknown": "share of frames without a mask, known to be so",
    "missing": "share of objects that are not listed (the others are scored)",
}
SHOWN = ("full", "occ", "hidden")


def main() -> None:
    """Predict, score and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, required=True, help="a data set in a known layout")
    parser.add_argument("--model", default="tiny", help="a model folder or name (default: the bundled one)")
    parser.add_argument("--clips", type=int, default=6, help="how many clips, evenly spread over the set")
    parser.add_argument("--kinds", nargs="+", default=list(STRENGTHS), choices=STRENGTHS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("docs/results/robustness.md"), help="page, its picture beside it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        clips = list(find_dataset(options.truth).clips.values())
        picked = np.unique(np.linspace(0, len(clips) - 1, options.clips).round().astype(int))
        study = run([clips[k] for k in picked], methods(options.model, options.device), options.kinds, options.seed)
    except InputError as error:
        raise SystemExit(f"robustness.py: {error}") from None
    text = page(options, study)
    write_text(options.out, text)
    save_png(options.out.with_suffix(".png"), picture(study))
    print(text)


@dataclass(frozen=True)
class Study:
    """Scores by setting of the scene, and by kind and strength of spoiling, of each method."""

    scenes: Mapping[str, Mapping[str, PrimaryScores]]
    spoilt: Mapping[str, Mapping[float, Mapping[str, PrimaryScores]]]


def methods(model: str, device: str) -> dict[str, Method]:
    """The model first, then the baselines."""
    predictor = Predictor(load_model(model).model, device)
    found: dict[str, Method] = {Path(model).name: lambda clip, pictures: predictor.predict(clip, frames=pictures)}
    for name in load_baselines():
        found[name] = lambda clip, pictures, name=name: predict_baseline(name, clip)  # type: ignore[misc]
    return found


def run(clips: Sequence[Clip], methods: Mapping[str, Method], kinds: Sequence[str], seed: int) -> Study:
    """Every setting over every clip. One clip is held at a time."""
    scores: dict[tuple[str, float], dict[str, list[PrimaryScores]]] = {}
    bar = tqdm(clips, desc="score", unit="clip")
    for source in bar:
        truth = source.tracks()
        for setting, given in settings(truth, kinds, seed, zlib.crc32(source.key.encode())):
            bar.set_postfix_str(f"{setting[0]} {setting[1] or ''}")
            row = scores.setdefault(setting, {name: [] for name in methods})
            for name, method in methods.items():
                row[name].append(score(method, source.frames, given))
    means = {setting: {m: mean_scores(videos) for m, videos in row.items()} for setting, row in scores.items()}
    return Study(
        scenes={name: means[name, 0.0] for name in ("exhaustive", "all masks", "own mask")},
        spoilt={kind: {0.0: means["all masks", 0.0], **{s: means[kind, s] for s in STRENGTHS[kind]}} for kind in kinds},
    )


def settings(
    truth: ClipTracks, kinds: Sequence[str], seed: int, number: int
) -> Iterator[tuple[tuple[str, float], list[Given]]]:
    """All that methods are given of a clip, by setting and strength; the same noise at every strength."""
    partial = replace(truth, exhaustive=False, order=None)
    yield ("exhaustive", 0.0), [(replace(partial, exhaustive=truth.exhaustive), truth)]
    yield ("all masks", 0.0), [(partial, truth)]
    yield ("own mask", 0.0), [(replace(partial, tracks=(track,)), truth) for track in truth.tracks]
    masks = np.array([[_decode(mask, truth) for mask in track.visible] for track in truth.tracks])
    for kind in kinds:
        for strength in STRENGTHS[kind]:
            rng = np.random.default_rng([seed, number, list(STRENGTHS).index(kind)])
            spoilt = degrade(masks, Degradation(**{kind: strength}), rng)
            tracks = tuple(
                replace(
                    track,
                    visible=tuple(
                        Rle.encode(mask) if known else None
                        for mask, known in zip(spoilt.visible[k], spoilt.known[k], strict=True)
                    ),
                )
                for k, track in enumerate(truth.tracks)
                if spoilt.listed[k]
            )
            listed = {track.id for track in tracks}
            scored = replace(truth, tracks=tuple(track for track in truth.tracks if track.id in listed))
            yield (kind, strength), [(replace(partial, tracks=tracks), scored)]


def _decode(mask: Rle | None, truth: ClipTracks) -> np.ndarray:
    return np.zeros((truth.video.height, truth.video.width), dtype=bool) if mask is None else mask.decode()


def score(method: Method, pictures: FrameSource, given: Sequence[Given]) -> PrimaryScores:
    """The primary protocol of one clip, whose tracks may be given together or one by one."""
    tracks = [track for clip, _ in given for track in method(clip, pictures).tracks]
    clip, truth = given[0]
    return score_video(count_video("clip", replace(clip, tracks=tuple(tracks)), truth, shapes=False))


def page(options: argparse.Namespace, study: Study) -> str:
    """The page as Markdown."""
    name, *baselines = next(iter(study.scenes.values()))
    first = study.scenes["exhaustive"][name]
    points = [*study.scenes.values(), *(row for rows in study.spoilt.values() for s, row in rows.items() if s)]
    leads = {
        measure: [
            getattr(row[name], measure) - max(getattr(row[b], measure) for b in baselines)
            for row in points
            if getattr(row[name], measure) is not None
        ]
        for measure in SHOWN
    }
    lines = [
        "# Robustness",
        f"Made by `python -m scripts.experiments.robustness --truth {options.truth.name} --model {name} --clips {first.videos} "
        f"--seed {options.seed}`: {first.object_frames} object-frames of {first.videos} clips with exact truth. "
        "full / occ / hidden of the primary protocol in per cent. All methods get the same masks. What counts as "
        "visible in the measures is the truth's, however the masks that are given were spoilt.",
        "## Less of the scene",
        table(
            [("masks given", "claimed"), *SCENES.values()],
            [study.scenes[s] for s in SCENES],
        ),
        "## Worse masks",
        "The scenes do not claim to list every object, as a user's do not.",
    ]
    for kind, rows in study.spoilt.items():
        lines += [f"### {kind}: {MEANING[kind]}", table([(kind,), *((f"{s:g}",) for s in rows)], list(rows.values()))]
    lines.append(f"![full, occ and hidden by strength]({options.out.with_suffix('.png').name})")
    lines.append(
        f"Lead of {name} over the best baseline of each row, the least of all {len(points)} rows: "
        + "; ".join(f"{m} {percent(min(gaps), '+')}" for m, gaps in leads.items())
        + "."
    )
    return "\n\n".join(lines) + "\n"


SCENES = {
    "exhaustive": ("of all objects", "that these are all"),
    "all masks": ("of all objects", "nothing"),
    "own mask": ("the object's own", "nothing"),
}


def table(heads: Sequence[tuple[str, ...]], rows: Sequence[Mapping[str, PrimaryScores]]) -> str:
    """A Markdown table: a row for each setting, a column for each method; ``heads`` begin with the columns' names."""
    names = list(rows[0])
    lines = ["| " + " | ".join([*heads[0], *names]) + " |", "|" + " --- |" * (len(heads[0]) + len(names))]
    for head, row in zip(heads[1:], rows, strict=True):
        cells = (" / ".join(percent(getattr(row[n], m)) for m in SHOWN) for n in names)
        lines.append("| " + " | ".join([*head, *cells]) + " |")
    return "\n".join(lines)


def picture(study: Study) -> np.ndarray:
    """A row of panels for each kind, a panel for each measure, a curve for each method."""
    panels = []
    for kind, rows in study.spoilt.items():
        for measure in SHOWN:
            series = [
                Curve(name, [(s, 100 * value) for s, row in rows.items() if (value := getattr(row[name], measure))
                             is not None], dashed=k > 0)
                for k, name in enumerate(next(iter(rows.values())))
            ]  # fmt: skip
            panels.append(line_chart(f"{kind}: {measure}", series, Axis(kind), Axis("per cent", 0, 100), (430, 330)))
    return tile_panels(panels, len(SHOWN))


if __name__ == "__main__":
    main()
