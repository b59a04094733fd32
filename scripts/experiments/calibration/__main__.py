"""Make docs/calibration.md and docs/calibration.png: whether probabilities and confidences mean what they say.

`python -m scripts.experiments.calibration --truth data/test --fit data/worlds-validation --model tiny`. Reliability and ECE of the
pixels that other objects cover, a temperature fitted to the clips of ``--fit``, what it changes on those of
``--truth``, and how well the confidence, an expected IoU, foretells the true one. With ``--hypotheses 8`` also what the
best of 1, 4 and 8 hypotheses of a *track* is worth, how far they lie apart and how much they flicker.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from tqdm import tqdm

from scripts.experiments.calibration.hypothesis_scores import HypothesisScores, score_hypotheses
from scripts.experiments.calibration.reliability import Reliability, Scaling, fit_scaling
from scripts.experiments.curves import Axis, Curve, line_chart, tile_panels
from vidamodal.formats import Clip, find_dataset
from vidamodal.hub import find_model
from vidamodal.inference.compose import FramePrediction
from vidamodal.inference.predictor import Predictor
from vidamodal.media.files import write_text
from vidamodal.media.images import save_png
from vidamodal.metrics.averages import mean
from vidamodal.metrics.counting import count_video
from vidamodal.metrics.primary import MEASURES, PrimaryScores, mean_scores, score_video
from vidamodal.metrics.tables import percent
from vidamodal.models.folder import Model, load_model
from vidamodal.report.overlay import ObjectMasks, render_overlay
from vidamodal.report.sheet import contact_sheet
from vidamodal.types import ClipTracks, InputError, Rle, Track

WHERE = {
    "occluded": "covered by others, of objects seen in part",
    "hidden": "covered by others, of objects not seen at all",
    "free": "showing no object",
}
"""Pixels of an object's window that do not show the object itself, where its visible mask is known."""
UNSURE = (1 / 15, 14 / 15)
SHOWN = ("full", "occ", "hidden", "flicker")


def main() -> None:
    """Predict, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, required=True, help="a data set in a known layout, to measure on")
    parser.add_argument("--fit", type=Path, required=True, help="another one, to fit the temperature on")
    parser.add_argument("--model", default="tiny", help="a model folder or name (default: the bundled one)")
    parser.add_argument("--head", help="a head of the model (default: its own)")
    parser.add_argument("--clips", type=int, default=6, help="how many clips of each set, evenly spread over it")
    parser.add_argument("--keep", action="store_true", help="write the temperature into the model's config.json")
    parser.add_argument("--hypotheses", type=int, default=1, help="how many to draw (more than 1: measure them, too)")
    parser.add_argument("--sampled", type=int, default=2, help="how many of the clips to draw hypotheses of")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("docs/results/calibration.md"), help="page, its pictures beside it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        network = load_model(options.model, options.head).model
        held_out, fitting = (pick(path, options.clips) for path in (options.truth, options.fit))
        raw = measure(network, fitting, options.device, constrain=False, title="fit")
        scaling = fit_scaling(raw.fitting)
        shifted = fit_scaling(raw.fitting, shifted=True)
        found = measure(network, held_out, options.device, constrain=True, title="measure")
        scaled = measure(tempered(network, scaling), held_out, options.device, constrain=True, title="at temperature")
        if options.keep:
            temperature = network.config.temperature * scaling.temperature
            keep_temperature(find_model(options.model), temperature, network.config.head)
        text = page(options, found, scaled, scaling, shifted, network.config.temperature)
        save_png(options.out.with_suffix(".png"), picture(found, scaled))
        write_text(options.out, text)  # whatever becomes of the hypotheses, which take longest
        if options.hypotheses > 1:
            drawn, example = sample(network, held_out[: options.sampled], options.hypotheses, options.device)
            beside_it = options.out.with_name(f"{options.out.stem}-hypotheses.png")
            text += hypotheses_page(drawn, options.hypotheses, beside_it.name)
            save_png(beside_it, example)
            write_text(options.out, text)
    except InputError as error:
        raise SystemExit(f"calibrate.py: {error}") from None
    print(text)


def pick(path: Path, count: int) -> list[Clip]:
    """So many clips, evenly spread over a data set."""
    clips = list(find_dataset(path).clips.values())
    return [clips[k] for k in np.unique(np.linspace(0, len(clips) - 1, count).round().astype(int))]


def tempered(model: Model, scaling: Scaling) -> Model:
    """The same model at its temperature times that of ``scaling``."""
    copied = copy.deepcopy(model)
    copied.config = replace(copied.config, temperature=copied.config.temperature * scaling.temperature)
    return copied


def keep_temperature(folder: Path, temperature: float, head: str) -> None:
    """Give a model its temperature with a head, to two digits."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "heads" not in config or config["model"]["head"] == head:
        config["model"]["temperature"] = round(temperature, 2)
    else:
        config.setdefault("temperatures", {})[head] = round(temperature, 2)
    write_text(folder / "config.json", json.dumps(config, indent=2, sort_keys=True) + "\n")


