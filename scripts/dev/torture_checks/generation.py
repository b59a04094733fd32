"""Kills of data generation, and several commands at once on one output: the same files, with each scene once.

Mask-only worlds are made by the real command. Shards come from a stand-in for Blender, which writes real files and a
log of the scenes that it begins. Before a run is continued, the times of all files so far are set to the distant past
or future, as if the clocks of two machines differed. Locks that killed processes held are left as they are.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from scripts.dev.torture_checks.base import Attempt
from scripts.dev.torture_checks.processes import workers_of
from scripts.dev.torture_checks.sandbox import changes, listing, renew
from tests.dataset_gen.helpers import ROOT

NAME = "generation"
TRIED = (
    "kills of dataset_gen (SIGKILL and SIGTERM of a command or a worker), alone, in parts, and among several commands "
    "on one output, with file times of the past and the future before it goes on"
)
PROMISE = (
    "the same command ends with the same files, byte for byte; each scene is in them once, and is made once if nothing "
    "is killed"
)
COUNT = 30
WORLDS = ("--scenes", "20", "--seed", "3", "--masks-only", "--preset", "street", "--size", "32", "--frames", "4")
SHARDS = ("--scenes", "4", "--seed", "3", "--split", "test", "--size", "32", "--frames", "2")
_PROGRAMS = {WORLDS: ("-m", "dataset_gen"), SHARDS: (str(ROOT / "tests" / "dataset_gen" / "stand_in.py"),)}
_LIMIT = 600.0
"""Seconds that a command may take on a busy computer."""
_TIMES = (0, 2**32)
"""The times of files, in seconds: 1970 and 2106."""


@dataclass(frozen=True)
class _Kind:
    """What an attempt starts: one or several commands on one output."""

    name: str
    scenes: tuple[str, ...]
    options: tuple[tuple[str, ...], ...]
    """Further options of each command."""
    kills: bool = True


KINDS = (
    _Kind("worlds", WORLDS, (("--workers", "2"),)),
    _Kind("shards", SHARDS, (("--workers", "2"),)),
    _Kind("two parts", SHARDS, (("--shard", "0/2"), ("--shard", "1/2"))),
    _Kind("three commands", SHARDS, ((),) * 3),
    _Kind("sixteen workers of four commands", SHARDS, (("--workers", "4"),) * 4, kills=False),
    *([_Kind("Ray", WORLDS, (("--executor", "ray"),))] if find_spec("ray") else []),
)
"""The kinds of attempts, which take turns; Ray only where it is installed."""


@dataclass(frozen=True)
class _Bench:
    """Runs commands with a log of begun scenes and a folder for temporary files."""

    folder: Path
    out: Path

    def start(self, kind: _Kind, options: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a command, whose output goes to a file."""
        variables = {
            "STAND_IN_LOG": str(self.folder / "begun"), "STAND_IN_SECONDS": "0.3", "STAND_IN_SHARD": "2",
            "TMPDIR": str(self.folder / "tmp"), "RAY_TMPDIR": "/tmp", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        words = [sys.executable, *_PROGRAMS[kind.scenes], "--out", str(self.out), *kind.scenes, "--quiet", *options]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, **variables}, cwd=ROOT)

    def finish(self, kind: _Kind) -> str | None:
        """Run the commands of a kind at once to their end; return what went wrong."""
        running = [self.start(kind, options) for options in kind.options]
        statuses = [process.wait(_LIMIT) for process in running]
        return f"the same commands exit with {statuses}: {self.last_words()}" if any(statuses) else None

    def last_words(self) -> str:
        """Return the end of what the commands have written."""
        return (self.folder / "log").read_text(errors="replace")[-300:]


def run(folder: Path, seed: int, count: int) -> Iterator[Attempt]:
    """Kill commands of each kind in turn, and run them again; see `base.Check`."""
    intact: dict[tuple[str, ...], tuple[float, dict[str, str]]] = {}
    for number in range(count):
        kind, choose = KINDS[number % len(KINDS)], random.Random(f"{seed} {number}")
        if kind.scenes not in intact:
            whole = _bench(folder / "intact")
            began = time.monotonic()
            if failure := whole.finish(_Kind("alone", kind.scenes, ((),))):
                raise RuntimeError(failure)
            intact[kind.scenes] = time.monotonic() - began, listing(whole.out)
        seconds, expected = intact[kind.scenes]
        bench = _bench(folder / "work")
        what = _disturb(bench, kind, choose, seconds) if kind.kills else "no kill"
        yield Attempt(f"{kind.name} {number}, {what}", _judge(bench, kind, expected))


def _bench(folder: Path) -> _Bench:
    (renew(folder) / "tmp").mkdir()
    (folder / "begun").touch()
    return _Bench(folder, folder / "set")


def _disturb(bench: _Bench, kind: _Kind, choose: random.Random, seconds: float) -> str:
    """Start commands, end one of them or one of its workers at a random moment, and let the others go on."""
    running = [bench.start(kind, options) for options in kind.options]
    victim, moment = choose.choice(running), choose.uniform(0.1, 1) * seconds
    way = choose.choice(("SIGKILL", "SIGTERM", "worker"))
    time.sleep(moment)
    workers = workers_of(victim.pid)
    if way == "worker" and workers:
        os.kill(choose.choice(workers), signal.SIGKILL)
    else:
        victim.send_signal(signal.SIGTERM if way == "SIGTERM" else signal.SIGKILL)
    for process in running:
        process.wait(_LIMIT)
    moved = choose.choice(_TIMES)
    for path in (bench.out, *bench.out.rglob("*")) if bench.out.exists() else ():
        os.utime(path, (moved, moved))
    return f"{way} after {moment:.1f} s, files of {time.gmtime(moved).tm_year}"


def _judge(bench: _Bench, kind: _Kind, expected: dict[str, str]) -> str | None:
    """Run the same commands to their end, and return what differs from an undisturbed run."""
    if failure := bench.finish(kind):
        return failure
    if differing := changes(expected, listing(bench.out)):
        return f"{', '.join(differing[:3])} differ from an undisturbed run"
    begun = Counter(line.split()[0] for line in (bench.folder / "begun").read_text().splitlines())
    if not kind.kills and set(begun.values()) != {1}:
        return f"scenes were made more than once: {dict(begun)}"
    return None
