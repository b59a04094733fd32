"""The same prediction in different circumstances: threads, workers, shards, neighbours in a batch and mask formats.

A part of the bundled clip is predicted with the bundled model on the CPU. On one thread, all results must be those of
the first prediction, digit for digit. Other numbers of threads add up in another order, which changes the last digits
of the network's output (of bf16, where the processor has it), and with them single pixels.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from scripts.dev.torture_checks.base import Attempt
from scripts.dev.torture_checks.processes import Limits, run_child
from scripts.dev.torture_checks.sandbox import renew, write_part_of_sample
from vidamodal.cli import main as command
from vidamodal.convert import convert
from vidamodal.tracks import read_tracks

NAME = "determinism"
TRIED = (
    "predictions of a part of the bundled clip with other numbers of threads and workers, in shards, beside other "
    "videos, and from masks in other formats"
)
PROMISE = (
    "the same masks, confidences and order, digit for digit, on one thread; on 2 to 4, masks with an IoU of at least "
    "0.995 on average and 0.95 each, and confidences within 0.01"
)
COUNT = 20
FRAMES = 6
FORMATS = ("coco", "davis", "sav", "youtube-vis", "mots", "shards", "burst", "cvat")
LEAST_IOU, LEAST_MEAN, MOST_OFF = 0.95, 0.995, 0.01
_LIMITS = Limits(300, memory=None)

Result = Mapping[str, Any]
"""Tracks and order of a tracks.json."""


@dataclass(frozen=True)
class _Inputs:
    """Folders with the frames and the tracks.json of each clip, and a log."""

    folder: Path

    @property
    def videos(self) -> Path:
        """Folders of frames by key."""
        return self.folder / "videos"

    @property
    def masks(self) -> Path:
        """Visible masks by key."""
        return self.folder / "masks"

    def predict(self, out: Path, masks: Path | None = None, threads: int = 1) -> Result:
        """Predict the clip alone."""
        self._run(threads, self.videos / "clip", masks or self.masks / "clip.tracks.json", out)
        return _result(out)

    def predict_many(self, out: Path, *options: str) -> None:
        """Predict all clips, which are in the folder."""
        self._run(1, self.videos, self.masks, out, *options)

    def _run(self, threads: int, video: Path, masks: Path, out: Path, *options: str) -> None:
        words = ["predict", video, "--masks", masks, "--out", out, "--device", "cpu", "--exhaustive", *options]
        ended = run_child(
            partial(_command, threads, [*map(str, words), "--formats", "tracks"]), self.folder / "log", _LIMITS
        )
        if ended.status:
            raise RuntimeError(f"predict exits with {ended.status}: {ended.output.strip()[-300:]}")


def _command(threads: int, words: list[str]) -> None:
    torch.set_num_threads(threads)
    command(words)


def run(folder: Path, seed: int, count: int) -> Iterator[Attempt]:
    """Predict the clip in each circumstance in turn; after the last, another part of it; see `base.Check`."""
    circumstances = _circumstances()
    expected: Result = {}
    for number in range(count):
        name, predict = circumstances[number % len(circumstances)]
        if number % len(circumstances) == 0:
            start = random.Random(f"{seed} {number}").randrange(24 - FRAMES)
            inputs = _write_inputs(renew(folder / "inputs"), start)
            expected = inputs.predict(renew(folder / "first"))
        try:
            found = predict(inputs, renew(folder / "out"))
        except RuntimeError as error:
            yield Attempt(name, str(error))
            continue
        is_exact = not name.startswith("threads") or name == "threads 1"
        yield Attempt(name, _differing(expected, found) if is_exact else _far_off(expected, found))


def _write_inputs(folder: Path, start: int) -> _Inputs:
    """Write the clip, and two neighbours that are other parts of the same video."""
    for key, part in (("clip", range(start, start + FRAMES)), ("before", range(2)), ("other", range(20, 24))):
        write_part_of_sample(part, folder / "videos" / key, folder / "masks" / f"{key}.tracks.json")
    return _Inputs(folder)


def _circumstances() -> list[tuple[str, Callable[[_Inputs, Path], Result]]]:
    """Return the names of the circumstances, and functions that predict the clip in them."""
    found: list[tuple[str, Callable[[_Inputs, Path], Result]]] = []
    found += [(f"threads {n}", partial(_with_threads, n)) for n in (1, 2, 3, 4)]
    found += [(f"masks as {form}", partial(_from_format, form)) for form in FORMATS]
    for workers in ("1", "2", "3"):
        found.append((f"{workers} workers, neighbours", partial(_among_others, ("--workers", workers), None)))
    for parts in (2, 3):
        found.append((f"{parts} shards", partial(_among_others, (), parts)))
        found.append((f"{parts} shards, 2 workers", partial(_among_others, ("--workers", "2"), parts)))
    return [*found, ("again", lambda inputs, out: inputs.predict(out))]


def _with_threads(threads: int, inputs: _Inputs, out: Path) -> Result:
    return inputs.predict(out, threads=threads)


def _from_format(form: str, inputs: _Inputs, out: Path) -> Result:
    masks = out / "masks"
    convert(inputs.masks / "clip.tracks.json", masks, form, video=inputs.videos / "clip")
    return inputs.predict(out / "result", masks)


def _among_others(options: tuple[str, ...], parts: int | None, inputs: _Inputs, out: Path) -> Result:
    for part in range(parts or 1):
        inputs.predict_many(out, *options, *(["--shard", f"{part}/{parts}"] if parts else []))
    return _result(out / "clip")


def _result(out: Path) -> Result:
    document = json.loads((out / "tracks.json").read_bytes())
    return {"order": document["order"], **{str(track["id"]): track for track in document["tracks"]}, "out": out}


def _differing(expected: Result, found: Result) -> str | None:
    """Return the first thing that is not the same in two results."""
    for key in sorted((expected.keys() | found.keys()) - {"out"}):
        mine, theirs = expected.get(key), found.get(key)
        if isinstance(mine, dict) and isinstance(theirs, dict):  # a track, whose label not every format holds
            fields = ("visible", "amodal", "confidence", "present")
            mine, theirs = ({name: track.get(name) for name in fields} for track in (mine, theirs))
        if mine != theirs:
            return f"{'track ' * (key != 'order')}{key} differs"
    return None


def _far_off(expected: Result, found: Result) -> str | None:
    """Return the first mask or confidence that differs by more than rounding does."""
    mine, theirs = (read_tracks(result["out"] / "tracks.json") for result in (expected, found))
    ious: list[float] = []
    for track, other in zip(mine.tracks, theirs.tracks, strict=True):
        for t, (a, b) in enumerate(zip(track.amodal or (), other.amodal or (), strict=True)):
            if a is None or b is None:
                continue
            both, either = (a.decode() & b.decode()).sum(), (a.decode() | b.decode()).sum()
            ious.append(float(both / either) if either else 1.0)
            if ious[-1] < LEAST_IOU:
                return f"track {track.id}, frame {t}: an IoU of {ious[-1]:.4f}"
        for t, (p, q) in enumerate(zip(track.confidence or (), other.confidence or (), strict=True)):
            if abs((p or 0) - (q or 0)) > MOST_OFF:
                return f"track {track.id}, frame {t}: confidences of {p} and {q}"
    return None if sum(ious) >= LEAST_MEAN * len(ious) else f"a mean IoU of {sum(ious) / len(ious):.5f}"
