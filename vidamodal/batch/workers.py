"""Workers of a batch: processes of this machine, or actors of a Ray cluster.

A worker runs one call at a time and keeps what it has loaded from call to call. It computes on one thread, so that
results do not depend on the number of workers. A worker that dies is replaced, and its call is repeated.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from vidamodal.allocator import keep_freed_memory
from vidamodal.batch.processes import ExecutorKind, Outcome, connect_ray, end_with_parent, outcome_of, unwrap
from vidamodal.types import InputError

Call = Callable[[], Any]
"""A function without arguments that can be pickled."""

TRIES = 3
"""How often a call is started whose worker dies."""

_SPAWN = multiprocessing.get_context("spawn")
_THREADS = {"OMP_NUM_THREADS": "1"}
_environment = threading.Lock()
_number = 0


def worker_number() -> int:
    """Return the number of the worker that this process is, from 0; 0 in an actor, which sees one GPU at most."""
    return _number


class WorkerDiedError(RuntimeError):
    """The process of a worker ended during a call."""


class Worker(ABC):
    """A process that runs calls."""

    @abstractmethod
    def call(self, function: Call) -> Any:
        """Return what a function returns in the worker, or raise what it raises.

        Raises:
            WorkerDiedError: The process ended.
        """

    @abstractmethod
    def close(self) -> None:
        """End the process, also during a call."""


class Pool:
    """A fixed number of workers, each started when it is first needed."""

    def __init__(self, create: Callable[[int], Worker], count: int, notes: Sequence[str] = ()) -> None:
        self._create = create
        self.count = count
        self.notes = tuple(notes)
        self._workers: dict[int, Worker] = {}
        self._calls = [threading.Lock() for _ in range(count)]
        self._lock = threading.Lock()
        self._is_open = True

    def call(self, function: Call, number: int = 0) -> Any:
        """Return what a function returns in a worker; it is repeated in a new one if the worker dies.

        Raises:
            WorkerDiedError: The worker died in every try.
        """
        with self._calls[number]:
            return self._call(function, number)

    def _call(self, function: Call, number: int) -> Any:
        for left in reversed(range(TRIES)):
            worker = self._worker(number)
            try:
                return worker.call(function)
            except WorkerDiedError:
                with self._lock:
                    self._workers.pop(number, None)
                worker.close()
                if not left or not self._is_open:
                    raise
        raise AssertionError

    def prepare(self, function: Call, workers: int) -> Any:
        """Return what a function returns in the first worker; the next ones run it too, and are not waited for.

        Raises:
            WorkerDiedError: The first worker died in every try.
        """

        def run(number: int) -> None:
            with contextlib.suppress(Exception):  # which the calls that follow raise, too
                self.call(function, number)

        for number in range(1, min(self.count, workers)):
            threading.Thread(target=run, args=(number,), daemon=True).start()
        return self.call(function)

    def map(self, calls: Iterable[tuple[str, Call]]) -> Iterator[tuple[str, Any]]:
        """Yield the name of each call with what it returned or raised, as the calls end."""
        waiting: queue.SimpleQueue[tuple[str, Call]] = queue.SimpleQueue()
        results: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        count = 0
        for count, call in enumerate(calls, start=1):  # noqa: B007
            waiting.put(call)

        def serve(number: int) -> None:
            while self._is_open:
                try:
                    name, function = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    results.put((name, self.call(function, number)))
                except Exception as error:
                    results.put((name, error))

        for number in range(min(self.count, count)):
            threading.Thread(target=serve, args=(number,), daemon=True).start()
        for _ in range(count):
            yield results.get()

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            self._is_open = False
            for worker in self._workers.values():
                worker.close()
            self._workers.clear()

    def _worker(self, number: int) -> Worker:
        with self._lock:
            if not self._is_open:
                raise WorkerDiedError("stopped")
            if number not in self._workers:
                self._workers[number] = self._create(number)
            return self._workers[number]


@contextmanager
def open_pool(kind: ExecutorKind, workers: int | None, needs_gpu: bool = False) -> Iterator[Pool]:
    """Open a pool of workers; they end with the block.

    Args:
        kind: ``local`` for processes, ``ray`` for actors of a cluster: the one at RAY_ADDRESS, else one that runs on
            this machine, else a new local one. All its machines must see the same files.
        workers: Number of workers. None for 1, or with Ray for as many as the cluster has GPUs, or else CPUs.
        needs_gpu: Give every worker of a cluster with GPUs one of them.

    Raises:
        InputError: Ray is not installed, or the number is below 1.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers must be at least 1, not {workers}")
    with _ray_pool(workers, needs_gpu) if kind == "ray" else _local_pool(workers or 1) as pool:
        try:
            yield pool
        finally:
            pool.close()


@contextmanager
def _local_pool(workers: int) -> Iterator[Pool]:
    yield Pool(_Process, workers)


class _Process(Worker):
    """A spawned process that dies with this one."""

    def __init__(self, number: int) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs, number), daemon=True)
        with _environment, _variables(_THREADS):
            self._process.start()
        theirs.close()

    def call(self, function: Call) -> Any:
        try:
            self._pipe.send(function)
            outcome = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            raise WorkerDiedError(f"a worker process died (exit status {self._process.exitcode})") from None
        return unwrap(outcome)

    def close(self) -> None:
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection, number: int) -> None:
    """Run calls until the parent ends."""
    end_with_parent()
    keep_freed_memory()
    global _number
    _number = number
    while True:
        try:
            function = pipe.recv()
        except EOFError:
            os._exit(0)
        pipe.send(outcome_of(function))


@contextmanager
def _ray_pool(workers: int | None, needs_gpu: bool) -> Iterator[Pool]:
    api, is_owner = connect_ray()
    try:
        resources = api.cluster_resources()
        gpus = int(resources.get("GPU", 0)) if needs_gpu else 0
        most = gpus or max(1, int(resources.get("CPU", 1)))
        count = min(workers or most, most)
        unit = "GPU" if gpus else "CPU"
        notes = [f"ray: {count} workers, one for each {unit} of the cluster"] if workers and workers > most else []
        actor = api.remote(num_cpus=0 if gpus else 1, num_gpus=1 if gpus else 0)(_Server)
        yield Pool(lambda _: _Actor(api, actor.remote()), count, notes)
    finally:
        if is_owner:
            api.shutdown()


class _Server:
    """The class of the actors."""

    def run(self, function: Call) -> Outcome[Any]:
        """Run one call."""
        return outcome_of(function)


class _Actor(Worker):
    """An actor of a Ray cluster."""

    def __init__(self, api: Any, handle: Any) -> None:
        self._api, self._handle = api, handle

    def call(self, function: Call) -> Any:
        try:
            outcome = self._api.get(self._handle.run.remote(function))
        except self._api.exceptions.RayError as error:
            raise WorkerDiedError(f"ray: {str(error).strip().splitlines()[0]}") from None
        return unwrap(outcome)

    def close(self) -> None:
        self._api.kill(self._handle)


@contextmanager
def _variables(values: dict[str, str]) -> Iterator[None]:
    """Set variables of the environment, which started processes inherit."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
