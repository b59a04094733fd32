"""The page docs/results/reliability.md: the figures of a run, and what was lost before it was mended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.dev.torture_checks import CHECKS
from scripts.experiments.common import RESULTS, markdown_table
from vidamodal.media.files import write_text

MENDED = Path(__file__).with_name("mended.yaml")


@dataclass(frozen=True)
class Figures:
    """The outcome of a check."""

    tried: int
    lost: int
    seconds: float


def write_page(figures: Mapping[str, Figures], seed: int) -> None:
    """Write the page."""
    write_text(RESULTS / "reliability.md", page(figures, seed))


def page(figures: Mapping[str, Figures], seed: int) -> str:
    """Return the text of the page.

    Args:
        figures: The outcome of each check, by name.
        seed: The seed of the run.
    """
    rows = [["check", "an attempt", "the promise", "tried", "lost"]]
    for name, check in CHECKS.items():
        found = figures[name]
        rows.append([f"`{name}`", check.TRIED, check.PROMISE, str(found.tried), str(found.lost)])
    minutes = sum(each.seconds for each in figures.values()) / 60
    recorded: dict[str, Any] = yaml.safe_load(MENDED.read_text(encoding="utf-8"))
    before = [
        ["check", "tried", "lost"],
        *([f"`{row['check']}`", row["tried"], row["lost"]] for row in recorded["before"]),
    ]
    mended = "\n".join(f"- `{row['check']}`: {' '.join(row['what'].split())}" for row in recorded["mended"])
    return f"""# Reliability

Written by `python -m scripts.dev.torture all --seed {seed} --page` in {minutes:.0f} minutes, on a busy computer.
Each check makes seeded attempts to break one promise. `python -m scripts.dev.torture NAME --seed S --count N` makes
others, prints every attempt that was lost, and fails if there is one. `SECURITY.md` in the repository says what is
promised about hostile files.

{markdown_table(rows)}

A command may take 30 s of processor time (10 s on a full disk) and 2 GB of memory beside its libraries. An attempt may
consist of several commands.

## What was lost before

The first run of the checks on hostile files, before anything was mended:

{markdown_table(before)}

What the checks found, all of it mended since:

{mended}
"""
