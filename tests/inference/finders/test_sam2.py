"""SAM 2: prompts, bounded memory, known masks and loading."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from tests.inference.sam2_model import tiny_sam_model
from vidamodal.inference.finders.sam2 import DEFAULT_SAM, PROMPTED, Sam2Finder, load_sam
from vidamodal.media.prompts import Prompt
from vidamodal.types import ClipTracks, InputError, Rle, Track, VideoInfo

INFO = VideoInfo("v.mp4", 48, 64, 10, 12.0)


PROMPTS = (Prompt(3, 0, ((20, 20), (5, 5)), (1, 0)), Prompt(7, 4, box=(30, 10, 60, 40)))


@pytest.fixture(scope="module")
def sam_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sam") / "small-sam"
    tiny_sam_model().save_pretrained(folder)
    return folder


def random_frames(frames: int) -> Iterator[np.ndarray]:
    for t in range(frames):
        yield np.random.default_rng(t).integers(0, 255, (48, 64, 3), dtype=np.uint8)


def sam_tracks(frames: int, **more: object) -> ClipTracks:
    info = replace(INFO, frames=frames)
    return Sam2Finder(tiny_sam_model(), PROMPTS, device="cpu", **more).find(info, lambda: random_frames(frames))  # type: ignore[arg-type]


def test_each_object_is_followed_from_its_prompt() -> None:
    clip = sam_tracks(9)
    assert [track.id for track in clip.tracks] == [3, 7] and not clip.exhaustive
    assert [mask is None for mask in clip.tracks[1].visible] == [True] * 4 + [False] * 5
    assert all(mask is not None for mask in clip.tracks[0].visible) and any(m.area() for m in clip.tracks[0].visible)  # type: ignore[union-attr]
    for one, other in zip(*(track.visible for track in clip.tracks), strict=True):
        assert other is None or one is None or not (one.decode() & other.decode()).any()
    assert clip == sam_tracks(9)


def test_dropping_old_frames_does_not_change_the_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = 20
    plain, short = sam_tracks(frames), sam_tracks(frames, memory=1)
    with monkeypatch.context() as patch:
        patch.setattr(Sam2Finder, "_forget", lambda *_: None)
        assert sam_tracks(frames) == plain
    assert short != plain  # it does attend to more than the last frame


def test_memory_does_not_grow_with_the_video(monkeypatch: pytest.MonkeyPatch) -> None:
    held, alive = [], []
    forget = Sam2Finder._forget

    def spy(self: Sam2Finder, session: object, t: int) -> None:
        forget(self, session, t)
        outputs = session.output_dict_per_obj.values()  # type: ignore[attr-defined]
        held.append(sum(len(by_frame) for kinds in outputs for by_frame in kinds.values()))
        assert not session.processed_frames  # type: ignore[attr-defined]

    seen: list[weakref.ref[np.ndarray]] = []

    def watched(frames: int) -> Iterator[np.ndarray]:
        for picture in random_frames(frames):
            alive.append(sum(ref() is not None for ref in seen))
            seen.append(weakref.ref(picture))
            yield picture

    monkeypatch.setattr(Sam2Finder, "_forget", spy)
    mask = Rle.encode(np.pad(np.ones((20, 20), dtype=bool), ((4, 24), (4, 40))))
    info = replace(INFO, frames=30)
    shown = ClipTracks(info, (Track(1, (mask,) * 15 + (None,) * 15),))
    finder = Sam2Finder(tiny_sam_model(), PROMPTS, shown, device="cpu")
    finder.find(info, lambda: watched(30))
    assert max(held) <= 3 * (finder.memory + PROMPTED) and max(alive) <= 2


def test_known_masks_are_kept_and_prompt_the_other_frames() -> None:
    mask, nothing = Rle.encode(np.pad(np.ones((20, 20), dtype=bool), ((4, 24), (4, 40)))), Rle.empty(48, 64)
    info = replace(INFO, frames=6)
    shown = Track(5, (None, mask, None, nothing, mask, None), label="mug")
    unseen = Track(6, (nothing,) + (None,) * 5)
    told = ClipTracks(info, (shown, unseen), exhaustive=True)
    clip = Sam2Finder(tiny_sam_model(), known=told, device="cpu").find(info, lambda: random_frames(6))
    visible = clip.tracks[0].visible
    assert (visible[0], visible[1], visible[3], visible[4]) == (None, mask, nothing, mask)
    assert visible[2] is not None and visible[5] is not None
    assert clip.tracks[0].label == "mug" and clip.exhaustive and clip.tracks[1] == unseen


def test_missing_weights_are_reported_in_one_line(sam_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("cannot reach the Hub\nand more")

    with pytest.raises(InputError, match=r"there is no folder ./nosuch.*hf download facebook/sam2.1-hiera-tiny"):
        load_sam("./nosuch")
    with monkeypatch.context() as patch:
        patch.setattr(transformers.Sam2VideoModel, "from_pretrained", offline)
        with pytest.raises(InputError, match=f"{DEFAULT_SAM}.* cannot reach the Hub. .*--local-dir FOLDER") as raised:
            load_sam()
    assert "\n" not in str(raised.value)


def test_weights_are_checked_and_hashed(sam_folder: Path, tmp_path: Path) -> None:
    loaded = load_sam(str(sam_folder))
    assert loaded.name == "small-sam"
    model = tiny_sam_model()
    with torch.no_grad():
        model.no_object_pointer.add_(1)
    model.save_pretrained(tmp_path / "other")
    other = load_sam(str(tmp_path / "other"))
    assert other.config_hash == loaded.config_hash and other.weights_hash != loaded.weights_hash
    kept = {k: v for k, v in model.state_dict().items() if k != "no_object_pointer"}
    model.save_pretrained(tmp_path / "less", state_dict=kept)
    with pytest.raises(InputError, match="no_object_pointer is missing"):
        load_sam(str(tmp_path / "less"))
    with pytest.raises(InputError, match="memory must be at least 1"):
        Sam2Finder(model, memory=0)
