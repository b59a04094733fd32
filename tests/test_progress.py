from __future__ import annotations

import threading

import pytest

from vidamodal.progress import StoppedError, progress, stoppable


def test_work_goes_on_until_it_is_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    stop = threading.Event()
    with stoppable(stop):
        items = progress(range(5), 5, "count", "item", quiet=False)
        assert [next(items), next(items)] == [0, 1]
        stop.set()
        with pytest.raises(StoppedError):
            next(items)
    assert "count" in capsys.readouterr().err


def test_other_work_is_not_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    stop = threading.Event()
    done: list[int] = []
    stop.set()
    with stoppable(stop):
        other = threading.Thread(target=lambda: done.extend(progress(range(3), 3, "count", "item", quiet=True)))
        other.start()
        other.join()
    done.extend(progress(range(3), 3, "count", "item", quiet=True))
    assert done == [0, 1, 2] * 2
    assert capsys.readouterr().err == ""
