"""Helpers that experiments share: the command line, data sets and models by name, and Markdown tables."""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidamodal.baselines import load_baselines
from vidamodal.commandline import Parser, run_command
from vidamodal.errors import InputError
from vidamodal.formats import Clip, find_dataset
from vidamodal.media.files import write_text
from vidamodal.metrics.averages import Interval
from vidamodal.metrics.tables import percent
from vidamodal.training.legacy import upgrade

RESULTS = Path("docs/results")
"""Folder of the generated pages, relative to the root of the repository."""


def experiment_parser(name: str, description: str | None) -> Parser:
    """Return a parser for `python -m scripts.experiments.NAME`; the description is the module's docstring."""
    return Parser(prog=f"python -m scripts.experiments.{name}", description=description)


def run_experiment(name: str, command: Callable[[], None]) -> None:
    """Run an experiment on one thread and exit with its status: 2 for bad input, 1 for a failure."""
    torch.set_num_threads(1)
    raise SystemExit(run_command(command, name))


def parse_names(pairs: Sequence[str]) -> dict[str, str]:
    """Parse arguments NAME=VALUE.

    Raises:
        InputError: An argument has another form, or its name is repeated or belongs to a baseline.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if not name or not value or name in values or name in load_baselines():
            raise InputError(f"{pair!r} must be NAME=VALUE; names must be unique and not those of baselines")
        values[name] = value
    return values


def first_clips(path: str | Path, count: int) -> list[Clip]:
    """Return the first clips of a data set.

    Raises:
        InputError: ``count`` is below 1, or the data set cannot be read.
    """
    if count < 1:
        raise InputError(f"the number of clips must be at least 1, not {count}")
    return list(islice(find_dataset(path).clips.values(), count))


def spread_clips(path: str | Path, count: int) -> list[Clip]:
    """Return clips evenly spread over a data set, its first and last included."""
    clips = list(find_dataset(path).clips.values())
    return [clips[k] for k in np.unique(np.linspace(0, len(clips) - 1, count).round().astype(int))]


def store_setting(folder: Path, name: str, value: object) -> None:
    """Store a setting of a model in its config.json."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["model"][name] = value
    write_text(folder / "config.json", json.dumps(config, indent=2, sort_keys=True) + "\n")


def last_stage(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last training stage of a run's config, in its present or its former form."""
    stage: dict[str, Any] = upgrade(config)["stages"][-1]
    return stage


def run_measured(command: Sequence[str], **options: Any) -> float:
    """Run a command and return its CPU-seconds and those of the processes it waited for; see `subprocess.run`."""
    before = child_seconds()
    subprocess.run(command, check=True, **options)
    return child_seconds() - before


def child_seconds() -> float:
    """Return the CPU-seconds of all ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def markdown_table(rows: Sequence[Sequence[str]], omit: Sequence[str] = ()) -> str:
    """Return a Markdown table; the first row is the header, and columns with a header in ``omit`` are left out."""
    kept = [k for k, header in enumerate(rows[0]) if header not in omit]
    lines = ["| " + " | ".join(row[k] for k in kept) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(kept), *lines[1:]])


def section(title: str, rows: Sequence[Sequence[str]], omit: Sequence[str] = ()) -> str:
    """Return a heading and a Markdown table; see `markdown_table`."""
    return f"## {title}\n\n{markdown_table(rows, omit)}"


def seeds_cell(values: Sequence[float | None], scale: float = 100) -> str:
    """Return the mean over seeds with half the range in brackets; values are scaled, by default to per cent."""
    known = [scale * value for value in values if value is not None]
    if not known:
        return "-"
    mean = f"{sum(known) / len(known):.1f}"
    return f"{mean} ({(max(known) - min(known)) / 2:.1f})" if len(known) > 1 else mean


def interval_text(interval: Interval | None) -> str:
    """Return a confidence interval in per cent, as "1.0 to 2.0"."""
    return "-" if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"
