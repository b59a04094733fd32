"""Kills of predict with many videos, of the command and of its workers: the same manifest and results afterwards."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.dev.torture_checks.base import Attempt
from scripts.dev.torture_checks.processes import workers_of
from scripts.dev.torture_checks.sandbox import renew
from tests.batch.helpers import results, write_videos
from tests.helpers import small_model
from tests.training.helpers import ROOT, environment
from vidamodal.models.folder import save_model

NAME = "batch"
TRIED = "kills of predict with a folder of videos (SIGKILL and SIGTERM of the command, SIGKILL of one of two workers)"
PROMISE = (
    "a killed worker is replaced; after a killed command, the same one gives the same manifest and results, byte for "
    "byte but for timings, and leaves no temporary file"
)
COUNT = 20
KEYS = ("a", "b", "c", "d", "e", "f")
_LIMIT = 600.0
"""Seconds that a command may take on a busy computer."""


@dataclass(frozen=True)
class _Job:
    """A prediction of many videos."""

    inputs: Path
    out: Path
    log: Path

    def start(self) -> subprocess.Popen[bytes]:
        """Start the command with two workers; its output goes to a file."""
        words = ["predict", self.inputs / "videos", "--masks", self.inputs / "masks", "--out", self.out, "--model"]
        words += [self.inputs / "model", "--workers", "2", "--formats", "tracks,png"]
        script = [sys.executable, "-c", "from vidamodal.cli import main; main()", *map(str, words)]
        with self.log.open("wb") as log:
            return subprocess.Popen(script, stdout=log, stderr=log, env=environment(), cwd=ROOT)

    def finish(self) -> str | None:
        """Run the command to its end; return what went wrong."""
        status = self.start().wait(_LIMIT)
        return f"the same command exits with {status}: {self.log.read_text()[-300:]}" if status else None

    def files(self) -> dict[str, bytes]:
        """Return the results without timings, and the names of temporary files."""
        return results(self.out) | {str(path.relative_to(self.out)): b"" for path in self.out.rglob(".*")}


def run(folder: Path, seed: int, count: int) -> Iterator[Attempt]:
    """Kill predictions at random moments, half of them after the first result; see `base.Check`."""
    write_videos(folder / "inputs", list(KEYS))
    save_model(folder / "inputs/model", small_model(), {}, "# small\n")
    whole = _Job(folder / "inputs", folder / "intact", folder / "log")
    began = time.monotonic()
    if failure := whole.finish():
        raise RuntimeError(failure)
    seconds, expected = time.monotonic() - began, whole.files()
    for number in range(count):
        choose = random.Random(f"{seed} {number}")
        job = _Job(folder / "inputs", renew(folder / "work") / "out", folder / "log")
        what = _disturb(job, choose, seconds, after_first=number % 2 == 1)
        yield Attempt(f"kill {number}, {what}", job.finish() or _differing(job, expected))


def _disturb(job: _Job, choose: random.Random, seconds: float, after_first: bool) -> str:
    """Start a prediction, end it or one of its workers at a random moment, and describe how."""
    running = job.start()
    moment = choose.random() * (0.3 if after_first else 0.9) * seconds
    way = choose.choice(("SIGKILL", "SIGTERM", "worker"))
    while after_first and running.poll() is None and not any(job.out.glob("*/tracks.json")):
        time.sleep(0.01)
    time.sleep(moment)
    workers = workers_of(running.pid)
    if way == "worker" and workers:
        os.kill(choose.choice(workers), signal.SIGKILL)
    else:
        running.send_signal(signal.SIGTERM if way == "SIGTERM" else signal.SIGKILL)
    running.wait(_LIMIT)
    return f"{way}{' after the first result' if after_first else ''} after {moment:.2f} s"


def _differing(job: _Job, expected: dict[str, bytes]) -> str | None:
    found = job.files()
    names = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    return f"{', '.join(names[:4])} differ from an undisturbed prediction" if names else None
