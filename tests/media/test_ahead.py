"""Items that a thread makes ahead."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from vidamodal.media.ahead import made_ahead


@pytest.mark.parametrize("length", [0, 1, 3, 10])
def test_items_keep_their_order(length: int) -> None:
    assert list(made_ahead(range(length), 3)) == list(range(length))


def test_items_are_made_in_a_thread_and_no_more_than_the_limit_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            assert threading.current_thread() is not threading.main_thread()
            made.append(number)
            yield number

    for number in made_ahead(items(), 3):
        assert len(made) <= number + 1 + 3
    assert made == list(range(20))


def test_an_exception_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise ValueError("broken")

    reader = made_ahead(items(), 2)
    assert [next(reader) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(reader)


def test_a_reader_may_stop_early() -> None:
    reader = made_ahead(iter(range(10**9)), 2)
    assert next(reader) == 0
    reader.close()
