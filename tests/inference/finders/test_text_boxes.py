"""Detectors by text: the library's detections, names, long texts and loading."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.inference.hub_models import HEIGHT, WIDTH, random_frame, save_grounding_dino, save_owlv2
from tests.inference.sam2_model import tiny_sam_model
from vidamodal.inference.finders.text_boxes import load_detector, parse_names
from vidamodal.types import InputError

NAMES = ["person", "dog"]


@pytest.mark.parametrize("kind", ["grounding-dino", "owlv2"])
def test_detections_are_those_of_the_library(kind: str, tmp_path: Path) -> None:
    save = save_owlv2 if kind == "owlv2" else save_grounding_dino
    loaded = load_detector(str(save(tmp_path / kind)))
    assert loaded.name == kind and loaded.model.config.model_type == kind
    inputs = loaded.processor(images=Image.fromarray(random_frame(0)), text=[NAMES], return_tensors="pt")
    with torch.no_grad():
        outputs = loaded.model(**inputs)
    (expected,) = loaded.processor.post_process_grounded_object_detection(
        outputs, target_sizes=[(HEIGHT, WIDTH)], text_labels=[NAMES]
    )
    found = loaded.detect(random_frame(0), NAMES)
    assert found and found == loaded.detect(random_frame(0), NAMES)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    limits = (WIDTH, HEIGHT, WIDTH, HEIGHT)
    clipped = {
        tuple(min(max(value, 0.0), limit) for value, limit in zip(box, limits, strict=True))
        for box in expected["boxes"].tolist()
    }
    assert {one.box for one in found} == {box for box in clipped if box[0] < box[2] and box[1] < box[3]}
    labels = [label or None for label in expected["text_labels"]]
    pairs = set(zip(expected["scores"].tolist(), labels, strict=True))
    assert {(one.score, one.label) for one in found} <= pairs


def test_texts_that_the_model_cannot_read_are_refused(tmp_path: Path) -> None:
    loaded = load_detector(str(save_grounding_dino(tmp_path / "dino")))
    with pytest.raises(InputError, match=r"text=: dino reads at most 16 tokens. Name fewer objects"):
        loaded.detect(random_frame(0), NAMES * 8)


def test_names_are_separated_by_full_stops() -> None:
    assert parse_names("Person. traffic light .dog. person.") == ["person", "traffic light", "dog"]
    for text in ("", " . "):
        with pytest.raises(InputError, match="no object is named"):
            parse_names(text)


def test_what_is_no_detector_is_refused_in_one_line(tmp_path: Path) -> None:
    tiny_sam_model().save_pretrained(tmp_path / "sam")
    with pytest.raises(InputError, match=r"type 'sam2_video', which does not detect objects by text. Pass a Grounding"):
        load_detector(str(tmp_path / "sam"))
    with pytest.raises(InputError, match=r"detector=: there is no folder ./nosuch.*hf download IDEA-Research"):
        load_detector("./nosuch")
    folder = save_grounding_dino(tmp_path / "silent")
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(InputError, match="from which a tokenizer can be loaded") as raised:
        load_detector(str(folder))
    assert "\n" not in str(raised.value)
