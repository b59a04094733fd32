"""Shared fixtures: a small untrained model folder and a short clip of a toy world with its ground truth."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from tests.helpers import ToyClip, small_model, write_toy_clip
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import save_model

torch.set_num_threads(1)  # small tensors
settings.register_profile("no-deadline", deadline=None)  # a busy machine is not a failure
settings.load_profile("no-deadline")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave a test out where a module that it needs is not installed."""
    for mark in item.iter_markers("needs"):
        if missing := [name for name in mark.args if find_spec(name) is None]:
            pytest.skip(f"needs {', '.join(missing)}, which `make test-slow` or `make test-pages` installs")


@pytest.fixture(scope="session")
def model() -> AmodalModel:
    return small_model()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    save_model(folder, small_model(), {}, "# small\n")
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ToyClip:
    return write_toy_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory, clip: ToyClip) -> Path:
    """Return a data set of one clip with its images."""
    folder = tmp_path_factory.mktemp("data")
    shutil.copy(clip.video, folder / "clip.mp4")
    shutil.copy(clip.truth, folder / "clip.tracks.json")
    return folder


@pytest.fixture(scope="session")
def trained_aisdiff(tmp_path_factory: pytest.TempPathFactory, clip_folder: Path) -> Path:
    """Return the folder of an AISDiff segmenter after a few training steps."""
    from tests.segmenters.aisdiff.runs import aisdiff_run, train_run

    return train_run(aisdiff_run(tmp_path_factory.mktemp("run"), clip_folder))


@pytest.fixture(scope="session")
def stable_diffusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny untrained Stable-Diffusion inpainting model."""
    from tests.segmenters.aisdiff.stable_diffusion import save_inpainting_model

    folder = tmp_path_factory.mktemp("stable")
    save_inpainting_model(folder)
    return folder
