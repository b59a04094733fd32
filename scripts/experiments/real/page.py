"""The page on real video, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from scripts.experiments.common import interval_text, markdown_table
from scripts.experiments.real.sets import SETTINGS, RealClip
from vidamodal.baselines import copy_visible
from vidamodal.metrics.boxes import score_boxes
from vidamodal.metrics.primary import MEASURES, Difference, mean_scores, paired_differences, score_video
from vidamodal.metrics.protocols import load_protocols
from vidamodal.metrics.tables import percent

if TYPE_CHECKING:
    from scripts.experiments.real.__main__ import Run

_STRATA = ("people", "animals", "vehicles", "moving occluder", "post", "wall", "fence", "bush")


def render_page(
    clips: Mapping[str, Sequence[RealClip]],
    runs: Mapping[str, Mapping[str, Run]],
    strips: Mapping[str, Mapping[str, str]],
    depths: Mapping[str, Mapping[str, Run]],
) -> str:
    """Return the page.

    Args:
        clips: The clips of every setting of the composites, and those of "kitti".
        runs: Their results by setting and method; the first method is the one that is looked at closely.
        strips: File names of film strips by setting and title.
        depths: Results of the first model by degradation of the depth and setting.
    """
    first = next(iter(runs["kitti"]))
    parts = [
        "# Real video",
        "Written by `python -m scripts.experiments.real`. All figures are in per cent. These sets measure and are "
        f"neither trained on nor used to choose a model. The film strips and strata show `{first}`.",
        "**Composites**: real animals, people and vehicles (DAVIS 2016), pasted in front of each other or behind "
        "posts, walls, fences and bushes from other videos, so that the ground truth is exact.",
        markdown_table([["setting", "clips", ""], *([s, str(len(clips[s])), text] for s, text in SETTINGS.items())]),
        "## Composites",
        "The primary protocol; *gain* is full and occ minus those of the copied visible masks, with 95 % intervals "
        "over clips.",
        *(_composites(setting, runs[setting]) for setting in SETTINGS),
        "## Depth",
        f"`{first}` with the object's mask alone and depth made from the ground truth: *right*; *rough* as in training "
        "(response curve, blur, displaced edges, offsets and flattening of objects, low-frequency noise, flicker, "
        "unknown frames); *coarse* (8 bits, halos) and *missed* (no occluder in a quarter of the frames), which "
        "training does not show; and *flipped*, which is to be refused. *rule*: unlisted surfaces that touch the "
        "object and are nearer are occluders, everything else is background.",
        _depths(depths, runs, first),
        "## Kinds of objects and occluders",
        f"full / occ of `{first}`, in brackets full of the copied visible masks.",
        _strata(clips, runs, first),
        "## KITTI: amodal boxes",
        f"{len(clips['kitti'])} pieces of 60 frames; masks of KITTI-MOTS in, a partial scene, amodal boxes of KITTI "
        "tracking as ground truth. IoU of the box of the predicted mask; AP as in Diffusion-VAS, the share of boxes "
        "with a greater IoU. *Ghosts* are masks of at least 64 pixels, at a height of 256, before the first or after "
        "the last box of an object.",
        _kitti(runs["kitti"]),
        "## Tracks",
        "HOTA, IDF1 and J&F of MOSEv2 on the composites with all masks (see [protocols](../evaluation.md)).",
        _tracks(runs["behind, partial"]),
        "## Cost",
        _cost(runs),
        "## Film strips",
        "Rows: visible mask, ground truth (the occluded part in another colour), prediction, errors (blue: added area, "
        "orange: missed area). Masks of other objects are dark grey, where the method got them.",
        *(
            f"### {setting}\n\n" + "\n\n".join(f"{title}\n\n![{title}]({name})" for title, name in each.items())
            for setting, each in strips.items()
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _composites(setting: str, runs: Mapping[str, Run]) -> str:
    copied = [score_video(video) for video in runs[copy_visible.ID].counts]
    rows = [["", *(name.replace("_", " ") for name in MEASURES), "gain in full", "gain in occ"]]
    for name, run in runs.items():
        scores = [score_video(video) for video in run.counts]
        mean = mean_scores(scores)
        gain = paired_differences(scores, copied)
        gains = [_gain_text(gain[measure]) for measure in ("full", "occ")]
        rows.append(
            [name, *(percent(getattr(mean, m)) for m in MEASURES), *(["", ""] if name == copy_visible.ID else gains)]
        )
    return f"### {setting}\n\n{markdown_table(rows)}"


def _gain_text(gain: Difference) -> str:
    return "-" if gain.mean is None else f"{percent(gain.mean, '+')} ({interval_text(gain.interval)})"


def _depths(depths: Mapping[str, Mapping[str, Run]], runs: Mapping[str, Mapping[str, Run]], first: str) -> str:
    rows = [
        ["depth", "whole: full", "false completion", "behind: full", "occ", "hidden", "false completion", "refused"]
    ]
    without = {f"{kind}, alone with depth": runs[f"{kind}, alone"][first] for kind in ("whole", "behind")}
    for name, row in {"none": without, **depths}.items():
        whole, behind = (mean_scores([score_video(v) for v in run.counts]) for run in row.values())
        numbers = (whole.full, whole.false_completion, behind.full, behind.occ, behind.hidden, behind.false_completion)
        clips = sum(run.refused + len(run.counts) for run in row.values())
        rows.append([name, *map(percent, numbers), f"{sum(run.refused for run in row.values())} of {clips}"])
    return markdown_table(rows)


def _strata(clips: Mapping[str, Sequence[RealClip]], runs: Mapping[str, Mapping[str, Run]], first: str) -> str:
    rows = [["", *SETTINGS]]
    for stratum in _STRATA:
        cells = []
        for setting in SETTINGS:
            chosen = [k for k, clip in enumerate(clips[setting]) if stratum in clip.strata]
            counts = (runs[setting][name].counts for name in (first, copy_visible.ID))
            ours, copied = (mean_scores([score_video(each[k]) for k in chosen]) for each in counts)
            text = f"{percent(ours.full)} / {percent(ours.occ)} ({percent(copied.full)})"
            cells.append(text if chosen else "-")
        rows.append([stratum, *cells])
    return markdown_table(rows)


def _kitti(runs: Mapping[str, Run]) -> str:
    rows = [["", "boxes", "object-frames", "IoU", "AP25", "AP50", "AP75", "gain in IoU, 95 %", "ghosts"]]
    for name, run in runs.items():
        boxes = score_boxes(run.counts)
        assert boxes is not None
        for place, (group, scores) in enumerate(boxes.groups.items()):
            numbers = [percent(value) for value in (scores.iou, scores.ap25, scores.ap50, scores.ap75)]
            gain = "" if name == copy_visible.ID else interval_text(scores.gain_interval)
            ghosts = "" if place else f"{boxes.ghosts} in {boxes.gone}"
            rows.append(["" if place else name, group, str(scores.object_frames), *numbers, gain, ghosts])
    return markdown_table(rows)


def _tracks(runs: Mapping[str, Run]) -> str:
    rules = load_protocols()
    keys = {"hota": ("hota", "idf1"), "mosev2": ("jf", "j", "f")}
    rows = [["", "HOTA", "IDF1", "J&F", "J", "F"]]
    for name, run in runs.items():
        numbers = [rules[rule].score(run.counts)[key] for rule, wanted in keys.items() for key in wanted]
        rows.append([name, *map(percent, numbers)])
    return markdown_table(rows)


def _cost(runs: Mapping[str, Mapping[str, Run]]) -> str:
    rows = [["CPU-ms for an object-frame", *next(iter(runs.values()))]]
    for setting, methods in runs.items():
        rows.append([setting, *(f"{1000 * run.seconds / _predicted(run):.1f}" for run in methods.values())])
    return markdown_table(rows)


def _predicted(run: Run) -> int:
    masks = (mask for clip in run.predictions for track in clip.tracks for mask in track.amodal or ())
    return max(1, sum(mask is not None for mask in masks))
