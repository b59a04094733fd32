"""Work in a thread beside the work that needs its results."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def made_ahead(items: Iterable[Item], count: int = 4) -> Generator[Item, None, None]:
    """Yield items that a thread makes while the earlier ones are used.

    An exception that is raised while an item is made is raised again in its place.

    Args:
        items: The items; only the thread reads them.
        count: Number of items that are made ahead, at most; no more are held in memory.
    """
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(next, iterator, end) for _ in range(count))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, iterator, end))
            yield item  # type: ignore[misc]
