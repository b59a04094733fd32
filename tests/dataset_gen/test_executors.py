"""Executors of jobs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dataset_gen.__main__ import main
from tests.dataset_gen.helpers import needs_physics

WORLDS = ("--scenes", "4", "--seed", "0", "--masks-only", "--quiet")


@needs_physics
def test_missing_ray_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["--out", str(tmp_path / "set"), *WORLDS, "--executor", "ray"]) == 2
    assert "Install the extra [ray]" in capsys.readouterr().err
