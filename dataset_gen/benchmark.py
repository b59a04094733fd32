"""Benchmark sets: runs with a name, defined in ``benchmarks.json`` with the ``truth_hash`` that each must have.

``python -m dataset_gen benchmark movid-a-mini --out DIR`` makes ``DIR/test``, ``DIR/validation`` and ``DIR/train``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from dataset_gen.jobs import Run, generate
from dataset_gen.options import PROGRAM, Parser, add_executor, check_installed


@dataclass(frozen=True)
class Part:
    """One folder of a benchmark: its run, and the hash of its truth, None if it was not recorded yet."""

    run: Run
    truth_hash: str | None


def benchmarks() -> dict[str, dict[str, Part]]:
    """The parts of every benchmark by the name of their folder, in the order in which they are made."""
    text = resources.files(__package__).joinpath("benchmarks.json").read_text("utf-8")
    return {
        name: {split: Part(Run(split=split, **part["run"]), part["truth_hash"]) for split, part in parts.items()}
        for name, parts in json.loads(text).items()
    }


def main(arguments: Sequence[str]) -> int:
    """The command ``benchmark``; returns 1 if the truth of a part is not what it must be."""
    known = benchmarks()
    parser = Parser(prog=f"{PROGRAM} benchmark", description="Make a named set of scenes, and compare it.")
    parser.add_argument("name", choices=sorted(known), metavar="NAME", help=f"one of: {', '.join(sorted(known))}")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the parts' folders")
    add_executor(parser)
    options = parser.parse_args(arguments)
    right = [_make(part, options.out / folder, options) for folder, part in known[options.name].items()]
    return 0 if all(right) else 1


def _make(part: Part, folder: Path, options: argparse.Namespace) -> bool:
    """Make a part unless it is there; says, also to the user, whether its truth is as recorded."""
    if not (folder / "manifest.json").exists():
        check_installed("pybullet", "kubric", "bpy")
    outcome = generate(part.run, folder, options.workers, quiet=options.quiet, executor=options.executor)
    if outcome.timing:
        print(outcome.timing)
    found = json.loads((folder / "manifest.json").read_text("utf-8"))["truth_hash"]
    verdict = "not recorded" if part.truth_hash is None else "as recorded" if found == part.truth_hash else "DIFFERENT"
    recorded = f" from the recorded {part.truth_hash}" if verdict == "DIFFERENT" else ""
    print(f"{folder}: {part.run.scenes} scenes, truth_hash {found}: {verdict}{recorded}", flush=True)
    return verdict != "DIFFERENT"
