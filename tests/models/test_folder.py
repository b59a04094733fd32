"""Model folders."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import add_head, load_model


@pytest.mark.parametrize("head", ["conv", "coarse"])
def test_a_head_that_replaces_another_does_not_keep_its_temperature(
    head: str, model_folder: Path, tmp_path: Path
) -> None:
    source = shutil.copytree(model_folder, tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    config["model"]["temperature"] = 1.5
    config["temperatures"] = {"coarse": 1.7, "conddiff": 1.9}
    (source / "config.json").write_text(json.dumps(config))
    body = load_model(str(source)).model
    assert isinstance(body, AmodalModel) and body.config.head == "conv"
    add_head(tmp_path / "new", source, AmodalModel(replace(body.config, head=head)), {})
    after = json.loads((tmp_path / "new" / "config.json").read_text())
    expected = {"conv": (1.0, {"coarse": 1.7, "conddiff": 1.9}), "coarse": (1.5, {"conddiff": 1.9})}
    assert (after["model"]["temperature"], after["temperatures"]) == expected[head]
    assert load_model(str(tmp_path / "new"), head).model.config.temperature == 1.0
