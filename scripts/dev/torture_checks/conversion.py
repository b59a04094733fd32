"""Kills of convert and evaluate at random moments: the same command then gives the same bytes, and leaves nothing."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scripts.dev.torture_checks.base import Attempt
from scripts.dev.torture_checks.processes import kill, run_command, start, wait
from scripts.dev.torture_checks.sandbox import changes, listing, renew, write_inputs
from vidamodal.cli import main as command

NAME = "conversion"
TRIED = "kills of convert and evaluate (SIGKILL and SIGTERM) at random moments, half of them while they write"
PROMISE = "written completely or not at all; the same command then gives the same bytes and leaves no temporary file"
COUNT = 40


@dataclass(frozen=True)
class _Job:
    """A command without its output, the options of which follow."""

    name: str
    words: tuple[object, ...]
    outputs: tuple[tuple[str, str], ...]
    """Option and file name of each output."""

    def arguments(self, out: Path) -> list[object]:
        """Return the words of the command with its outputs in a folder."""
        return [*self.words, *(word for option, name in self.outputs for word in (option, out / name))]


def run(folder: Path, seed: int, count: int) -> Iterator[Attempt]:
    """Kill each command in turn; see `base.Check`."""
    inputs, log, out = write_inputs(folder / "inputs"), folder / "log", folder / "out"
    jobs = [
        *(
            _Job(
                f"convert to {form}",
                ("convert", inputs.masks, "--video", inputs.video, "--to", form),
                (("--out", "converted"),),
            )
            for form in ("sav", "coco", "shards", "movid-a")
        ),
        _Job(
            "evaluate",
            ("evaluate", "--pred", inputs.masks, "--truth", inputs.masks),
            (("--out", "metrics.json"), ("--report", "report.html")),
        ),
    ]
    whole: dict[str, tuple[float, dict[str, str]]] = {}
    for number in range(count):
        job, choose = jobs[number % len(jobs)], random.Random(f"{seed} {number}")
        if job.name not in whole:
            ended = run_command(job.arguments(renew(out)), log)
            if ended.status:
                raise RuntimeError(f"{job.name} without a kill exits with {ended.status}: {ended.output}")
            whole[job.name] = ended.seconds, listing(out)
        seconds, expected = whole[job.name]
        what = _kill(job.arguments(renew(out)), out, choose, seconds, log, number // len(jobs) % 2 == 1)
        yield Attempt(f"{job.name} {number}, {what}", _judge(job, out, expected, log))


def _kill(
    arguments: list[object], out: Path, choose: random.Random, seconds: float, log: Path, while_writing: bool
) -> str:
    """Start a command, end it at a random moment, or at one after it began to write, and describe how."""
    sign = choose.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
    moment = choose.random() * (0.1 if while_writing else 1.0) * seconds
    child = start(partial(command, [str(argument) for argument in arguments]), log)
    ended = False
    while while_writing and not ended and not any(out.iterdir()):
        ended = wait(child, 0.001) is not None
    if not ended and wait(child, moment) is None:
        kill(child, sign)
        if wait(child, 30) is None:
            kill(child)
            os.waitpid(child, 0)
    return f"{sign.name} after {moment:.3f} s{' of writing' if while_writing else ''}"


def _judge(job: _Job, out: Path, expected: dict[str, str], log: Path) -> str | None:
    """Return what a kill has lost: a final file that is not whole, or what the same command leaves."""
    for path, content in listing(out).items():
        if not path.startswith(".vidamodal-") and content != expected.get(path):
            return f"{path} is not whole"
    if job.words[0] == "convert" and (out / "converted").exists():  # complete, and convert replaces nothing
        (out / "converted").rename(renew(out.with_name("complete")) / "converted")
    ended = run_command(job.arguments(out), log)
    if ended.fault is not None or ended.status:
        return f"the same command exits with {ended.status}: {ended.fault or ended.output.strip()[-300:]}"
    differing = changes(expected, listing(out))
    return f"{', '.join(differing[:3])} differ from a command without kills" if differing else None
