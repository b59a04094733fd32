"""Generation of a data set: one process per scene, resumable, with the same files for any number of workers.

Several parts of a run may share one output folder: each makes whole shards, and the part that finishes last writes the
manifest. The same command may also run several times at once (see ``dataset_gen.work_folder``).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from dataset_gen.executors import open_executor
from dataset_gen.run import Run
from dataset_gen.timing import Stopwatch, summary
from dataset_gen.work_folder import ALL_SHARDS, Part, WorkFolder, open_work_folder
from dataset_gen.worker import SceneResult, make_scenes, run_versions
from vidamodal.batch.processes import ExecutorKind

_WORLDS_PER_JOB = 8
_POLL_SECONDS = 0.5
"""Interval at which the work of other processes is checked."""

_Jobs = dict[Future[list[SceneResult]], list[int]]


@dataclass(frozen=True)
class Outcome:
    """Result of ``generate``."""

    is_finished: bool
    """True if the output folder is complete."""
    timing: str | None = None
    """A line about the CPU time, if scenes were rendered."""


@dataclass(frozen=True)
class Workers:
    """Where scenes are generated, and how many at a time."""

    count: int | None = None
    """None for 1, or with Ray for the number of CPUs of the cluster."""
    executor: ExecutorKind = "local"


ONE_WORKER = Workers()


def generate(
    run: Run, out: Path, workers: Workers = ONE_WORKER, part: Part = ALL_SHARDS, quiet: bool = False
) -> Outcome:
    """Generate a data set, or continue an interrupted run.

    Args:
        run: Settings.
        out: Output folder: new, empty, or with this run.
        workers: Where scenes are generated.
        part: The shards to make. With several parts, the folder is finished when the last of them ends.
        quiet: True for no progress bar.

    Raises:
        InputError: ``out`` holds something else.
        RuntimeError: A worker process died.
    """
    work = open_work_folder(run, out)
    if work is None:
        return Outcome(True)
    watch = Stopwatch()
    try:
        with watch("own"):
            rendered = _make_missing_scenes(work, workers, part, quiet, watch)
            finished = work.finish(part)
    finally:
        work.locks.close()
    return Outcome(finished, summary(rendered, run.frames, watch.seconds) if rendered else None)


def _make_missing_scenes(work: WorkFolder, workers: Workers, part: Part, quiet: bool, watch: Stopwatch) -> int:
    """Generate the missing scenes of a part, or wait until other processes have; return how many were rendered."""
    run = work.run
    seeds = list(run.seeds) if run.masks_only else [k for seeds in work.missing_shards(part).values() for k in seeds]
    waiting = deque(seed for seed in seeds if not work.scene_path(seed).exists())
    if not waiting:
        return 0
    versions = run_versions(run)
    scenes_per_job = _WORLDS_PER_JOB if run.masks_only else 1
    rendered = 0
    jobs: _Jobs = {}
    bar = tqdm(total=len(seeds), initial=len(seeds) - len(waiting), unit="scene", disable=quiet)
    with bar, open_executor(workers.executor, workers.count) as pool:
        while waiting or jobs:
            while len(jobs) < pool.workers and (claimed := work.claim(waiting, scenes_per_job)):
                jobs[pool.submit(make_scenes, run, claimed, versions)] = claimed
            is_idle = len(jobs) < pool.workers  # other processes hold the locks of all waiting scenes
            for job in _completed(jobs, _POLL_SECONDS if waiting and is_idle else None):
                for seed, result in zip(jobs.pop(job), job.result(), strict=True):
                    work.store(seed, result.files)
                    work.release(seed)
                    watch.add(result.seconds)
                    rendered += not run.masks_only
            bar.update(len(seeds) - len(waiting) - sum(map(len, jobs.values())) - bar.n)
    return rendered


def _completed(
    jobs: Mapping[Future[list[SceneResult]], list[int]], timeout: float | None
) -> list[Future[list[SceneResult]]]:
    """Wait for a job to complete, or for the timeout in seconds; return the completed jobs."""
    if jobs:
        return list(wait(jobs, timeout, FIRST_COMPLETED).done)
    time.sleep(timeout or 0)
    return []
