"""Processes that end with their parent, and outcomes of calls."""

from __future__ import annotations

import multiprocessing
import os
import time
from multiprocessing.connection import Connection

import pytest

from vidamodal.batch.processes import end_with_parent, outcome_of, unwrap

SPAWN = multiprocessing.get_context("spawn")


def test_values_and_exceptions_cross_unchanged() -> None:
    assert unwrap(outcome_of(divmod, 7, 2)) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        unwrap(outcome_of(divmod, 7, 0))


def wait(pipe: Connection) -> None:
    """Send the number of this process, and wait for long."""
    end_with_parent()
    pipe.send(os.getpid())
    time.sleep(100)


def start_another(pipe: Connection) -> None:
    """Start a process that waits, and wait as well."""
    SPAWN.Process(target=wait, args=(pipe,)).start()
    pipe.close()
    time.sleep(100)


def test_a_process_ends_with_its_parent() -> None:
    ours, theirs = SPAWN.Pipe()
    parent = SPAWN.Process(target=start_another, args=(theirs,))
    parent.start()
    theirs.close()
    assert ours.recv() != parent.pid
    parent.kill()
    parent.join()
    assert ours.poll(60)
    with pytest.raises(EOFError):  # the other side of the pipe is closed
        ours.recv()
