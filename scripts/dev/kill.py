"""Kills a small training run again and again and checks that nothing is lost: the same command goes on every time.

    python -m scripts.dev.kill --kills 30

One run is left alone; the same one is killed with SIGKILL at random moments and begun again with the same arguments. At
the end its weights and its metrics must be those of the other, byte for byte (on a CPU, in fp32). Runs are processes
that are forked after the imports, which would take longer than the training.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import torch

from vidamodal.training import command

ROOT = Path(__file__).parents[2]
TIMINGS = ("object_frames_per_second", "waiting_for_data")
"""What a run logs of the clock."""


def arguments(output: Path, steps: int) -> list[str]:
    """configs/smoke.yaml, smaller yet, with a checkpoint every second step."""
    changes = {
        "output": output, "precision": "fp32", "save_every": 2, "log_every": 1,
        "model.network.transformer.width": 32, "model.network.tokenizer.crop": 32, "model.network.tokenizer.codes": 64,
        "model.head.deep": 16,
    }  # fmt: skip
    for stage in ("stages.tokenizer", "stages.amodal"):
        changes |= {f"{stage}.sample.world.size": 48, f"{stage}.sample.world.frames": 8}
        changes |= {f"{stage}.sample.frames": 6, f"{stage}.sample.tracks": 3, f"{stage}.steps": steps}
    return ["--config", "smoke", "--quiet", *(f"--{name}={value}" for name, value in changes.items())]


def start(output: Path, steps: int, log: Path) -> int:
    """The id of a process that trains, in a group of its own, so that its workers can be killed with it."""
    run = os.fork()
    if run:
        return run
    status = 1
    try:
        os.setsid()
        said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        torch.set_num_threads(1)
        command.main(arguments(output, steps))
        status = 0
    except BaseException:
        traceback.print_exc()
    os._exit(status)


def kill(run: int) -> None:
    """All its processes at once, with no chance to tidy up."""
    try:
        os.killpg(run, signal.SIGKILL)
    except ProcessLookupError:  # it has no group of its own yet
        os.kill(run, signal.SIGKILL)


def wait(run: int, limit: float) -> int | None:
    """Its exit status; None after so many seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(run, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def checkpoints(output: Path) -> list[str]:
    return sorted(path.name for path in (output / "checkpoints").glob("*"))


def weights(output: Path) -> dict[str, bytes]:
    """The bytes of every file of weights of a finished run."""
    folder = output / "model"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))}


def metrics(output: Path) -> list[str]:
    """What was logged, line by line, without timings."""
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return [json.dumps({k: v for k, v in line.items() if k not in TIMINGS}) for line in lines]


def survive(folder: Path, kills: int, steps: int, seed: int) -> bool:
    """Print a line a kill and a verdict; True if nothing was lost."""
    rng, log = random.Random(seed), folder / "log"
    whole, killed = folder / "whole", folder / "killed"
    began = time.monotonic()
    if wait(start(whole, steps, log), 3600):
        raise RuntimeError(f"the run that nobody killed failed:\n{log.read_text()[-2000:]}")
    length = time.monotonic() - began
    begun = (whole / "config.json").stat().st_mtime - (time.time() - length)
    print(f"unbroken: {length:.1f} s, of which {begun:.1f} s to begin", flush=True)
    # Every other run ends before it begins to learn; together they are killed before the last step.
    mean = begun + (length - begun) / (kills + 1)
    for number in range(1, kills + 1):
        run, moment = start(killed, steps, log), rng.uniform(0, 2 * mean)
        status = wait(run, moment)
        if status is None:
            kill(run)
            os.waitpid(run, 0)
            found = ", ".join(checkpoints(killed)) or "nothing yet"
            print(f"kill {number:2d} after {moment:5.2f} s: {found}", flush=True)
        else:
            print(f"kill {number:2d} came too late: the run had left with {status}", flush=True)
    status = wait(start(killed, steps, log), 3600)
    if status:
        print(f"LOST: the run leaves with {status}:\n{log.read_text()[-2000:]}")
        return False
    same = {"weights": weights(whole) == weights(killed), "metrics": metrics(whole) == metrics(killed)}
    lost = [name for name, equal in same.items() if not equal]
    left = [name for name in checkpoints(killed) if name.startswith(".")]
    verdict = f"LOST: other {' and '.join(lost)}" if lost else "nothing lost: weights and metrics byte for byte equal"
    print(f"{verdict}{', left over: ' if left else ''}{', '.join(left)}; {time.monotonic() - began:.0f} s in all")
    return not lost and not left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--steps", type=int, default=60, help="of each stage")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if survive(Path(folder), options.kills, options.steps, options.seed) else 1)


if __name__ == "__main__":
    main()
