"""The registry of segmenters."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

import vidamodal.segmenters
from vidamodal.models.folder import load_segmenter, save_segmenter
from vidamodal.segmenters.base import find_segmenter, segmenter_ids
from vidamodal.types import InputError

TOY_SEGMENTER = """
from dataclasses import dataclass
from vidamodal.segmenters.base import FrameSegmenter
from vidamodal.types import FrameInstance

@dataclass(frozen=True)
class BrightConfig:
    threshold: float = 0.5
    size: int = 8

class BrightSegmenter(FrameSegmenter):
    ID = "bright"
    config_class = BrightConfig

    def __init__(self, config):
        super().__init__(config)
        self.config = config

    @property
    def size(self):
        return self.config.size

    def segment(self, frames, seeds):
        masks = (frames.mean(dim=1) > self.config.threshold).numpy()
        return [[FrameInstance(mask, mask, 1, None, 1.0)] for mask in masks]
"""


def drop_in(monkeypatch: pytest.MonkeyPatch, package: ModuleType, folder: Path, name: str, source: str) -> None:
    """Add a module to a package for the duration of a test."""
    (folder / f"{name}.py").write_text(source)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])


def test_bundled_segmenters() -> None:
    assert segmenter_ids() == ["aisdiff", "cumulative"]
    assert all(identity == find_segmenter(identity).ID for identity in segmenter_ids())


def test_a_segmenter_is_one_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop_in(monkeypatch, vidamodal.segmenters, tmp_path, "any_name", TOY_SEGMENTER)
    assert "bright" in segmenter_ids()
    kind = find_segmenter("bright")
    save_segmenter(tmp_path / "m", kind(kind.config_class(threshold=0.2)), {}, "# bright\n")
    loaded = load_segmenter(str(tmp_path / "m"))
    assert loaded.head == "bright" and loaded.model.config.threshold == 0.2
    ((instance,),) = loaded.model.segment(torch.full((1, 3, 8, 8), 0.3), [0])
    assert instance.amodal.all()


@pytest.mark.parametrize("name", ["nosuch", "base", "conv"])
def test_unknown_segmenters_are_refused_with_a_list_of_all(name: str) -> None:
    with pytest.raises(InputError, match="Choose one of aisdiff, cumulative"):
        find_segmenter(name)
