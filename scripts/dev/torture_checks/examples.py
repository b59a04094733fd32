"""Random examples of hypothesis as attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from scripts.dev.torture_checks.base import Attempt

T = TypeVar("T")


def search(
    case: str, check: Callable[[T], None], values: st.SearchStrategy[T], key: int, count: int
) -> Iterator[Attempt]:
    """Check a property of random values, and yield an attempt for each.

    The first value for which it does not hold is simplified, and ends the search.

    Args:
        case: Name of the property.
        check: Raises an exception where the property does not hold.
        values: The strategy of hypothesis that draws the values.
        key: Seed of the draws.
        count: Number of values.
    """
    tried = 0
    failed: list[str] = []

    @seed(key)
    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(values)
    def hold(value: T) -> None:
        nonlocal tried
        tried += not failed
        try:
            check(value)
        except Exception as error:
            failed.append(f"{error!r} for {value!r}")
            raise

    try:
        hold()
    except Exception:
        yield Attempt(case, failed[-1][:500])
        tried -= 1
    yield from (Attempt(case) for _ in range(tried))
