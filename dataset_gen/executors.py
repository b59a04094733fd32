"""Where jobs run: in processes of this machine, or as tasks of a Ray cluster. Each job has a fresh process to itself.

A job is a function of the package and its arguments, and all that comes of it is what the function returns. Nothing is
shared with the process that ordered it, so the machines of a cluster need no common disk; they need the same packages.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from vidamodal.types import InputError

EXECUTORS = ("local", "ray")

T = TypeVar("T")
_SPAWN = multiprocessing.get_context("spawn")


class Executor(ABC):
    """Runs up to ``workers`` jobs at a time."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._threads = ThreadPoolExecutor(workers)  # each waits for one job

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Start a job. Its future raises what the function raises, and RuntimeError if its process dies."""
        return self._threads.submit(self._run, function, arguments)

    def close(self) -> None:
        """Stop what still runs."""
        self._threads.shutdown(cancel_futures=True)

    @abstractmethod
    def _run(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> T: ...


@contextmanager
def open_executor(kind: str, workers: int | None = None) -> Iterator[Executor]:
    """An executor; what still runs when the block is left, such as after an error, is stopped.

    ``workers`` is 1 by default for ``local`` and the number of CPUs of the cluster for ``ray``.
    """
    chosen = _Processes(workers or 1) if kind == "local" else _Ray(workers)
    try:
        yield chosen
    finally:
        chosen.close()


class _Processes(Executor):
    """Spawned processes that die with this one."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self._lock = threading.Lock()
        self._children: set[BaseProcess] = set()
        self._open = True

    def _run(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        ours, theirs = _SPAWN.Pipe(duplex=False)
        child = _SPAWN.Process(target=_serve, args=(theirs, function, arguments), daemon=True)
        with self._lock:
            if not self._open:
                raise RuntimeError("stopped")
            child.start()
            self._children.add(child)
        theirs.close()
        try:
            outcome = ours.recv()
        except (EOFError, OSError):  # the end of the stream, perhaps in the middle of a message
            child.join()
            raise RuntimeError(f"a worker process died (exit status {child.exitcode})") from None
        finally:
            child.kill()
            child.join()
            with self._lock:
                self._children.discard(child)
        return _value(outcome)

    def close(self) -> None:
        with self._lock:
            self._open = False
            for child in self._children:
                child.kill()
        super().close()


def _serve(pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """What a process does: one job. It ends with its parent, and whatever Blender prints stays off stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted as well, and stops it
    multiprocessing.set_start_method("fork", force=True)  # Kubric makes locks: made for a fork, none outlives a kill
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    pipe.send(_outcome(function, arguments))
    pipe.close()
    os._exit(0)  # Blender's own end would only take time


class _Ray(Executor):
    """Tasks of the cluster at RAY_ADDRESS or of one that runs on this machine; without either, of a new local one."""

    def __init__(self, workers: int | None) -> None:
        try:
            import ray
        except ImportError:
            raise InputError("--executor ray: ray is not installed; install the extra [ray]") from None
        self._ray = ray
        self._joined = not ray.is_initialized()
        if self._joined:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
        super().__init__(workers or max(1, int(ray.cluster_resources().get("CPU", 1))))
        # A task that its machine took down with it is tried again elsewhere.
        self._task = ray.remote(num_cpus=1, max_calls=1, max_retries=3)(_outcome)
        self._running: set[Any] = set()

    def _run(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        task = self._task.remote(function, arguments)
        self._running.add(task)
        try:
            return _value(self._ray.get(task))
        except self._ray.exceptions.RayError as error:
            raise RuntimeError(f"ray: {str(error).strip().splitlines()[0]}") from None
        finally:
            self._running.discard(task)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for task in list(self._running):
            self._ray.cancel(task, force=True)
        super().close()
        if self._joined:
            self._ray.shutdown()


def _outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    """What a function returns or raises, as a value: the error crosses to the other process as it is."""
    try:
        return function(*arguments), None
    except Exception as error:
        return None, error


def _value(outcome: tuple[Any, Exception | None]) -> Any:
    value, error = outcome
    if error is not None:
        raise error
    return value