@dataclass
class Found:
    """What is measured over clips: pixels by ``WHERE`` they lie, object-frames' confidences, and scores."""

    pixels: dict[str, Reliability] = field(default_factory=lambda: {name: Reliability.even() for name in WHERE})
    fitting: Reliability = field(default_factory=Reliability.fine)
    confidences: list[float] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    occluded: list[bool] = field(default_factory=list)
    scores: list[PrimaryScores] = field(default_factory=list)

    def split(self, hard: bool) -> tuple[np.ndarray, np.ndarray]:
        """Confidences and IoUs of the counted object-frames with at least 5 % hidden, or of the others."""
        chosen = np.array(self.occluded) == hard
        return np.array(self.confidences)[chosen], np.array(self.ious)[chosen]


def measure(model: Model, clips: Sequence[Clip], device: str, constrain: bool, title: str) -> Found:
    """Streams every clip once. Held are the run lengths of one clip, and sums."""
    predictor, found = Predictor(model, device, constrain=constrain, keep_probabilities=True), Found()
    for source in tqdm(clips, desc=title, unit="clip"):
        truth = source.tracks()
        frames = []
        for frame in predictor.stream(truth, frames=source.frames):
            add_pixels(found, frame, truth)
            frames.append(
                {n: replace(c, probability=None) for n, c in frame.objects.items()}  # pixels go, run lengths stay
            )
        tracks = []
        for track in truth.tracks:
            held = [objects.get(track.id) for objects in frames]
            tracks.append(
                replace(
                    track,
                    amodal=tuple(c.masks[0] if c else None for c in held),
                    confidence=tuple(c.confidence[0] if c else None for c in held),
                )
            )
        counts = count_video(source.key, replace(truth, tracks=tuple(tracks)), truth, shapes=False)
        found.scores.append(score_video(counts))
        confidence = {track.id: track.confidence for track in tracks}
        for counted in counts.tracks:
            promised = confidence[counted.id] or ()
            for t in np.flatnonzero(counted.scored):
                value = promised[t]
                if value is not None:
                    found.confidences.append(value)
                    found.ious.append(float(counted.iou[t]))
                    found.occluded.append(bool(counted.occluded[t]))
    return found


def add_pixels(found: Found, frame: FramePrediction, truth: ClipTracks) -> None:
    """The pixels of every object's window in a frame."""
    anyone = np.zeros((truth.video.height, truth.video.width), dtype=bool)
    for track in truth.tracks:
        anyone |= decoded(track.visible[frame.number], anyone)
    for track in truth.tracks:
        seen, whole = track.visible[frame.number], track.amodal[frame.number] if track.amodal else None
        completed = frame.objects.get(track.id)
        if seen is None or whole is None or completed is None or completed.probability is None:
            continue
        window = completed.probability
        here = (window.rows, window.columns)
        visible, covered, amodal = (mask[here] for mask in (seen.decode(), anyone, whole.decode()))
        others = covered & ~visible
        for name, pixels in (("occluded" if visible.any() else "hidden", others), ("free", ~covered)):
            found.pixels[name].add(window.values[pixels], amodal[pixels])
        found.fitting.add(window.values[others], amodal[others])


