"""The page docs/results/reliability.md: the figures of a run, and what was lost before it was mended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.dev.torture_checks import CHECKS
from scripts.experiments.common import RESULTS, markdown_table
from vidamodal.media.files import write_text

FIGURES, MENDED = (Path(__file__).with_name(name) for name in ("figures.json", "mended.yaml"))


@dataclass(frozen=True)
class Figures:
    """The outcome of a check."""

    tried: int
    lost: int
    seed: int


def write_page(figures: Mapping[str, Figures]) -> None:
    """Write the page with the figures of these checks, and of the last recorded run of the others."""
    recorded = {name: Figures(**values) for name, values in json.loads(FIGURES.read_text(encoding="utf-8")).items()}
    recorded |= figures
    plain = {name: asdict(recorded[name]) for name in sorted(recorded)}
    write_text(FIGURES, json.dumps(plain, indent=2) + "\n")
    write_text(RESULTS / "reliability.md", page(recorded))


def page(figures: Mapping[str, Figures]) -> str:
    """Return the text of the page; ``figures`` holds the outcome of each check, by name."""
    rows = [["check", "an attempt", "the promise", "seed", "tried", "lost"]]
    for name, check in CHECKS.items():
        if name in figures:
            found = figures[name]
            rows.append([f"`{name}`", check.TRIED, check.PROMISE, str(found.seed), str(found.tried), str(found.lost)])
    recorded: dict[str, Any] = yaml.safe_load(MENDED.read_text(encoding="utf-8"))
    before = [
        ["check", "tried", "lost"],
        *([f"`{row['check']}`", row["tried"], row["lost"]] for row in recorded["before"]),
    ]
    mended = "\n".join(f"- `{row['check']}`: {' '.join(row['what'].split())}" for row in recorded["mended"])
    return f"""# Reliability

Written by `python -m scripts.dev.torture NAME|all --page`, which runs one check or all and keeps the figures of the
others. Each check makes seeded attempts to break one promise. `--seed S --count N` makes others; every attempt that was
lost is printed, and the command fails if there is one. `SECURITY.md` in the repository says what is promised about
hostile files.

{markdown_table(rows)}

A command may take 30 s of processor time and 2 GB of memory beside its libraries, unless another limit is stated. An
attempt may consist of several commands.

## What was lost before

The first run of the checks on hostile files, before anything was fixed:

{markdown_table(before)}

What the checks found, all of it fixed since:

{mended}
"""
