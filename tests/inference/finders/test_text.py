"""Objects by text: detections that join tracks, newcomers, labels, and objects that leave."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import vidamodal.inference.finders.text as text_module
from tests.inference.hub_models import HEIGHT, WIDTH, random_video, watched_video
from tests.inference.sam2_model import tiny_edgetam_model, tiny_sam_model
from vidamodal.inference.finders.sam_stream import SamStream, Sighting
from vidamodal.inference.finders.text import TextFinder
from vidamodal.inference.finders.text_boxes import Detection, LoadedDetector
from vidamodal.types import Frame, InputError, VideoInfo

INFO = VideoInfo("v.mp4", HEIGHT, WIDTH, 12, 12.0)
LEFT, RIGHT = (2.0, 2.0, 30.0, 40.0), (36.0, 8.0, 62.0, 46.0)


class BoxStream(SamStream):
    """A stream whose masks are the boxes of the prompts."""

    def __init__(self, model: object, runtime: object, backward: bool = False) -> None:
        self.boxes: dict[int, torch.Tensor] = {}

    @property
    def ids(self) -> list[int]:
        return list(self.boxes)

    def prepare(self, frame: Frame) -> torch.Tensor:
        return torch.zeros(1)

    def look(self, t: int, pixels: torch.Tensor, prompt: Any, height: int, width: int) -> Sighting:
        plane = torch.full((height, width), -1.0)
        x0, y0, x1, y1 = map(int, prompt.box)
        plane[y0:y1, x0:x1] = 1
        return Sighting(t, plane, {})

    def follow(self, key: int, sighting: Sighting) -> None:
        self.boxes[key] = sighting.logits

    def step(self, t: int, pixels: torch.Tensor) -> dict[int, torch.Tensor]:
        return dict(self.boxes)

    def drop(self, keys: Collection[int]) -> None:
        self.boxes = {key: plane for key, plane in self.boxes.items() if key not in keys}


class ScriptedDetector(LoadedDetector):
    """A detector that detects, in its n-th call, the n-th list of boxes; the last list from then on."""

    def __init__(self, *calls: list[Detection]) -> None:
        super().__init__(tiny_sam_model(), None, "script", "", "")
        object.__setattr__(self, "calls", list(calls))
        object.__setattr__(self, "frames", [])

    def detect(self, frame: Frame, names: list[str]) -> list[Detection]:
        self.frames.append(frame)  # type: ignore[attr-defined]
        calls = self.calls  # type: ignore[attr-defined]
        return list(calls.pop(0) if len(calls) > 1 else calls[0])


def find(detector: ScriptedDetector, sam: Any = None, frames: int = 12, **settings: int) -> Any:
    finder = TextFinder(detector, sam or tiny_sam_model(), "mug. dog.", "cpu", **{"interval": 4, **settings})
    return finder.find(replace(INFO, frames=frames), random_video(frames))


@pytest.fixture
def boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "SamStream", BoxStream)


def test_newcomers_begin_tracks_and_are_followed_back(boxes: None) -> None:
    mug, dog = Detection(LEFT, 0.9, "mug"), Detection(RIGHT, 0.8, "dog")
    clip = find(ScriptedDetector([mug], [dog]))
    assert [(track.id, track.label) for track in clip.tracks] == [(1, "mug"), (2, "dog")] and not clip.exhaustive
    for track, (x0, y0, x1, y1) in zip(clip.tracks, (LEFT, RIGHT), strict=True):
        assert all(mask is not None and mask.box() == (y0, x0, y1, x1) for mask in track.visible)
    assert clip.notes == ("text mug. dog: 2 objects found by script (1 dog, 1 mug)",)


@pytest.mark.parametrize("build", [tiny_sam_model, tiny_edgetam_model])
def test_the_same_video_gives_the_same_disjoint_masks(build: Callable[[], Any]) -> None:
    detections = [Detection((30.0, 10.0, 60.0, 40.0), 0.9, "mug"), Detection((2.0, 2.0, 20.0, 20.0), 0.8, "dog")]
    clip = find(ScriptedDetector(detections), build(), frames=6)
    assert clip == find(ScriptedDetector(detections), build(), frames=6) and clip.tracks[0].label == "mug"
    assert all(None not in track.visible for track in clip.tracks)
    for t in range(6):
        assert np.sum([track.visible[t].decode() for track in clip.tracks], axis=0).max() <= 1


def test_a_second_detection_of_an_object_joins_its_track(boxes: None) -> None:
    one = Detection(LEFT, 0.4, "mug")
    clip = find(ScriptedDetector([one, Detection((2.0, 2.0, 30.0, 41.0), 0.3, "dog"), one]), frames=9)
    assert [(track.id, track.label) for track in clip.tracks] == [(1, "mug")]
    better = [Detection(LEFT, 0.4, "mug"), Detection(LEFT, 0.9, "dog")]
    assert find(ScriptedDetector(better), frames=4).tracks[0].label == "dog"


def test_a_part_of_a_track_is_no_newcomer_and_does_not_name_it(boxes: None) -> None:
    part = Detection((10.0, 10.0, 20.0, 20.0), 0.99, "dog")
    clip = find(ScriptedDetector([Detection(LEFT, 0.4, "mug")], [part]))
    assert [track.label for track in clip.tracks] == ["mug"]
    around = Detection((0.0, 0.0, 64.0, 48.0), 0.9, "dog")
    assert len(find(ScriptedDetector([part], [around])).tracks) == 2


def test_the_detector_sees_every_nth_frame() -> None:
    detector = ScriptedDetector([])
    clip = find(detector, frames=9)
    seen = [frame for t, frame in enumerate(random_video(9)()) if t % 4 == 0]
    assert not clip.tracks and clip.notes == ("text mug. dog: 0 objects found by script",)
    assert all(map(np.array_equal, detector.frames, seen)) and len(detector.frames) == 3  # type: ignore[attr-defined]


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="interval and patience must be at least 1 frame"):
        find(ScriptedDetector([]), interval=0)
    with pytest.raises(InputError, match="Pass text= instead of detect="):
        TextFinder.create("cpu", 0)


@pytest.mark.slow
def test_memory_stays_flat_over_hundreds_of_frames() -> None:
    used: list[int] = []
    detections = [[Detection(box, 0.9, "mug")] for box in ((30.0, 10.0, 60.0, 40.0), LEFT)] * 15
    finder = TextFinder(ScriptedDetector(*detections), tiny_sam_model(), "mug.", "cpu", patience=5)
    clip = finder.find(replace(INFO, frames=300), watched_video(300, used))
    assert clip.tracks and max(used[100:]) - used[100] < 20e6, [round(value / 1e6) for value in used[::20]]
