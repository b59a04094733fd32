"""Progress bars of long work, which can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

_stop: ContextVar[threading.Event | None] = ContextVar("stop", default=None)


class StoppedError(Exception):
    """Work was stopped because nobody waits for its result any more."""


@contextmanager
def stoppable(stop: threading.Event) -> Iterator[None]:
    """Let `progress` raise `StoppedError` in this context, in this thread, as soon as an event is set."""
    token = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(token)


def progress(items: Iterable[T], total: int, name: str, unit: str, quiet: bool) -> Iterator[T]:
    """Yield items, with a progress bar.

    Args:
        items: What to yield.
        total: Number of items.
        name: What is done.
        unit: What an item is.
        quiet: Show no bar.

    Raises:
        StoppedError: If the event of `stoppable` is set.
    """
    for item in tqdm(items, total=total, desc=name, unit=unit, disable=quiet):
        stop = _stop.get()
        if stop is not None and stop.is_set():
            raise StoppedError
        yield item
