"""Kills of predict at random moments: the same command then gives the same bytes, and leaves nothing behind."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from scripts.dev.torture_checks.base import Attempt
from scripts.dev.torture_checks.processes import kill, run_command, start, wait
from scripts.dev.torture_checks.sandbox import changes, listing, write_inputs
from vidamodal.cli import main as command

NAME = "inference"
TRIED = "kills of predict (SIGKILL and SIGTERM) at random moments, half of them while it writes"
PROMISE = (
    "an earlier result is whole or replaced completely; the same command then gives the same bytes and leaves no "
    "temporary file"
)
COUNT = 30
FORMATS = ("--formats", "tracks,png,overlay,masks")


def run(folder: Path, seed: int, count: int) -> Iterator[Attempt]:
    """Kill predictions into an empty folder and over an earlier result in turn; see `base.Check`."""
    inputs, log = write_inputs(folder / "inputs"), folder / "log"
    intact, earlier, out = folder / "intact", folder / "earlier", folder / "out"
    arguments = [*inputs.predict(intact), *FORMATS]
    whole = run_command(arguments, log)
    old = run_command([*inputs.predict(earlier), *FORMATS, "--partial"], log)
    if whole.status or old.status:
        raise RuntimeError(f"a prediction without kills failed: {whole.output}{old.output}")
    expected, before = _result(intact), _result(earlier)
    for number in range(count):
        choose = random.Random(f"{seed} {number}")
        shutil.rmtree(out, ignore_errors=True)
        if number % 2:
            shutil.copytree(earlier, out)
        sign = choose.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
        while_writing, moment = number % 4 > 1, choose.random()
        _kill(arguments[:5] + [out, *arguments[6:]], out, sign, moment * (0.1 if while_writing else whole.seconds), log,
              while_writing)  # fmt: skip
        case = f"kill {number}, {sign.name} at {moment:.3f}{' of the writing' if while_writing else ''}"
        yield Attempt(case, _judge(arguments[:5] + [out, *arguments[6:]], out, expected, before, log))


def _kill(
    arguments: list[object], out: Path, sign: signal.Signals, seconds: float, log: Path, while_writing: bool
) -> None:
    """Start a prediction and end it after some seconds, or some seconds after it began to write."""
    child = start(partial(command, [str(argument) for argument in arguments]), log)
    while while_writing and not any(out.glob(".vidamodal-*")):
        if wait(child, 0.002) is not None:
            return
    if wait(child, seconds) is None:
        kill(child, sign)
        if wait(child, 30) is None:
            kill(child)
            os.waitpid(child, 0)
    time.sleep(0.01)


def _judge(
    arguments: list[object], out: Path, expected: dict[str, str], before: dict[str, str], log: Path
) -> str | None:
    """Return what was lost by a kill, or by the same command after it."""
    tracks = _result(out).get("tracks.json")
    if tracks not in (None, expected["tracks.json"], before["tracks.json"]):
        return "a tracks.json that is neither the earlier nor the new one"
    ended = run_command(arguments, log)
    if ended.fault is not None or ended.status:
        return f"the same command exits with {ended.status}: {ended.fault or ended.output.strip()[-300:]}"
    if differing := changes(expected, _result(out)):
        return f"{', '.join(differing[:3])} differ from a prediction without kills"
    return None


def _result(out: Path) -> dict[str, str]:
    """Return the content of a result, temporary files included, without run.json, which holds timings."""
    return {} if not out.exists() else listing(out, out / "run.json")
