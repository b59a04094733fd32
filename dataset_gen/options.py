"""What the commands of ``python -m dataset_gen`` have in common: how options are read."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from typing import NoReturn

from dataset_gen.executors import EXECUTORS
from vidamodal.types import InputError

PROGRAM = "python -m dataset_gen"


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see --help\n")


def add_executor(parser: argparse.ArgumentParser) -> None:
    """The options of a command that makes scenes: where, and how many at a time."""
    workers = "scenes at a time (default: 1; with ray: the CPUs of the cluster)"
    parser.add_argument("--workers", type=at_least(1), metavar="W", help=workers)
    cluster = "local processes, or tasks of the Ray cluster at RAY_ADDRESS or on this machine (default: local)"
    parser.add_argument("--executor", choices=EXECUTORS, default="local", help=cluster)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def add_assets(parser: argparse.ArgumentParser) -> None:
    """The option that says where shapes and environment maps come from: ``assets``, a list of manifests."""
    manifests = (
        "Kubric manifests of shapes or maps, with commas or again: files, gs://... or https://... (default: ours)"
    )
    parser.add_argument(
        "--assets", action="extend", type=lambda text: text.split(","), default=[], metavar="MANIFEST", help=manifests
    )


def at_least(least: int) -> Callable[[str], int]:
    """An argparse type: an integer that is not smaller."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return number


def check_installed(*modules: str) -> None:
    """InputError unless all of the modules can be imported."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"{', '.join(missing)} not installed; run `make datagen`, or install the extra [datagen]")
