"""Executors of jobs: processes on this machine, or tasks of a Ray cluster. Each job has a fresh process.

A job is a function of the package with its arguments, and its only effect is what it returns. It shares nothing with
the submitting process, so the machines of a cluster need no common disk, only the same packages.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar, cast

from vidamodal.batch.processes import ExecutorKind, connect_ray, end_with_parent, outcome_of, unwrap

T = TypeVar("T")
_SPAWN = multiprocessing.get_context("spawn")


class Executor(ABC):
    """Runs up to ``workers`` jobs at a time."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._threads = ThreadPoolExecutor(workers)  # each waits for one job

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Start a job.

        Returns:
            A future that raises what the function raises, or RuntimeError if its process dies.
        """
        return self._threads.submit(self._run, function, arguments)

    def close(self) -> None:
        """Stop the running jobs."""
        self._threads.shutdown(cancel_futures=True)

    @abstractmethod
    def _run(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> T: ...


@contextmanager
def open_executor(kind: ExecutorKind, workers: int | None = None) -> Iterator[Executor]:
    """Open an executor. Jobs that still run at the end of the block, for example after an error, are stopped.

    Args:
        kind: ``local`` for processes, ``ray`` for tasks of a cluster.
        workers: Jobs at a time. None for 1, or with Ray for the number of CPUs of the cluster.

    Raises:
        InputError: Ray is not installed.
    """
    executor = _ProcessExecutor(workers or 1) if kind == "local" else _RayExecutor(workers)
    try:
        yield executor
    finally:
        executor.close()


class _ProcessExecutor(Executor):
    """Spawned processes that die with this one."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self._lock = threading.Lock()
        self._children: set[BaseProcess] = set()
        self._is_open = True

    def _run(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        receiver, sender = _SPAWN.Pipe(duplex=False)
        child = _SPAWN.Process(target=_run_in_child, args=(sender, function, arguments), daemon=True)
        with self._lock:
            if not self._is_open:
                raise RuntimeError("stopped")
            child.start()
            self._children.add(child)
        sender.close()
        try:
            outcome = receiver.recv()
        except (EOFError, OSError):  # the stream ended, perhaps in the middle of a message
            child.join()
            raise RuntimeError(f"a worker process died (exit status {child.exitcode})") from None
        finally:
            child.kill()
            child.join()
            with self._lock:
                self._children.discard(child)
        return cast(T, unwrap(outcome))

    def close(self) -> None:
        with self._lock:
            self._is_open = False
            for child in self._children:
                child.kill()
        super().close()


def _run_in_child(pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Run one job. The process ends with its parent, and Blender's messages stay off stdout."""
    end_with_parent()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    pipe.send(outcome_of(function, *arguments))
    pipe.close()
    os._exit(0)  # skips Blender's slow shutdown


class _RayExecutor(Executor):
    """Tasks of a Ray cluster: the one at RAY_ADDRESS, else one running on this machine, else a new local one."""

    def __init__(self, workers: int | None) -> None:
        self._ray, self._is_owner = connect_ray()
        super().__init__(workers or max(1, int(self._ray.cluster_resources().get("CPU", 1))))
        # A task is tried again elsewhere if its machine fails.
        self._task = self._ray.remote(num_cpus=1, max_calls=1, max_retries=3)(outcome_of)
        self._running: set[Any] = set()

    def _run(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        task = self._task.remote(function, *arguments)
        self._running.add(task)
        try:
            return cast(T, unwrap(self._ray.get(task)))
        except self._ray.exceptions.RayError as error:
            raise RuntimeError(f"ray: {str(error).strip().splitlines()[0]}") from None
        finally:
            self._running.discard(task)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for task in list(self._running):
            self._ray.cancel(task, force=True)
        super().close()
        if self._is_owner:
            self._ray.shutdown()
