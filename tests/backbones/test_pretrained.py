"""Parts of models of transformers: processors that need no torchvision, tokenizers and types."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidamodal.backbones.pretrained import model_type, read_image_processor, read_tokenizer
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
