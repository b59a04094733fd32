"""The recipes of CONTRIBUTING.md, run as they stand there."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import head_inputs, small_model
from vidamodal.formats import find_dataset
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo

ROOT = Path(__file__).resolve().parents[1]
RECIPES = dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL))


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """Add the file of a recipe to the package that it belongs to, and return the module's name."""
    path = Path(request.param)
    file = tmp_path / "recipe" / path.name
    file.parent.mkdir()
    file.write_text(RECIPES[request.param])
    package = importlib.import_module(".".join(path.parts[:-1]))
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(file.parent)])
    name = f"{package.__name__}.{path.stem}"
    yield name
    sys.modules.pop(name, None)


@pytest.fixture
def clip() -> ClipTracks:
    """Return one object in two frames, hidden by half in the second one."""
    whole, half = np.zeros((16, 16), dtype=bool), np.zeros((16, 16), dtype=bool)
    whole[4:12, 4:12] = half[4:12, 4:8] = True
    full, part = Rle.encode(whole), Rle.encode(half)
    return ClipTracks(VideoInfo("video.mp4", 16, 16, 2, 1.0), (Track(1, (full, part), (full, full)),))


def uses(path: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("recipe", [path], indirect=True)


def test_every_recipe_has_a_test() -> None:
    source = Path(__file__).read_text()
    assert len(RECIPES) == 8
    assert [path for path in RECIPES if f'"{path}"' not in source] == []


@uses("vidamodal/heads/shift.py")
def test_head(recipe: str) -> None:
    from vidamodal.heads.base import find_head

    kind = find_head("shift")
    inputs = head_inputs(16)
    head = kind(kind.config_class(shift=2.0), 16, 0)
    torch.testing.assert_close(head(inputs), inputs.coarse + 2)
    assert any(weight.requires_grad for weight in head.parameters())


@uses("vidamodal/segmenters/bright.py")
def test_segmenter(recipe: str) -> None:
    from vidamodal.segmenters.base import find_segmenter

    kind = find_segmenter("bright")
    ((instance,),) = kind(kind.config_class(size=8)).segment(torch.ones(1, 3, 8, 8), [0])
    assert instance.amodal.all()


@uses("vidamodal/formats/videos/rectangles.py")
def test_format(recipe: str, tmp_path: Path) -> None:
    record = {"height": 4, "width": 6, "rectangles": {"1": [[0, 0, 2, 3], None]}}
    (tmp_path / "clip.json").write_text(json.dumps(record))
    dataset = find_dataset(tmp_path / "clip.json")
    (track,) = dataset.clips["clip"].tracks().tracks
    assert dataset.format == "rectangles" and [mask and mask.area() for mask in track.visible] == [6, None]


@uses("vidamodal/metrics/protocols/missed_area.py")
def test_protocol(recipe: str, clip: ClipTracks) -> None:
    from vidamodal.baselines import predict_baseline
    from vidamodal.metrics.counting import count_video
    from vidamodal.metrics.protocols import load_protocols, score_protocols

    load_protocols.cache_clear()
    try:
        scores = score_protocols([count_video("a", predict_baseline("copy-visible", clip), clip)])["missed-area"]
    finally:
        load_protocols.cache_clear()
    assert scores.more == {"missed": 1.0, "ceiling": {"missed": 0.0}}


@uses("vidamodal/baselines/bounding_box.py")
def test_baseline(recipe: str, clip: ClipTracks) -> None:
    from vidamodal.baselines import load_baselines, predict_baseline

    load_baselines.cache_clear()
    try:
        (track,) = predict_baseline("bounding-box", clip).tracks
    finally:
        load_baselines.cache_clear()
    assert track.amodal == track.visible


@uses("vidamodal/inference/finders/whole_frame.py")
def test_finder(recipe: str, clip: ClipTracks) -> None:
    from vidamodal.inference.finders.base import create_finder

    (track,) = create_finder("whole-frame", "cpu", 0).find(clip.video, lambda start=0, stop=None: iter(())).tracks
    assert [mask and mask.area() for mask in track.visible] == [256, 256]


@uses("vidamodal/training/stages/bias.py")
def test_stage(recipe: str) -> None:
    from vidamodal.training.losses import LossConfig
    from vidamodal.training.stage import find_stage

    model = small_model()
    stage = find_stage("bias", "head")(model, LossConfig())
    trained = [name for name, parameter in stage.named_parameters() if parameter.requires_grad]
    assert trained and all(name.endswith("bias") for name in trained)


def test_experiment(
    tmp_path: Path, clip: ClipTracks, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vidamodal.tracks import write_tracks

    write_tracks(tmp_path / "a.tracks.json", clip)
    monkeypatch.setattr(sys, "argv", ["areas", "--truth", str(tmp_path)])
    code = compile(RECIPES["scripts/experiments/areas/__main__.py"], "areas", "exec", dont_inherit=True)
    with pytest.raises(SystemExit) as status:
        exec(code, {"__name__": "__main__", "__doc__": "Areas."})
    assert not status.value.code
    assert "| a | 25.0 |" in capsys.readouterr().out
