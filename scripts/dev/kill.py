"""Kill a small training at random moments, resume it, and check that the result does not change.

    python -m scripts.dev.kill [--kills 30]

One run is left alone; another one is killed with SIGKILL and resumed with the same arguments again and again. Both must
end with the same weights and metrics, byte for byte (on a CPU, in fp32).
"""

from __future__ import annotations

import json
import os
import random
import signal
import tempfile
import time
import traceback
from pathlib import Path

import torch

from vidamodal.commandline import Parser, run_command
from vidamodal.training import command

TIMINGS = ("object_frames_per_second", "waiting_for_data")
"""Logged values that depend on the clock."""


def main() -> None:
    """Parse the command line and run the test; the exit status is 1 if anything was lost."""
    parser = Parser(prog="python -m scripts.dev.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=30, help="number of kills")
    parser.add_argument("--steps", type=int, default=60, help="steps of each stage")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments of the kills")
    options = parser.parse_args()

    def run() -> int:
        with tempfile.TemporaryDirectory() as folder:
            return 0 if survives(Path(folder), options.kills, options.steps, options.seed) else 1

    raise SystemExit(run_command(run, "kill"))


def survives(folder: Path, kills: int, steps: int, seed: int) -> bool:
    """Run the test, print a line per kill and a verdict, and return True if nothing was lost."""
    log, intact, killed = folder / "log", folder / "intact", folder / "killed"
    began = time.monotonic()
    if wait(start(intact, steps, log), 3600):
        raise RuntimeError(f"the run without kills failed:\n{log.read_text()[-2000:]}")
    duration = time.monotonic() - began
    startup = (intact / "config.json").stat().st_mtime - (time.time() - duration)
    print(f"without kills: {duration:.1f} s, of which {startup:.1f} s to start", flush=True)
    # Every other attempt is killed before it learns; together they are killed before the last step.
    mean = startup + (duration - startup) / (kills + 1)
    kill_repeatedly(killed, steps, log, [random.Random(seed + k).uniform(0, 2 * mean) for k in range(kills)])
    status = wait(start(killed, steps, log), 3600)
    if status:
        print(f"LOST: the last run exits with {status}:\n{log.read_text()[-2000:]}")
        return False
    same = {"weights": weights(intact) == weights(killed), "metrics": metrics(intact) == metrics(killed)}
    lost = [name for name, equal in same.items() if not equal]
    temporary = [name for name in checkpoints(killed) if name.startswith(".")]
    verdict = f"LOST: different {' and '.join(lost)}" if lost else "nothing lost: weights and metrics are identical"
    leftovers = f", temporary files left: {', '.join(temporary)}" if temporary else ""
    print(f"{verdict}{leftovers}; {time.monotonic() - began:.0f} s in total")
    return not lost and not temporary


def kill_repeatedly(output: Path, steps: int, log: Path, moments: list[float]) -> None:
    """Start the run once per moment and kill it that many seconds later."""
    for number, moment in enumerate(moments, start=1):
        run = start(output, steps, log)
        status = wait(run, moment)
        if status is None:
            kill(run)
            os.waitpid(run, 0)
            written = ", ".join(checkpoints(output)) or "no checkpoint yet"
            print(f"kill {number:2d} after {moment:5.2f} s: {written}", flush=True)
        else:
            print(f"kill {number:2d} was too late: the run had exited with {status}", flush=True)


def arguments(output: Path, steps: int) -> list[str]:
    """Return the arguments of a run that is smaller than configs/smoke.yaml, with a checkpoint every second step."""
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
    """Fork a process that trains, and return its id.

    A fork saves the imports, which take longer than the training. The process leads a new process group, so that its
    workers can be killed with it.
    """
    run = os.fork()
    if run:
        return run
    status = 1
    try:
        os.setsid()
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        torch.set_num_threads(1)
        command.main(arguments(output, steps))
        status = 0
    except BaseException:
        traceback.print_exc()
    os._exit(status)


def kill(run: int) -> None:
    """Kill a run and its workers with SIGKILL."""
    try:
        os.killpg(run, signal.SIGKILL)
    except ProcessLookupError:  # the process does not lead its group yet
        os.kill(run, signal.SIGKILL)


def wait(run: int, limit: float) -> int | None:
    """Wait for a run and return its exit status, or None after ``limit`` seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(run, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def checkpoints(output: Path) -> list[str]:
    """Return the names of the checkpoints of a run."""
    return sorted(path.name for path in (output / "checkpoints").glob("*"))


def weights(output: Path) -> dict[str, bytes]:
    """Return the content of every weight file of a finished run."""
    folder = output / "model"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))}


def metrics(output: Path) -> list[str]:
    """Return the logged lines of a run without timings."""
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return [json.dumps({k: v for k, v in line.items() if k not in TIMINGS}) for line in lines]


if __name__ == "__main__":
    main()
