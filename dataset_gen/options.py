"""Command-line options that several commands of ``python -m dataset_gen`` share."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Sequence
from typing import get_args

from vidamodal.batch.processes import ExecutorKind
from vidamodal.commandline import Parser
from vidamodal.types import InputError

PROGRAM = "python -m dataset_gen"

RESUME_HINT = "the same command resumes"


def add_workers(parser: Parser) -> None:
    """Add the options of a command that generates scenes: where, and how many at a time."""
    parser.add_argument(
        "--workers",
        type=at_least(1),
        metavar="W",
        help="number of scenes at a time (default: 1; with ray: the number of CPUs of the cluster)",
    )
    parser.add_argument(
        "--executor",
        choices=get_args(ExecutorKind),
        default="local",
        help="local processes, or tasks of a Ray cluster: the one at RAY_ADDRESS, or one on this machine",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")


def add_assets(parser: Parser) -> None:
    """Add the option for the source of shapes and environment maps; see ``split_manifests``."""
    parser.add_argument(
        "--assets",
        action="append",
        default=[],
        metavar="MANIFEST",
        help="Kubric manifests of shapes or environment maps: files, gs://... or https://...; separate several by "
        "commas or repeat the option (default: the offline assets)",
    )


def split_manifests(values: Sequence[str]) -> tuple[str, ...]:
    """Return the manifests in the values of ``--assets``."""
    return tuple(manifest for value in values for manifest in value.split(","))


def at_least(minimum: int) -> Callable[[str], int]:
    """Return an argparse type for integers that are not smaller than ``minimum``."""

    def integer(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(f"{value} is less than {minimum}")
        return value

    return integer


def check_installed(*modules: str) -> None:
    """Raise InputError unless all modules can be imported."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"{', '.join(missing)} not installed. Run `make datagen`, or install the extra [datagen].")