def decoded(mask: Rle | None, like: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """A mask, empty where none is known."""
    return np.zeros_like(like) if mask is None else mask.decode()


def page(
    options: argparse.Namespace, found: Found, scaled: Found, scaling: Scaling, shifted: Scaling, own: float
) -> str:
    """The page as Markdown; ``own`` is the model's temperature."""
    name = Path(options.model).name
    scores, after = mean_scores(found.scores), mean_scores(scaled.scores)
    columns = (name, f"{name} at temperature {own * scaling.temperature:.2f}")
    lines = [
        "# Calibration",
        f"Made by `python -m scripts.experiments.calibration --truth {options.truth.name} --fit {options.fit.name} --model {name} "
        + (f"--head {options.head} " if options.head else "")
        + f"--clips {options.clips}`"
        + (f" with `--hypotheses {options.hypotheses} --sampled {options.sampled}`" if options.hypotheses > 1 else "")
        + f": {scores.object_frames} object-frames of {scores.videos} clips with exact truth, which nothing was fitted "
        "on. Pixels are those of the objects' windows that do not show the object itself; ECE in per cent, 15 bins.",
        "## Pixels",
        "| pixels | how many | belong to the object | ECE | bias | unsure | ECE of these | ECE at the temperature | "
        "bias | ECE of the unsure |",
        "| --- |" + " --- |" * 9,
    ]
    rows = []
    for where, says in WHERE.items():
        one, other = found.pixels[where], scaled.pixels[where]
        total = one.count.sum()
        cells = [f"{total:.0f}", percent(one.observed.sum() / total if total else None)]
        for k, pixels in enumerate((one, other)):
            unsure = pixels.between(*UNSURE)
            cells += [hundredths(pixels.ece), hundredths(pixels.bias, "+")]
            cells += [percent(unsure.count.sum() / total if total else None)] if k == 0 else []
            cells += [hundredths(unsure.ece)]
        rows.append(f"| {says} | " + " | ".join(cells) + " |")
    lines[-2:] = ["\n".join([*lines[-2:], *rows])]
    lines += [
        f"Unsure are probabilities from {UNSURE[0]:.3f} to {UNSURE[1]:.3f}: all but the outermost bins. The bias is "
        "the mean probability less the observed frequency.",
        f"{name} has a temperature of {own:.3f}. Times {scaling.temperature:.3f} it fits the covered pixels of "
        f"{options.fit.name} best: that takes the log loss of the network's own probabilities from "
        f"{scaling.before:.4f} to {scaling.after:.4f} nats a pixel. A shift beside it ({shifted.shift:+.3f}, times "
        f"{shifted.temperature:.3f}) would reach {shifted.after:.4f}.",
        "\n".join(
            [
                "| | " + " | ".join(MEASURES) + " |",
                "|" + " --- |" * (len(MEASURES) + 1),
                *(
                    f"| {title} | " + " | ".join(percent(getattr(s, m)) for m in MEASURES) + " |"
                    for title, s in zip(columns, (scores, after), strict=True)
                ),
            ]
        ),
        f"![Reliability of the pixels]({options.out.with_suffix('.png').name})",
        "## Confidence",
        "\n".join(
            [
                "| object-frames | | how many | mean confidence | mean IoU | mean distance | correlation | of ranks |",
                "| --- |" + " --- |" * 7,
                *(
                    f"| {says} | {title} | " + " | ".join(confidence_cells(*each.split(hard))) + " |"
                    for hard, says in ((True, "at least 5 % hidden"), (False, "less hidden"))
                    for title, each in zip(columns, (found, scaled), strict=True)
                ),
            ]
        ),
        "The confidence is the IoU that the mask would have on average if the probabilities held for each pixel by "
        "itself. The mean distance is that of an object-frame's confidence to its IoU.",
    ]
    return "\n\n".join(lines) + "\n"


def confidence_cells(confidence: np.ndarray, iou: np.ndarray) -> list[str]:
    """Figures of how confidences foretell IoUs."""
    if len(iou) < 2:
        return [str(len(iou)), *["-"] * 5]
    ranks = [values.argsort().argsort() for values in (confidence, iou)]
    return [
        str(len(iou)),
        percent(float(confidence.mean())),
        percent(float(iou.mean())),
        percent(float(np.abs(confidence - iou).mean())),
        f"{np.corrcoef(confidence, iou)[0, 1]:.2f}",
        f"{np.corrcoef(*ranks)[0, 1]:.2f}",
    ]


def hundredths(value: float | None, sign: str = "") -> str:
    """Per cent with two digits."""
    return "-" if value is None else f"{100 * value:{sign}.2f}"


def picture(found: Found, scaled: Found) -> np.ndarray:
    """A reliability diagram for the covered pixels of objects seen in part, and of those not seen."""
    panels = []
    for where in ("occluded", "hidden"):
        series = [
            Curve("as it is", found.pixels[where].diagram),
            Curve("at the temperature", scaled.pixels[where].diagram),
            Curve("", [(0, 0), (1, 1)], dashed=True),
        ]
        axes = Axis("predicted probability", 0, 1), Axis("observed frequency", 0, 1)
        panels.append(line_chart(f"Pixels {WHERE[where]}", series, *axes, size=(540, 460)))
    return tile_panels(panels, 2)


def sample(model: Model, clips: Sequence[Clip], count: int, device: str) -> tuple[list[HypothesisScores], np.ndarray]:
    """Scores of the hypotheses of every clip, and a picture of those that lie furthest apart in the first one."""
    predictor = Predictor(model, device, hypotheses=count)
    scores, example = [], None
    for source in tqdm(clips, desc=f"{count} hypotheses", unit="clip"):
        truth = source.tracks()
        prediction = predictor.predict(truth, frames=source.frames)
        scores.append(score_hypotheses(prediction, truth, steps(count)))
        example = film(prediction, truth) if example is None else example
    assert example is not None  # a data set has a clip
    return scores, example


def steps(count: int) -> list[int]:
    """1, 4 and all hypotheses."""
    return sorted({k for k in (1, 4, count) if k <= count})


def film(prediction: ClipTracks, truth: ClipTracks, columns: int = 5) -> np.ndarray:
    """A track with much to guess in some frames (columns): what is seen, the truth, the one pass, drawn hypotheses."""
    hidden = {t.id: sum(areas(t.amodal)) - sum(areas(t.visible)) for t in truth.tracks if t.ever_visible}
    number = max(hidden, key=lambda n: hidden[n])
    track = next(t for t in prediction.tracks if t.id == number)
    true = next(t for t in truth.tracks if t.id == number)
    frames = np.linspace(0, truth.video.frames - 1, columns).round().astype(int)
    rows: list[tuple[str, Sequence[Rle | None]]] = [("truth", true.amodal or ())]
    rows += [("one pass" if h == 0 else f"drawn {h}", x.amodal) for h, x in enumerate(track.hypotheses)]
    panels = [frame_of(truth, track, masks, int(t)) for _, masks in rows for t in frames]
    return contact_sheet(panels, columns, [f"{title}, frame {t}" for title, _ in rows for t in frames])


def areas(masks: Sequence[Rle | None] | None) -> Iterator[int]:
    """Pixels in each mask."""
    return (0 if mask is None else mask.area() for mask in masks or ())


def frame_of(truth: ClipTracks, track: Track, amodal: Sequence[Rle | None], t: int) -> np.ndarray:
    """One completion in one frame, over the visible masks of the others in grey, at half its drawn size."""
    ground = np.full((truth.video.height, truth.video.width, 3), 60, dtype=np.uint8)
    for k, other in enumerate(truth.tracks):
        if other.id != track.id:
            ground[decoded(other.visible[t], ground[..., 0] > 0)] = 90 + 70 * k // len(truth.tracks)
    own, whole = (None if mask is None else mask.decode() for mask in (track.visible[t], amodal[t]))
    drawn = (
        render_overlay(ground, [ObjectMasks(track.id, own, whole, label="")])
        if own is not None or whole is not None
        else ground
    )
    return drawn[:: max(1, len(drawn) // 256), :: max(1, len(drawn) // 256)]


def hypotheses_page(scores: Sequence[HypothesisScores], count: int, png: str) -> str:
    """What the hypotheses are worth, as Markdown."""
    rows = [
        "\n## Hypotheses\n",
        f"Of the tracks of {len(scores)} of the clips. The first hypothesis is the one pass, the others are drawn. The "
        "best is chosen by the truth, once for the whole track and for each measure by itself; *own choice* is the one "
        "with the highest score of its own.\n",
        "| hypotheses | " + " | ".join(SHOWN) + " | spread |",
        "| --- |" + " --- |" * (len(SHOWN) + 1),
    ]
    lines = [(f"best of {k}", [s.best[k] for s in scores], [s.spread[k] for s in scores]) for k in steps(count)]
    lines += [(f"own choice of {k}", [s.picked[k] for s in scores], []) for k in steps(count) if k > 1]
    lines += [("the one pass", [s.each[0] for s in scores], [])]
    lines += [("any drawn one", [each for s in scores for each in s.each[1:]], [])]
    for title, values, spreads in lines:
        cells = [percent(mean(each[m] for each in values)) for m in SHOWN]
        rows.append(f"| {title} | " + " | ".join([*cells, percent(mean(spreads))]) + " |")
    rows += [
        "\nSpread is the mean over pairs of hypotheses of 1 - IoU of what they add to the visible mask, over the whole "
        "track.\n",
        f"![Hypotheses of one track through its clip]({png})\n",
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
