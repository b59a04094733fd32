"""Locks and temporary folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dataset_gen.locks import Locks, scratch_folder
from tests.dataset_gen.helpers import ROOT, wait_for


def test_locks_hold_between_processes_and_end_with_their_process(tmp_path: Path) -> None:
    code = f"""
import sys, time; from pathlib import Path; from dataset_gen.locks import Locks
locks = Locks(Path({str(tmp_path / "locks")!r})); print(locks.acquire(3), flush=True); time.sleep(600)
"""
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert other.stdout is not None and other.stdout.readline() == "True\n"
    locks = Locks(tmp_path / "locks")
    assert (locks.acquire(3), locks.acquire(4)) == (False, True)
    other.kill()
    other.communicate()
    wait_for(lambda: locks.acquire(3))
    assert not locks.is_deleted
    (tmp_path / "locks").unlink()
    assert locks.is_deleted
    locks.close()


def test_scratch_folders_of_dead_processes_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "vidamodal-scratch-dead1234").mkdir()
    (tmp_path / "vidamodal-scratch-dead1234" / "frame.exr").touch()
    with scratch_folder() as first, scratch_folder() as second:
        assert sorted(tmp_path.iterdir()) == sorted([first.parent, second.parent])
    assert not list(tmp_path.iterdir())
