"""A new finder is one new file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vidamodal
import vidamodal.inference.finders
from tests.helpers import ToyClip
from vidamodal.inference.finders.base import create_finder, finder_ids
from vidamodal.types import InputError

TOY_FINDER = '''
from vidamodal.inference.finders.base import Finder
from vidamodal.inference.runtime import Timings
from vidamodal.types import ClipTracks, Rle, Track


class ToyFinder(Finder):
    """One object: the upper left corner of every frame."""

    ID = "toy"

    def __init__(self, corner):
        self.corner, self.timings = corner, Timings()

    @classmethod
    def create(cls, device, seed):
        return cls(8)

    @property
    def size(self):
        return 16

    def find(self, video, frames, quiet=True):
        masks = []
        for frame in frames():
            mask = frame[..., 0] < 0
            mask[: self.corner, : self.corner] = True
            masks.append(Rle.encode(mask))
        return ClipTracks(video, (Track(1, tuple(masks)),))
'''


def test_a_file_in_the_package_is_a_finder(
    tmp_path: Path, clip: ToyClip, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy_finder.py").write_text(TOY_FINDER)
    monkeypatch.setattr(vidamodal.inference.finders, "__path__", [*vidamodal.inference.finders.__path__, str(tmp_path)])
    assert finder_ids() == [
        "instance-segmentation", "sam2", "segmenter", "text", "toy", "video-instance-segmentation",
    ]  # fmt: skip
    prediction = vidamodal.predict(clip.video, None, tmp_path / "out", detect="toy", model=str(model_folder))
    assert [mask.area() for mask in prediction.tracks[0].visible if mask] == [64] * clip.tracks.video.frames
    assert prediction.tracks[0].amodal is not None and not prediction.exhaustive
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["masks"] == "finder toy" and run["canvas"] == 16


def test_finders_that_do_not_exist_or_need_more_are_rejected(clip: ToyClip) -> None:
    with pytest.raises(InputError, match="there is no finder 'toy'"):
        create_finder("toy", "cpu", 0)
    with pytest.raises(InputError, match="Pass points=, boxes= or masks="):
        vidamodal.predict(clip.video, detect="sam2")
