"""Parts of models of transformers: processors that need no torchvision, tokenizers and types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.inference.depth.test_depth_model import save_depth_model, tiny_depth_model
from vidamodal.backbones.pretrained import model_type, read_image_processor, read_pretrained, read_tokenizer
from vidamodal.errors import InputError


@pytest.mark.parametrize("kind", ["rf_detr", "sam2_video"])
def test_what_needs_torchvision_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"needs torchvision, with which vidamodal does not work. Pass a") as raised:
        read_image_processor(str(tmp_path), "depth=", "owner/name")
    assert "\n" not in str(raised.value)


def test_the_type_of_a_model_is_that_of_its_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "eomt"}')
    assert model_type(str(tmp_path), "detect=", "owner/name") == "eomt"
    (tmp_path / "config.json").write_text('{"format": "vidamodal-model"}')
    assert model_type(str(tmp_path), "detect=", "owner/name") == ""
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config.json cannot be read as a model's config"):
        model_type(str(tmp_path), "detect=", "owner/name")


def test_a_model_without_words_has_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match=r"detector=: .* a tokenizer can be loaded: it has no vocabulary") as raised:
        read_tokenizer(str(tmp_path), "detector=", "owner/name")
    assert "\n" not in str(raised.value)


def read_depth(folder: Path) -> Any:
    return read_pretrained(transformers.AutoModelForDepthEstimation, str(folder), "depth=", "owner/name")


def test_files_that_are_listed_as_weights_must_be_safetensors(tmp_path: Path) -> None:
    """The libraries open others as pickles."""
    save_depth_model(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "weights.bin")
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "weights.bin"}}')
    with pytest.raises(InputError, match=r"lists 'weights\.bin', which is no safetensors file"):
        read_depth(tmp_path)


def test_code_in_a_folder_is_neither_run_nor_asked_about(tmp_path: Path) -> None:
    save_depth_model(tmp_path)
    (tmp_path / "evil.py").write_text("raise SystemExit\n")
    path = tmp_path / "config.json"
    config = json.loads(path.read_text()) | {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil"}}
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match="depth=: "):
        read_depth(tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = tiny_depth_model()
    name, weight = next(iter(model.named_parameters()))
    with torch.no_grad():
        weight.fill_(float("nan"))
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=f"{name} holds values that are not finite"):
        read_depth(tmp_path)
