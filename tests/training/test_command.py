"""The command: names of configs, overrides, recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.training.helpers import ROOT
from vidamodal import cli
from vidamodal.config import find_config, load_yaml
from vidamodal.models.amodal import AmodalModel
from vidamodal.training import command
from vidamodal.training.command import read_recipe
from vidamodal.training.config import TrainConfig, check_ranges, stage_classes
from vidamodal.training.stages.amodal import AmodalFamily
from vidamodal.types import InputError

CONFIGS = sorted(
    str(path.relative_to(ROOT / "configs").with_suffix(""))
    for path in [*(ROOT / "configs").glob("*.yaml"), *(ROOT / "configs").glob("*/*.yaml")]
    if path.parent.name not in ("_base", "accelerate", "ablation")
)
BASES = sorted((ROOT / "configs" / "ablation").glob("*.yaml"))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """Return the configs that would have been trained."""
    configs: list[TrainConfig] = []

    def note(parts: Sequence[TrainConfig], _quiet: bool = False) -> Path:
        configs.extend(parts)
        return Path(parts[-1].output)

    monkeypatch.setattr(command, "train_recipe", note)
    return configs


@pytest.mark.parametrize("name", [*CONFIGS, *map(str, BASES)])
def test_every_packaged_config_describes_a_run(trained: list[TrainConfig], name: str) -> None:
    kind = load_yaml(find_config(name)[0])["stages"][-1]["kind"]
    command.main([f"--stages.{kind}.clips", "12", "--config", name, "--processes=3"])
    (config,) = trained
    assert config.stages[-1].clips == 12 and config.processes == 3
    assert config.output == f"runs/{config.name}"
    stage_classes(replace(config, processes=1))
    check_ranges(config)
    if isinstance(config.model, AmodalFamily):
        AmodalModel(config.model.network)


def test_a_recipe_is_trained_part_after_part(trained: list[TrainConfig]) -> None:
    command.main(["--config", "tiny", "--device", "cpu"])
    names = ["masks", "scene", "worlds", "more", "order", "", "real", "longer", "long", "anchors", "mean", "conddiff"]
    assert [part.name for part in trained] == [f"tiny-{name}".rstrip("-") for name in names]
    assert all(part.device == "cpu" for part in trained)
    outputs = [f"{part.output}/model" for part in trained]
    assert [part.init for part in trained[1:]] == [*outputs[:9], ",".join(outputs[8:10]), outputs[10]]


@pytest.mark.parametrize(("key", "value"), [("output", "elsewhere"), ("seed", "7"), ("stages.amodal.steps", "1")])
def test_settings_of_single_parts_cannot_be_set_for_a_recipe(key: str, value: str) -> None:
    with pytest.raises(InputError, match="tiny/1-masks"):
        read_recipe("tiny", [(key, value)])


def test_a_folder_without_numbered_parts_is_not_a_recipe() -> None:
    with pytest.raises(InputError, match="c2f/full, c2f/image or c2f/small"):
        read_recipe("c2f")


def test_the_resolved_config_can_be_printed_and_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        command.main(["--config", "cumulative", "--seed", "7", "--print_config"])
    printed = capsys.readouterr().out
    assert left.value.code == 0 and yaml.safe_load(printed)["seed"] == 7
    (tmp_path / "run.yaml").write_text(printed)
    assert read_recipe(str(tmp_path / "run.yaml")) == read_recipe("cumulative", [("seed", "7")])


def exit_status(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    with pytest.raises(SystemExit) as left:
        cli.main(["train", *arguments])
    return left.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "steps: 3\n",
        "stages: [{kind: amodal, step: 3}]\n",
        "model: {family: amodal, network: {transformer: {wide: 3}}}\n",
        "model: {family: nosuch}\n",
        "model: {}\n",
        "stages: [{kind: amodal, steps: many}]\n",
        "stages: 3\n",
        "precision: fp7\n",
        "device: abacus\n",
        "- 1\n",
        "base: nosuch.yaml\n",
        "base: run.yaml\n",
    ],
)
def test_unknown_keys_and_wrong_values_of_a_file_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], trained: list[TrainConfig], text: str
) -> None:
    (tmp_path / "run.yaml").write_text(text)
    status, message = exit_status(["--config", str(tmp_path / "run.yaml")], capsys)
    assert status == 2 and message.count("\n") == 1 and "Traceback" not in message and not trained


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--config", "no-such.yaml"],
        ["--config", "smoke", "--nosuch", "1"],
        ["--config", "smoke", "--seed"],
        ["--config", "smoke", "--seed", "many"],
        ["--config", "smoke", "--stages.c2f.steps", "1"],
        ["--config", "smoke", "surplus"],
    ],
)
def test_wrong_arguments_are_refused(
    capsys: pytest.CaptureFixture[str], trained: list[TrainConfig], arguments: list[str]
) -> None:
    status, message = exit_status(arguments, capsys)
    assert status == 2 and message.count("\n") == 1 and not trained
