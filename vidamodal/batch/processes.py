"""What executors share: processes that end with their parent, outcomes that cross to it, and Ray clusters."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from vidamodal.types import InputError

ExecutorKind = Literal["local", "ray"]

T = TypeVar("T")
Outcome = tuple[T | None, Exception | None]
"""The value that a function returned, or the exception that it raised."""


def end_with_parent() -> None:
    """Prepare a spawned process: interrupts are left to its parent, and it ends when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted as well, and ends this process
    # Libraries create locks; those for a forked process leave nothing behind when this process is killed.
    multiprocessing.set_start_method("fork", force=True)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def exit_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=exit_with_parent, daemon=True).start()


def outcome_of(function: Callable[..., T], *arguments: Any) -> Outcome[T]:
    """Return what a function returns or raises, so that errors cross unchanged to another process."""
    try:
        return function(*arguments), None
    except Exception as error:
        return None, error


def unwrap(outcome: Outcome[T]) -> T:
    """Return the value of an outcome, or raise its exception."""
    value, error = outcome
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


def connect_ray() -> tuple[Any, bool]:
    """Connect to a Ray cluster: the one at RAY_ADDRESS, else one running on this machine, else a new local one.

    Returns:
        The module ``ray``, and True if this call connected and the caller has to shut it down.

    Raises:
        InputError: Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise InputError("Ray is not installed. Install the extra [ray], or use the local executor.") from None
    api: Any = ray  # its functions have no types
    is_owner = not api.is_initialized()
    if is_owner:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        api.init(log_to_driver=False, logging_level=logging.ERROR)
    return api, is_owner
