"""SAM 2: prompts, both directions, bounded memory and known masks."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.inference.hub_models import random_video, watched_video
from tests.inference.sam2_model import tiny_edgetam_model, tiny_sam_model
from vidamodal.inference.finders.sam2 import Sam2Finder
from vidamodal.inference.finders.sam_stream import PROMPTED, SamStream
from vidamodal.inference.runtime import BACKWARD_CHUNK
from vidamodal.media.prompts import Prompt
from vidamodal.types import ClipTracks, InputError, Rle, Track, VideoInfo

INFO = VideoInfo("v.mp4", 48, 64, 10, 12.0)


PROMPTS = (Prompt(3, 0, ((20, 20), (5, 5)), (1, 0)), Prompt(7, 4, box=(30, 10, 60, 40)))


def sam_tracks(frames: int, **more: object) -> ClipTracks:
    info = replace(INFO, frames=frames)
    return Sam2Finder(tiny_sam_model(), PROMPTS, device="cpu", **more).find(info, random_video(frames))  # type: ignore[arg-type]


def test_each_object_is_followed_in_both_directions() -> None:
    clip = sam_tracks(9)
    assert [track.id for track in clip.tracks] == [3, 7] and not clip.exhaustive
    assert all(mask is not None for mask in clip.tracks[1].visible)
    assert any(mask.area() for mask in clip.tracks[1].visible[:4] if mask)
    assert all(mask is not None for mask in clip.tracks[0].visible) and any(m.area() for m in clip.tracks[0].visible)  # type: ignore[union-attr]
    for one, other in zip(*(track.visible for track in clip.tracks), strict=True):
        assert other is None or one is None or not (one.decode() & other.decode()).any()
    assert clip == sam_tracks(9)


def test_dropping_old_frames_does_not_change_the_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = 20
    plain, short = sam_tracks(frames), sam_tracks(frames, memory=1)
    with monkeypatch.context() as patch:
        patch.setattr(SamStream, "_forget", lambda *_: None)
        assert sam_tracks(frames) == plain
    assert short != plain  # it does attend to more than the last frame


def test_memory_does_not_grow_with_the_video(monkeypatch: pytest.MonkeyPatch) -> None:
    held, alive = [], []
    forget = SamStream._forget

    def spy(self: SamStream, t: int) -> None:
        forget(self, t)
        session = self._session
        outputs = session.output_dict_per_obj.values()
        held.append(sum(len(by_frame) for kinds in outputs for by_frame in kinds.values()))
        assert not session.processed_frames

    seen: list[weakref.ref[np.ndarray]] = []

    def watched(start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        for picture in random_video(30)(start, stop):
            alive.append(sum(ref() is not None for ref in seen))
            seen.append(weakref.ref(picture))
            yield picture

    monkeypatch.setattr(SamStream, "_forget", spy)
    mask = Rle.encode(np.pad(np.ones((20, 20), dtype=bool), ((4, 24), (4, 40))))
    info = replace(INFO, frames=30)
    shown = ClipTracks(info, (Track(1, (mask,) * 15 + (None,) * 15),))
    finder = Sam2Finder(tiny_sam_model(), PROMPTS, shown, device="cpu")
    finder.find(info, watched)
    assert max(held) <= 3 * (5 + PROMPTED) and max(alive) <= BACKWARD_CHUNK + 1


def test_known_masks_are_kept_and_prompt_the_other_frames() -> None:
    mask, nothing = Rle.encode(np.pad(np.ones((20, 20), dtype=bool), ((4, 24), (4, 40)))), Rle.empty(48, 64)
    info = replace(INFO, frames=6)
    shown = Track(5, (None, mask, None, nothing, mask, None), label="mug")
    unseen = Track(6, (nothing,) + (None,) * 5)
    told = ClipTracks(info, (shown, unseen), exhaustive=True, notes=("five frames left out",))
    clip = Sam2Finder(tiny_sam_model(), known=told, device="cpu").find(info, random_video(6))
    visible = clip.tracks[0].visible
    assert (visible[1], visible[3], visible[4]) == (mask, nothing, mask)
    assert all(visible[t] is not None for t in (0, 2, 5))
    assert clip.tracks[0].label == "mug" and clip.exhaustive and clip.tracks[1] == unseen
    assert clip.notes == told.notes


def test_the_memory_must_be_a_number_of_frames() -> None:
    with pytest.raises(InputError, match="memory must be at least 1"):
        Sam2Finder(tiny_sam_model(), memory=0)


@pytest.mark.slow
@pytest.mark.parametrize("build", [tiny_sam_model, tiny_edgetam_model])
def test_memory_stays_flat_over_hundreds_of_frames(build: Callable[[], Any]) -> None:
    used: list[int] = []
    info = replace(INFO, frames=300)
    prompts = (Prompt(1, 0, ((20, 20),), (1,)), Prompt(2, 150, box=(30, 10, 60, 40)))
    clip = Sam2Finder(build(), prompts, device="cpu").find(info, watched_video(300, used))
    assert all(None not in track.visible for track in clip.tracks)
    assert max(used[100:]) - used[100] < 20e6, [round(value / 1e6) for value in used[::20]]
