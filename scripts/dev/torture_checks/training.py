"""Kills of small trainings at random moments: the same command ends with the same weights and metrics, byte for byte.

Each run is killed a few times and then ended. It has two stages and a checkpoint every second step, so that kills fall
into both stages and into the change between them. Every other run has two processes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scripts.dev.torture_checks.base import Attempt
from scripts.dev.torture_checks.processes import kill, start, wait
from scripts.dev.torture_checks.sandbox import renew
from vidamodal.cli import main as command

NAME = "training"
TRIED = "kills of training (SIGKILL of all processes or of one, SIGTERM) at random moments, with one and two processes"
PROMISE = "the same command ends with the same weights and metrics, byte for byte (CPU, fp32), and no temporary files"
COUNT = 50
KILLS = 5
"""Kills of a run; the last run of a check may have fewer."""
STEPS = 12
"""Steps of each stage."""
TIMINGS = ("object_frames_per_second", "waiting_for_data")
"""Logged values that depend on the clock."""
LIMIT = 900.0
"""Seconds that a run may take."""


@dataclass(frozen=True)
class _Job:
    """A training run: its folder, its number of processes and the file for their output."""

    output: Path
    processes: int
    log: Path

    def start(self) -> list[int]:
        """Start the processes and return their ids."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        return [start(partial(self._train, rank, port), self.log) for rank in range(self.processes)]

    def _train(self, rank: int, port: int) -> None:
        """Train as process ``rank``."""
        if self.processes > 1:
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": self.processes, "MASTER_PORT": port}
            os.environ.update({name: str(value) for name, value in place.items()}, MASTER_ADDR="127.0.0.1")
            os.environ["ACCELERATE_USE_CPU"] = "true"
        command(["train", *_arguments(self.output, self.processes)])

    def finish(self) -> float:
        """Run to the end and return the seconds that it took. Raises RuntimeError if it fails."""
        began = time.monotonic()
        statuses = [wait(child, LIMIT) for child in self.start()]
        if any(statuses):
            raise RuntimeError(f"a run exits with {statuses}: {self.log.read_text()[-500:]}")
        return time.monotonic() - began

    def files(self) -> dict[str, str]:
        """Return the weights and the metrics without timings, and the names of temporary files."""
        model = self.output / "model"
        found = {str(path.relative_to(model)): path.read_bytes().hex() for path in model.rglob("*.safetensors")}
        lines = [json.loads(line) for line in (self.output / "metrics.jsonl").read_text().splitlines()]
        found["metrics"] = json.dumps([{k: v for k, v in line.items() if k not in TIMINGS} for line in lines])
        return found | {str(path): "temporary" for path in self.output.rglob(".*")}


def run(folder: Path, seed: int, count: int) -> Iterator[Attempt]:
    """Kill runs until there were ``count`` kills; see `base.Check`."""
    intact: dict[int, tuple[float, dict[str, str]]] = {}
    for first in range(0, count, KILLS):
        number, numbers = first // KILLS, range(first, min(first + KILLS, count))
        processes = 1 + number % 2
        if processes not in intact:
            job = _Job(folder / f"intact-{processes}", processes, folder / "log")
            intact[processes] = job.finish(), job.files()
        seconds, expected = intact[processes]
        killed = _Job(renew(folder / "killed") / "run", processes, folder / "log")
        kills = [_kill_once(killed, random.Random(f"{seed} {k}"), seconds) for k in numbers]
        lost = _judge(killed, expected)
        yield from (
            Attempt(f"kill {k} of {processes} processes: {what}", lost) for k, what in zip(numbers, kills, strict=True)
        )


def _kill_once(job: _Job, choose: random.Random, seconds: float) -> str:
    """Start a run, or resume it, end it at a random moment, and describe how."""
    children, moment = job.start(), choose.uniform(0, 0.8) * seconds
    way = choose.choice(("all", "one", "SIGTERM"))
    status = wait(children[0], moment)
    if status is not None:
        running = children[1:]
    elif way == "one":
        victim = choose.choice(children)
        kill(victim)
        os.waitpid(victim, 0)
        running = [child for child in children if child != victim]
        if running and wait(running[0], 1.0) is not None:
            running = []
    else:
        for child in children:
            kill(child, signal.SIGTERM if way == "SIGTERM" else signal.SIGKILL)
        running = children
    _end(running)
    written = sorted(path.name for path in (job.output / "checkpoints").glob("*"))
    return f"{way} after {moment:.2f} s, {written[-1] if written else 'no checkpoint'}"


def _end(children: Sequence[int]) -> None:
    """Wait a while for processes to end, and kill those that do not, as a launcher does."""
    for child in children:
        if wait(child, 10) is None:
            kill(child)
            os.waitpid(child, 0)


def _judge(job: _Job, expected: dict[str, str]) -> str | None:
    """Run the same command to its end, and return what differs from the run without kills."""
    try:
        job.finish()
    except RuntimeError as error:
        return " ".join(str(error).split())
    found = job.files()
    differing = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    return f"{', '.join(differing)} differ from a run without kills" if differing else None


def _arguments(output: Path, processes: int) -> list[str]:
    """Return the arguments of a run that is smaller than configs/smoke.yaml, with a checkpoint every second step."""
    changes = {
        "output": output, "precision": "fp32", "save_every": 2, "log_every": 1, "processes": processes,
        "model.network.transformer.width": 32, "model.network.tokenizer.crop": 32, "model.network.tokenizer.codes": 64,
        "model.head.deep": 16,
    }  # fmt: skip
    for stage in ("stages.tokenizer", "stages.amodal"):
        changes |= {f"{stage}.sample.world.size": 48, f"{stage}.sample.world.frames": 8, f"{stage}.clips": 2}
        changes |= {f"{stage}.sample.frames": 6, f"{stage}.sample.tracks": 3, f"{stage}.steps": STEPS}
    return ["--config", "smoke", "--quiet", *(f"--{name}={value}" for name, value in changes.items())]
