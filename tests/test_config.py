"""Typed construction of configs, overlays and packaged configs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from vidamodal.config import (
    Argument,
    Variants,
    build,
    check,
    config_names,
    find_config,
    load_yaml,
    merge,
    set_option,
)
from vidamodal.types import InputError


class Shape(Variants):
    discriminator: ClassVar[str] = "kind"

    @classmethod
    def variant(cls, name: str) -> type:
        if name != "square":
            raise InputError(f"no shape {name!r}")
        return Square


@dataclass(frozen=True)
class Square(Shape):
    kind: str = "square"
    side: float = 1.0


@dataclass(frozen=True)
class Settings:
    count: int = 1
    rate: float = 0.5
    name: str = "x"
    on: bool = False
    mode: Literal["fast", "slow"] = "fast"
    path: str | None = None
    pair: tuple[float, float] = (1.0, 2.0)
    sizes: tuple[int, ...] = ()
    free: dict[str, Any] = field(default_factory=dict)
    shape: Shape = field(default_factory=Square)
    shapes: tuple[Square, ...] = ()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, Settings()),
        ({"rate": 2}, Settings(rate=2.0)),
        ({"path": "a"}, Settings(path="a")),
        ({"path": None, "mode": "slow"}, Settings(mode="slow")),
        ({"sizes": [1, 2, 3], "pair": [3, 4.5]}, Settings(sizes=(1, 2, 3), pair=(3.0, 4.5))),
        ({"shape": {"kind": "square", "side": 3}}, Settings(shape=Square(side=3.0))),
        ({"shapes": [{"kind": "square", "side": 1}, {"kind": "square"}]}, Settings(shapes=(Square(), Square()))),
        ({"free": {"a": {"b": 1}}}, Settings(free={"a": {"b": 1}})),
    ],
)
def test_plain_values_become_a_dataclass(data: dict[str, Any], expected: Settings) -> None:
    assert build(Settings, data, "here") == expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"nosuch": 1}, "here has an unknown key 'nosuch'"),
        ({"count": 1.5}, "here.count must be int, not 1.5"),
        ({"count": True}, "here.count must be int"),
        ({"name": 1}, "here.name must be str"),
        ({"mode": "medium"}, "here.mode is 'medium': choose fast or slow"),
        ({"path": 3}, "here.path must be str"),
        ({"pair": [1.0]}, "here.pair must be a list of 2"),
        ({"sizes": [1, "b"]}, r"here.sizes\[1\] must be int"),
        ({"sizes": 3}, "here.sizes must be a list"),
        ({"shape": {"kind": "circle"}}, "no shape 'circle'"),
        ({"shape": {"side": 1}}, "here.shape has no key 'kind'"),
        ({"shapes": [{"kind": "square", "size": 1}]}, r"here.shapes\[0\] has an unknown key 'size'"),
        ({"free": 3}, "here.free must be a mapping"),
        ([], "here must be a mapping"),
    ],
)
def test_wrong_values_are_refused_with_their_place(data: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        build(Settings, data, "here")


def test_a_dataclass_built_in_python_is_checked_like_a_file() -> None:
    assert check(Settings(sizes=(1,)), "config") == Settings(sizes=(1,))
    with pytest.raises(InputError, match="choose fast or slow"):
        check(Settings(mode="medium"), "config")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("count", "3", Settings(count=3)),
        ("rate", "1e-3", Settings(rate=1e-3)),
        ("name", "3", Settings(name="3")),
        ("on", "true", Settings(on=True)),
        ("path", "null", Settings()),
        ("path", "3", Settings(path="3")),
        ("pair", "[1, 3]", Settings(pair=(1.0, 3.0))),
        ("shape.side", "2", Settings(shape=Square(side=2.0))),
        ("free.a.b", "2", Settings(free={"a": {"b": 2}})),
        ("free", '{"a": 2}', Settings(free={"a": 2})),
    ],
)
def test_command_line_values_take_the_type_of_their_field(key: str, text: str, expected: Settings) -> None:
    settings: dict[str, Any] = {"shape": {"kind": "square"}}
    set_option(settings, key, Argument(text))
    assert build(Settings, settings, "here") == expected


def test_overlays_are_merged_key_by_key_and_stages_by_kind() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "stages": [{"kind": "x", "steps": 1, "rate": 2}, {"kind": "y"}]}
    overlay = {"a": {"c": [3]}, "stages": [{"kind": "z"}, {"kind": "x", "steps": 5}]}
    merged = merge(base, overlay)
    assert merged == {"a": {"b": 1, "c": [3]}, "stages": [{"kind": "z"}, {"kind": "x", "steps": 5, "rate": 2}]}
    assert base["stages"] == [{"kind": "x", "steps": 1, "rate": 2}, {"kind": "y"}]


def test_options_address_stages_by_kind() -> None:
    settings: dict[str, Any] = {"stages": [{"kind": "x", "steps": 1}, {"kind": "y", "steps": 1}]}
    set_option(settings, "stages.y.sample.frames", 4)
    assert settings["stages"] == [{"kind": "x", "steps": 1}, {"kind": "y", "steps": 1, "sample": {"frames": 4}}]
    with pytest.raises(InputError, match="Its stages are: x, y"):
        set_option(settings, "stages.z.steps", 4)


def test_a_yaml_file_overlays_its_base(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "base.yaml").write_text("a: {b: 1, c: 2}\n")
    (tmp_path / "sub" / "one.yaml").write_text("base: ../base.yaml\na: {c: 3}\n")
    assert load_yaml(tmp_path / "sub" / "one.yaml") == {"a": {"b": 1, "c": 3}}


def test_packaged_configs_are_found_by_name() -> None:
    assert [path.stem for path in find_config("aisdiff")] == ["1-first", "2-detector", "3-deeper", "4-all"]
    assert {"tiny", "tiny/1-masks", "c2f/small", "smoke"} <= set(config_names())
    assert not [name for name in config_names() if "_base" in name or "accelerate" in name]
    with pytest.raises(InputError, match="no config 'nosuch'"):
        find_config("nosuch")


def test_a_folder_of_numbered_files_is_a_recipe(tmp_path: Path) -> None:
    for name in ("10-last", "2-second", "1-first", "notes"):
        (tmp_path / f"{name}.yaml").write_text("{}\n")
    assert [path.stem for path in find_config(str(tmp_path))] == ["1-first", "2-second", "10-last"]
