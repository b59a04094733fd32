"""Fixtures of training runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState, GradientState

from tests.training.helpers import tiny_config
from vidamodal.training.run import train


@pytest.fixture(autouse=True)
def reset_accelerator() -> Iterator[None]:
    """Accelerate remembers the device and precision of a process's first run."""
    yield
    AcceleratorState._reset_state(True)
    GradientState._reset_state()


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that was not interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    train(tiny_config(folder), quiet=True)
    AcceleratorState._reset_state(True)
    return folder
