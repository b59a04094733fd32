"""The command `vidamodal train`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from vidamodal.commandline import Parser
from vidamodal.config import Argument, build, config_names, find_config, load_yaml, set_option
from vidamodal.errors import InputError
from vidamodal.training.config import TrainConfig
from vidamodal.training.run import train_recipe

OWN_OPTIONS = ("config", "quiet", "print_config", "help")
"""Options of the command itself; all others are settings of the config."""
PRINT = "--print_config"
PER_PART = ("name", "output", "init", "seed", "stages")
"""Settings that must differ between the parts of a recipe; with one seed, parts would train on the same clips."""


def main(arguments: Sequence[str] | None = None) -> Path:
    """Run the command and return the folder of the trained model.

    Raises:
        InputError: If an argument or a config is wrong.
    """
    overrides, rest = _split(sys.argv[1:] if arguments is None else arguments)
    only_print = PRINT in rest
    options = _parser().parse_args([argument for argument in rest if argument != PRINT])  # jsonargparse reserves it
    if options.config is None:
        raise InputError(f"train needs --config NAME or FILE. Packaged configs: {', '.join(config_names())}.")
    parts = read_recipe(options.config, overrides)
    if only_print:
        _print(parts)
        sys.exit(0)
    return train_recipe(parts, options.quiet)


def read_recipe(name: str, overrides: Sequence[tuple[str, str]] = ()) -> list[TrainConfig]:
    """Return the training config of a name or file, or those of the parts of a recipe in their order.

    Args:
        name: See `vidamodal.config.find_config`.
        overrides: Pairs of a key, such as ``model.network.chunk`` or ``stages.amodal.steps``, and a value as YAML text.

    Raises:
        InputError: If there is no such config, or a setting is unknown or wrong.
    """
    files = find_config(name)
    for key, _ in overrides:
        if len(files) > 1 and key.partition(".")[0] in PER_PART:
            raise InputError(
                f"--{key}: this setting differs between the parts of {name}. Train one part: {name}/{files[0].stem}."
            )
    return [_read(file, overrides) for file in files]


def _read(file: Path, overrides: Sequence[tuple[str, str]]) -> TrainConfig:
    settings = load_yaml(file)
    for key, value in overrides:
        set_option(settings, key, Argument(value))
    return build(TrainConfig, settings, str(file))


def _split(arguments: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the settings among the arguments, and the options of the command itself."""
    overrides, rest = [], []
    remaining = iter(arguments)
    for argument in remaining:
        key, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or key in OWN_OPTIONS:
            rest.append(argument)
            if key == "config" and not equals:
                rest.extend(_next_value(remaining))
            continue
        values = [value] if equals else _next_value(remaining)
        if not values:
            raise InputError(f"train: --{key} needs a value")
        overrides.append((key, values[0]))
    return overrides, rest


def _next_value(arguments: Iterator[str]) -> list[str]:
    return [value for value in (next(arguments, None),) if value is not None]


def _parser() -> Parser:
    settings = ", ".join(f.name for f in fields(TrainConfig))
    parser = Parser(
        prog="vidamodal train",
        description="Train a model. The same command resumes an interrupted run.",
        epilog=f"Any other option sets a value of the config: --section.key VALUE, for instance --seed 1, "
        f"--model.network.chunk 48 or --stages.amodal.steps 100. Settings: {settings}. --print_config shows all.",
    )
    parser.add_argument(
        "--config",
        help="a YAML file, or a packaged config or recipe, whose parts are trained in order: "
        + ", ".join(config_names()),
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    parser.add_argument(PRINT, action="store_true", help="print the resolved config and exit")
    return parser


def _print(parts: Sequence[TrainConfig]) -> None:
    import yaml

    plain: list[dict[str, Any]] = [json.loads(json.dumps(asdict(part))) for part in parts]
    print(yaml.safe_dump_all(plain, sort_keys=False), end="")
