"""Full and read-only disks: earlier results stay whole, one line is printed, and nothing is left behind.

Each attempt mounts a small file system in memory, which needs root: `unshare --map-root-user --mount` gives it to any
user.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scripts.dev.torture_checks.base import Attempt
from scripts.dev.torture_checks.processes import Ended, Limits, run_child
from scripts.dev.torture_checks.sandbox import Inputs, changes, listing, write_inputs
from tests.training.helpers import write_config
from vidamodal.app.bundle import DEFAULT_CHOICES
from vidamodal.app.session import AppSettings, Session
from vidamodal.cli import main as command
from vidamodal.commandline import run_command as run_program
from vidamodal.errors import InputError

NAME = "disk"
TRIED = (
    "full disks (any number of free pages) and read-only disks, in predict, convert, evaluate, train, dataset_gen and "
    "a tab of the app"
)
PROMISE = (
    "exit status 1 with one line, within 10 s (30 s for dataset_gen, which starts a worker); earlier results are "
    "whole, and nothing is left behind"
)
COUNT = 100
PAGE = 4096
SIZE = 64 * 2**20
"""Bytes of the file system."""


@dataclass(frozen=True)
class _Job:
    """A command that writes to a folder on the disk."""

    name: str
    earlier: Callable[[Path], None]
    """Writes what is on the disk before, with enough room."""
    call: Callable[[Path], int | None]
    """The command."""
    resumes: bool = False
    """True if what it has written so far is kept, for the same command to go on from."""
    seconds: int = 10
    """Seconds of processor time that each of its processes may take."""

    def run(self, disk: Path, log: Path) -> Ended:
        """Run the command; on a busy computer it may wait long for a process that it starts."""
        return run_child(partial(self.call, disk), log, Limits(self.seconds, patience=60, memory=None))


def run(folder: Path, seed: int, count: int) -> Iterator[Attempt]:
    """Run each command in turn with another amount of room; see `base.Check`."""
    jobs, disk, log = _jobs(write_inputs(folder / "inputs"), folder), folder / "disk", folder / "log"
    disk.mkdir()
    whole = {job.name: _with_room(job, disk, log) for job in jobs}
    for number in range(count):
        job, choose = jobs[number % len(jobs)], random.Random(f"{seed} {number}")
        read_only = number // len(jobs) % 8 == 7
        needed, expected = whole[job.name]
        pages = choose.randrange(needed)
        case = f"{job.name}, {'read-only' if read_only else f'{pages} of {needed} pages free'}"
        with _mounted(disk):
            job.earlier(disk)
            before = listing(disk)
            ballast = disk / "ballast"
            _fill(ballast, pages)
            if read_only:
                _mount("-o", "remount,ro", disk)
            ended = job.run(disk, log)
            if read_only:
                _mount("-o", "remount,rw", disk)
            ballast.unlink()
            found = listing(disk)
            if ended.status == 0:  # the pages were enough
                yield Attempt(case, _differing(job, changes(expected, found), "differ from those with enough room"))
            else:
                yield Attempt(case, _judge(job, ended, changes(before, found), disk, log))


def _differing(job: _Job, paths: list[str], how: str) -> str | None:
    """Return the paths that differ, without files with the time; those of a job that resumes all depend on it."""
    counted = [path for path in paths if Path(path).name != "run.json" and not job.resumes]
    return f"{', '.join(counted[:4])} {how}" if counted else None


def _judge(job: _Job, ended: Ended, changed: list[str], disk: Path, log: Path) -> str | None:
    if ended.fault is not None:
        return ended.fault
    if ended.status != 1 or len(ended.lines) != 1:
        return f"status {ended.status}: {' / '.join(ended.lines)[:300]}"
    if hidden := [path for path in changed if Path(path).name.startswith(".") and Path(path).name != ".work"]:
        return f"{', '.join(hidden[:4])} were left"
    if job.resumes:
        again = job.run(disk, log)
        return f"the same command then exits with {again.status}: {again.output[-300:]}" if again.status else None
    return f"{', '.join(changed[:4])} changed or were left" if changed else None


def _jobs(inputs: Inputs, folder: Path) -> list[_Job]:
    formats = ["--formats", "tracks,png,overlay,masks,rgba,layers"]

    def nothing(_disk: Path) -> None:
        pass

    def predict(disk: Path, *options: str) -> None:
        _command(*inputs.predict(disk / "out", *formats, *options))

    def evaluate(disk: Path) -> None:
        out = ["--out", disk / "metrics.json", "--report", disk / "report.html"]
        _command("evaluate", "--pred", inputs.masks, "--truth", inputs.masks, *out)

    def convert(form: str, disk: Path) -> None:
        _command("convert", inputs.masks, "--to", form, "--out", disk / "new" / form)

    def train(disk: Path) -> None:
        config = write_config(folder, disk / "run", steps=2)
        _command("train", "--config", config, "--save_every=1", "--quiet")

    def use_page(disk: Path) -> None:
        session = Session(disk / "tab", AppSettings(model=str(inputs.model), device="cpu", offline=True))
        try:
            session.folder.mkdir()
            session.open([inputs.video], [inputs.masks])
            session.complete("masks")
            session.write_painter(session.tracks[0].id, 0)
            session.write_page()
            session.export(DEFAULT_CHOICES)
        finally:
            session.close()

    def generate_worlds(disk: Path) -> int:
        options = ["--out", str(disk / "worlds"), "--scenes", "2", "--seed", "1", "--masks-only", "--quiet"]
        return subprocess.call([sys.executable, "-m", "dataset_gen", *options])  # not a fork: it spawns a worker

    def in_child(call: Callable[[Path], int | None]) -> Callable[[Path], None]:
        """Run a command in a child process, before the disk is filled."""
        return lambda disk: _expect_success(run_child(partial(call, disk), folder / "log", Limits(60, memory=None)))

    return [
        _Job("predict", nothing, predict),
        _Job("predict over an earlier result", in_child(lambda disk: predict(disk, "--partial")), predict),
        _Job("convert to a file", nothing, partial(convert, "coco")),
        _Job("convert to a folder", nothing, partial(convert, "sav")),
        _Job("evaluate", in_child(evaluate), evaluate),
        _Job("train", nothing, train, resumes=True),
        _Job("app", nothing, lambda disk: run_program(lambda: use_page(disk), "app")),
        _Job("dataset_gen", nothing, generate_worlds, resumes=True, seconds=30),
    ]


def _command(*arguments: object) -> None:
    command([str(argument) for argument in arguments])


def _expect_success(ended: Ended) -> None:
    if ended.status:
        raise RuntimeError(f"a command with enough room exits with {ended.status}: {ended.output[-500:]}")


def _with_room(job: _Job, disk: Path, log: Path) -> tuple[int, dict[str, str]]:
    """Run a command with enough room; return how many pages it fills, and what lies on the disk then."""
    with _mounted(disk):
        job.earlier(disk)
        before = shutil.disk_usage(disk).used
        _expect_success(run_child(partial(job.call, disk), log, Limits(60, memory=None)))
        kept = shutil.disk_usage(disk).used
        return max(2, max(kept - before, kept) // PAGE), listing(disk)


@contextmanager
def _mounted(disk: Path) -> Iterator[None]:
    _mount("-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", disk)
    try:
        yield
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _mount(*arguments: object) -> None:
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise InputError(
            f"disk: cannot mount a file system ({done.stderr.strip()}). Run the check as root, or with "
            "`unshare --map-root-user --mount` before the command."
        )


def _fill(path: Path, pages: int) -> None:
    """Write a file that leaves a number of pages of the disk free."""
    size = shutil.disk_usage(path.parent).free - pages * PAGE
    with path.open("wb") as file:
        for _ in range(size // PAGE):
            file.write(bytes(PAGE))
