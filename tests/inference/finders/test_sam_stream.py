"""One pass of SAM 2 or EdgeTAM: the library's results, sightings, objects that are dropped, and loading."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.inference.hub_models import HEIGHT, WIDTH, random_frame
from tests.inference.sam2_model import tiny_edgetam_model, tiny_sam_model
from vidamodal.inference.finders.sam_stream import DEFAULT_SAM, FAMILIES, SamStream, disjoint_masks, load_sam
from vidamodal.inference.runtime import Runtime
from vidamodal.media.prompts import Prompt
from vidamodal.types import InputError, Rle

BUILDERS = [tiny_sam_model, tiny_edgetam_model]
START, FRAMES = 5, 12
BOX = Prompt(7, START, box=(30, 10, 60, 40))


@pytest.fixture(scope="module")
def sam_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sam") / "small-sam"
    tiny_sam_model().save_pretrained(folder)
    return folder


def stream(model: Any, backward: bool = False) -> SamStream:
    return SamStream(model, Runtime(torch.device("cpu"), torch.float32), backward=backward)


@pytest.mark.parametrize("build", BUILDERS)
def test_both_directions_are_those_of_the_library_and_meet_at_the_prompt(build: Callable[[], Any]) -> None:
    model = build()
    pixels = torch.cat([stream(model).prepare(random_frame(t)) for t in range(FRAMES)])
    session_class = getattr(transformers, f"{FAMILIES[model.config.model_type]}InferenceSession")
    meeting = []
    for backward, order in ((False, range(START, FRAMES)), (True, range(START, -1, -1))):
        session = session_class(video=pixels, video_height=HEIGHT, video_width=WIDTH, dtype=torch.float32)
        coordinates = torch.tensor([[30.0, 10], [60, 40]]) * torch.tensor([64 / WIDTH, 64 / HEIGHT])
        inputs = {"point_coords": coordinates[None, None], "point_labels": torch.tensor([[[2, 3]]]).int()}
        session.add_point_inputs(session.obj_id_to_idx(7), START, inputs)
        session.obj_with_new_inputs = [7]
        results = model.propagate_in_video_iterator(session, start_frame_idx=START, reverse=backward)
        expected = {out.frame_idx: out.pred_masks[0, 0] for out in results}
        ours = stream(model, backward)
        ours.follow(7, ours.look(START, pixels[START, None], BOX, HEIGHT, WIDTH))
        logits = {t: ours.step(t, pixels[t, None])[7] for t in order}
        assert logits.keys() == expected.keys() and len(logits) > 5
        assert all(torch.equal(logits[t], expected[t]) for t in order)
        meeting.append(logits[START])
    assert torch.equal(*meeting) and bool((meeting[0] > 0).any())


def test_a_sighting_changes_nothing_until_it_is_followed() -> None:
    model = tiny_sam_model()
    first, second = (stream(model).prepare(random_frame(t)) for t in (0, 1))
    plain, curious = stream(model), stream(model)
    for each in (plain, curious):
        each.follow(7, each.look(0, first, Prompt(7, 0, box=BOX.box), HEIGHT, WIDTH))
        each.step(0, first)
    curious.look(1, second, Prompt(8, 1, ((5, 5),), (1,)), HEIGHT, WIDTH)
    assert curious.ids == [7] and torch.equal(plain.step(1, second)[7], curious.step(1, second)[7])


def test_dropped_objects_leave_the_others_as_they_were() -> None:
    model = tiny_sam_model()
    pixels = [stream(model).prepare(random_frame(t)) for t in range(4)]
    alone, both = stream(model), stream(model)
    mask = Rle.encode(np.pad(np.ones((20, 20), dtype=bool), ((4, 24), (4, 40))))
    both.follow(3, both.look(0, pixels[0], mask, HEIGHT, WIDTH))
    for each in (alone, both):
        each.follow(7, each.look(0, pixels[0], Prompt(7, 0, box=BOX.box), HEIGHT, WIDTH))
    for t in range(2):
        assert both.step(t, pixels[t]).keys() == {3, 7}
        alone.step(t, pixels[t])
    both.drop({3})
    for t in (2, 3):
        torch.testing.assert_close(both.step(t, pixels[t]), alone.step(t, pixels[t]), rtol=0, atol=1e-4)


def test_a_pixel_belongs_to_the_object_with_the_largest_logit() -> None:
    planes = torch.tensor([[[3.0, -1], [1, -1]], [[2.0, 2], [2, -1]]])
    masks = disjoint_masks(dict(zip((4, 9), planes, strict=True)), 2, 2)
    assert masks[4].decode().tolist() == [[True, False], [False, False]]
    assert masks[9].decode().tolist() == [[False, True], [True, False]]
    assert disjoint_masks({}, 2, 2) == {}


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


def test_edgetam_is_loaded_and_refused_in_one_line_if_it_needs_timm(tmp_path: Path) -> None:
    tiny_edgetam_model().save_pretrained(tmp_path / "edge")
    assert load_sam(str(tmp_path / "edge")).model.config.model_type == "edgetam_video"
    config = json.loads((tmp_path / "edge/config.json").read_text())
    config["vision_config"] = {"model_type": "edgetam_vision_model"}  # that of the released model
    (tmp_path / "edge/config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"sam=: .* needs torchvision and timm, with which vidamodal") as raised:
        load_sam(str(tmp_path / "edge"))
    assert "\n" not in str(raised.value)


def test_missing_models_are_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"there is no folder ./nosuch.*hf download facebook/sam2.1-hiera-tiny"):
        load_sam("./nosuch")
    with pytest.raises(InputError, match=f"{DEFAULT_SAM}.* is not in the cache.*--local-dir FOLDER") as raised:
        load_sam()
    assert "\n" not in str(raised.value)
