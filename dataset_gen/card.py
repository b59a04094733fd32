"""The data card of a data set or of mask-only worlds: what it holds, in numbers and pictures.

``python -m dataset_gen card DIR`` writes ``card.md``, ``card.png`` (charts) and ``sheet.png`` (some clips).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dataset_gen.charts import bar_chart, column_chart
from dataset_gen.options import PROGRAM, Parser
from dataset_gen.truth import object_frames
from dataset_gen.write import OCCLUSION_EDGES, Sample, read_shard, shard_keys
from vidamodal.media.files import write_text
from vidamodal.media.images import save_png
from vidamodal.media.video import open_bytes
from vidamodal.occlusion.layers import layers_from_order
from vidamodal.report.colours import Colour
from vidamodal.report.overlay import ObjectMasks, enlarge_frame, object_masks_at, render_overlay
from vidamodal.report.sheet import contact_sheet
from vidamodal.types import ClipTracks, Frame, InputError
from vidamodal.worlds.sample import WorldBank
from vidamodal.worlds.truth import scene_depth, true_tracks

CLIPS_SHOWN = 4

MOST_WORLDS = 64
"""Mask-only worlds hold no masks: so many of them, evenly chosen, are rasterised as their own cameras see them."""

SIZE_EDGES = (0, 5, 10, 15, 20, 25, 30, 35, 40, 50, 60, 100)
"""Of histograms of an object's size: the side of a square as large as its mask, in per cent of the image's side."""

_CHART = (800, 460)
_FRONT: tuple[Colour, ...] = ((253, 224, 71), (134, 214, 90), (45, 190, 150), (60, 150, 220), (125, 110, 235))
_BACK: Colour = (200, 90, 200)
"""Colours of depth layers: the first five, and all that lie further back."""


def main(arguments: Sequence[str]) -> int:
    """The command ``card``; InputError if the folder holds no finished data set."""
    parser = Parser(prog=f"{PROGRAM} card", description="Describe a finished data set in numbers and pictures.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder that dataset_gen has finished")
    parser.add_argument("--out", type=Path, metavar="CARD", help="folder to write to (default: card-<name of DIR>)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()
    out = options.out or Path(f"card-{folder.name}")
    if out.resolve().is_relative_to(folder):
        raise InputError(f"{out}: {options.folder} holds the data set and nothing else; give another --out")
    manifest = _manifest(options.folder)
    total, clips = _clips(options.folder, manifest)
    shown = set(_spread(total, CLIPS_SHOWN))
    numbers, panels = Numbers(), {}
    for index, clip in enumerate(tqdm(clips, total=total, unit="clip", disable=options.quiet)):
        numbers.add(clip.tracks)
        if index in shown:
            panels.update(_panels(clip))
    text = _text(folder.name, manifest, numbers)
    save_png(out / "card.png", _charts(numbers))
    save_png(out / "sheet.png", contact_sheet(list(panels.values()), 4, list(panels)))
    write_text(out / "card.md", f"{text}\n![Charts of these numbers](card.png)\n\n![Some of the clips](sheet.png)\n")
    print(f"{text}\n{out}: card.md, card.png, sheet.png")
    return 0


@dataclass
class Numbers:
    """Counts over clips. Object-frames count from 64 px at an image height of 256, as in the primary protocol."""

    clips: int = 0
    objects: int = 0
    frames: int = 0
    never_seen: int = 0
    """Objects that no frame shows."""
    shares: list[float] = field(default_factory=list)
    """Hidden share of every counted object-frame."""
    sizes: list[float] = field(default_factory=list)
    """Size of each, as in ``SIZE_EDGES``."""
    spells: list[int] = field(default_factory=list)
    """Lengths, in frames, of unbroken runs of fully hidden counted object-frames."""
    bridged: int = 0
    """Spells with a sighting before and one after."""
    copied: list[float] = field(default_factory=list)
    """A clip's mean IoU of visible with whole masks, over its objects' counted frames with a visible pixel."""
    labels: Counter[str] = field(default_factory=Counter)

    def add(self, clip: ClipTracks) -> None:
        """Count a clip whose truth is known."""
        numbers = object_frames(clip)
        counted, seen = numbers.counted, numbers.visible > 0
        self.clips += 1
        self.objects += len(clip.tracks)
        self.frames += clip.video.frames
        self.never_seen += int(np.count_nonzero(~seen.any(axis=1)))
        self.shares += numbers.hidden[counted].tolist()
        self.sizes += (100 * np.sqrt(numbers.amodal[counted] / (clip.video.height * clip.video.width))).tolist()
        self.labels.update(track.label or "?" for track in clip.tracks)
        objects = [
            1 - np.mean(hidden[frames])
            for hidden, frames in zip(numbers.hidden, counted & seen, strict=True)
            if frames.any()
        ]
        self.copied += [float(np.mean(objects))] if objects else []
        for lost, sighted in zip(counted & ~seen, seen, strict=True):
            for start, stop in np.flatnonzero(np.diff(lost, prepend=False, append=False)).reshape(-1, 2).tolist():
                self.spells.append(stop - start)
                self.bridged += bool(sighted[:start].any() and sighted[stop:].any())


@dataclass(frozen=True)
class _Clip:
    key: str
    tracks: ClipTracks
    picture: Callable[[int], Frame]
    """Draws a frame."""


def _manifest(folder: Path) -> Mapping[str, Any]:
    try:
        document = json.loads((folder / "manifest.json").read_text("utf-8"))
        assert document["format"] in ("vidamodal-dataset", "vidamodal-worlds") and document["run"]
    except (OSError, ValueError, KeyError, TypeError, AssertionError):
        raise InputError(f"{folder}: no finished data set (no manifest.json of dataset_gen); finish it first") from None
    return document


def _clips(folder: Path, manifest: Mapping[str, Any]) -> tuple[int, Iterator[_Clip]]:
    """How many clips there are to see, and they, read one by one."""
    if manifest["format"] == "vidamodal-worlds":
        bank = WorldBank.load(folder)
        chosen = _spread(len(bank.worlds), MOST_WORLDS)
        return len(chosen), (_world(bank, index) for index in chosen)
    shards = sorted(folder.glob("*.tar"))
    total = sum(len(shard_keys(path)) for path in shards)
    return total, (_rendered(sample) for path in shards for sample in read_shard(path))


def _rendered(sample: Sample) -> _Clip:
    def picture(frame: int) -> Frame:
        return next(islice(open_bytes(sample.members["mp4"], sample.key).frames(), frame, None))

    return _Clip(sample.key, sample.clip, picture)


def _world(bank: WorldBank, index: int) -> _Clip:
    """A world in grey: the nearer, the brighter."""
    spec = bank.worlds[index]

    def picture(frame: int) -> Frame:
        near = 1 / scene_depth(spec, bank.meshes)[frame].astype(np.float32)
        return np.repeat((40 + 190 * near / near.max()).astype(np.uint8)[..., None], 3, axis=2)

    return _Clip(f"{spec.split}-{spec.seed}", true_tracks(spec, bank.meshes, ""), picture)


def _spread(total: int, most: int) -> list[int]:
    """Up to so many numbers below ``total``, evenly spread."""
    return np.linspace(0, total - 1, min(most, total)).round().astype(int).tolist()


# Pictures


def _panels(clip: _Clip) -> dict[str, Frame]:
    """The middle frame of a clip by title: as it is, visible masks, whole masks, and who is in front."""
    middle = clip.tracks.video.frames // 2
    picture, objects = clip.picture(middle), object_masks_at(clip.tracks, middle)
    grey = np.repeat(picture.mean(axis=2, keepdims=True) * 0.5, 3, axis=2).astype(np.uint8)
    ids = [item.id for item in objects]
    occluders = layers_from_order(ids, clip.tracks.order[middle] if clip.tracks.order else ()) - 1
    layers = dict(zip(ids, occluders.tolist(), strict=True))
    ordered = [
        ObjectMasks(item.id, item.visible, item.amodal, str(layers[item.id]), (*_FRONT, _BACK)[min(layers[item.id], 5)])
        for item in objects
    ]
    return {
        f"{clip.key}, frame {middle}": enlarge_frame(picture),
        f"{clip.key}: visible": render_overlay(picture, [ObjectMasks(item.id, item.visible, None) for item in objects]),
        f"{clip.key}: whole (hatched: hidden)": render_overlay(picture, objects),
        f"{clip.key}: order (0: nothing in front)": render_overlay(grey, ordered),
    }


def _charts(numbers: Numbers) -> Frame:
    labels = numbers.labels.most_common()
    return contact_sheet(
        [
            column_chart("How much of an object is hidden", *_occlusion(numbers), "% hidden, of object-frames", _CHART),
            column_chart("How long objects stay fully hidden", *_spells(numbers), "frames, of unbroken spells", _CHART),
            column_chart("How large objects are", *_sizes(numbers), "% of the image's side, of object-frames", _CHART),
            bar_chart("What they are", [name for name, _ in labels], [count for _, count in labels], _CHART),
        ],
        columns=2,
    )


# Numbers


def _occlusion(numbers: Numbers) -> tuple[list[str], list[int]]:
    shares = np.array(numbers.shares)
    names = [f"{100 * low:.0f}-{100 * high:.0f}" for low, high in pairwise(OCCLUSION_EDGES)]
    counts = np.histogram(shares[shares < 1], OCCLUSION_EDGES)[0].tolist()
    return [*names, "all"], [*counts, int(np.count_nonzero(shares == 1))]


def _spells(numbers: Numbers) -> tuple[list[str], list[int]]:
    edges = [1, 2, 3, 5, 9, 17]
    while edges[-1] <= max(numbers.spells, default=0):
        edges.append(2 * edges[-1] - 1)
    names = [str(low) if high == low + 1 else f"{low}-{high - 1}" for low, high in pairwise(edges)]
    return names, np.histogram(numbers.spells, [edge - 0.5 for edge in edges])[0].tolist()


def _sizes(numbers: Numbers) -> tuple[list[str], list[int]]:
    names = [f"{low}-{high}" for low, high in pairwise(SIZE_EDGES)]
    return names, np.histogram(numbers.sizes, SIZE_EDGES)[0].tolist()


def _text(name: str, manifest: Mapping[str, Any], numbers: Numbers) -> str:
    """The card in Markdown."""
    run, worlds = manifest["run"], manifest["format"] == "vidamodal-worlds"
    shares, spells = np.array(numbers.shares), np.array(numbers.spells)
    seeds = f"seeds {run['seed']} to {run['seed'] + run['scenes'] - 1}"
    what = "mask-only worlds" if worlds else "videos"
    facts = {
        "scenes": run["scenes"],
        "objects": f"{numbers.objects:,}, {numbers.objects / max(numbers.clips, 1):.1f} a scene",
        "object-frames of at least 64 px (at 256 px)": f"{len(shares):,}",
        "hidden share, mean": _per_cent(shares),
        "not hidden at all": _per_cent(shares == 0),
        "fully hidden": _per_cent(shares == 1),
        "spells of full hiding": f"{len(spells):,}; median {np.median(spells):.0f}, longest {spells.max()} frames"
        if len(spells)
        else "none",
        "of these seen before and after": f"{numbers.bridged:,}",
        "objects never seen": f"{numbers.never_seen:,}",
        "visible masks copied score full": _per_cent(np.array(numbers.copied)),
        "truth_hash": f"`{manifest['truth_hash']}`",
    }
    lines = [
        f"# {name}",
        "",
        f"{run['scenes']} {what}: preset {run['preset']}, split {run['split']}, {seeds}, "
        f"{run['frames']} frames of {run['size']} x {run['size']} px.",
        *([f"Masks are those of {numbers.clips} worlds, seen by their own cameras."] if worlds else []),
        "",
        "| | |",
        "|---|---|",
        *(f"| {fact} | {value} |" for fact, value in facts.items()),
    ]
    for title, (names, counts) in {
        "% hidden": _occlusion(numbers),
        "frames fully hidden": _spells(numbers),
        "size, % of the image's side": _sizes(numbers),
    }.items():
        lines += ["", f"| {title} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        lines += [f"| count | {' | '.join(f'{count:,}' for count in counts)} |"]
    labels = ", ".join(f"{label} {count:,}" for label, count in numbers.labels.most_common())
    return "\n".join([*lines, "", f"Labels: {labels}.", ""])


def _per_cent(values: np.ndarray) -> str:
    return f"{100 * values.mean():.1f} %" if values.size else "unknown"
