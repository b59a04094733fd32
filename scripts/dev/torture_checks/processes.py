"""Child processes with limits of time and memory.

A fork saves the imports, which take longer than most attempts: the whole package is imported here.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import pkgutil
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import vidamodal
from vidamodal.cli import main as command

for _module in pkgutil.walk_packages(vidamodal.__path__, "vidamodal."):
    if not _module.name.startswith("vidamodal.app."):  # its page needs gradio
        importlib.import_module(_module.name)

MEMORY = 2048
"""MiB that a child may allocate beside what it shares with its parent."""
SECONDS = 30
"""Seconds of processor time that a child may take."""


@dataclass(frozen=True)
class Limits:
    """Limits of a child process."""

    seconds: int = SECONDS
    """Seconds of processor time."""
    patience: float = 12
    """Seconds for each second of processor time, on a computer that does other work as well."""
    memory: int | None = MEMORY
    """MiB beside what the child shares with its parent; None for no limit."""


@dataclass(frozen=True)
class Ended:
    """The end of a child process."""

    status: int | None
    """Exit status, or minus the number of the signal that ended it; None if it was killed because it took too long."""
    output: str
    """Everything that it wrote to stdout and stderr."""
    seconds: float

    @property
    def fault(self) -> str | None:
        """How the process broke down, in one line: a crash, a hang or a traceback; None if it did not."""
        if self.status is None:
            return f"no end after {self.seconds:.0f} s"
        if self.status == -signal.SIGXCPU:
            return "no end within the processor time that it may take"
        if self.status < 0:
            return f"ended by {signal.Signals(-self.status).name}"
        if "Traceback" in self.output:
            return " ".join(self.output.strip().splitlines()[-1].split())[:300]
        return None

    @property
    def lines(self) -> list[str]:
        """Lines of the output that are no notes."""
        return [line for line in self.output.splitlines() if line.strip() and not line.startswith("note: ")]


def run_child(function: Callable[[], int | None], log: Path, limits: Limits | None = None) -> Ended:
    """Call a function in a child process and wait for its end.

    Args:
        function: What to do. The exit status of the child is what it returns (None is 0), that of a `SystemExit`, or
            1 for another exception, whose traceback the child prints.
        log: A file for the output.
        limits: Limits of time and memory.
    """
    limits, began = limits or Limits(), time.monotonic()
    log.unlink(missing_ok=True)
    child = start(function, log, limits)
    status = wait(child, limits.seconds * limits.patience)
    if status is None:
        kill(child)
        os.waitpid(child, 0)
    output = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return Ended(status, output, time.monotonic() - began)


def run_command(arguments: Sequence[object], log: Path, limits: Limits | None = None) -> Ended:
    """Run the console script with these arguments in a child process."""
    return run_child(partial(command, [str(argument) for argument in arguments]), log, limits)


def start(function: Callable[[], int | None], log: Path, limits: Limits | None = None) -> int:
    """Fork a process that calls a function, and return its id. It leads a new process group; see `kill`."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        faulthandler.disable()  # pytest's would print into its own output
        os.setsid()
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))  # not those of pytest
        if limits is not None:
            _set_limits(limits)
        status = function() or 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(child: int, limit: float) -> int | None:
    """Wait for a child and return its exit status, or None after ``limit`` seconds."""
    end, pause = time.monotonic() + limit, 0.001
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05, max(end - time.monotonic(), 0.0005))
    return None


def kill(child: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a child and the workers of its group."""
    try:
        os.killpg(child, number)
    except ProcessLookupError:  # the child does not lead its group yet
        os.kill(child, number)


def workers_of(parent: int) -> list[int]:
    """Return the ids of the worker processes that a command has spawned."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            status = (entry / "stat").read_text().rpartition(")")[2].split()
            words = (entry / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if int(status[1]) == parent and b"spawn_main" in words:
            found.append(int(entry.name))
    return sorted(found)


def _set_limits(limits: Limits) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.seconds, limits.seconds + 1))
    if limits.memory is not None:
        most = _virtual_memory() + limits.memory * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _virtual_memory() -> int:
    """Return the size of this process's address space in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
