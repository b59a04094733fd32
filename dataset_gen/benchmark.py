"""The command ``benchmark``: generate a named set of scenes and compare its ``truth_hash`` with the recorded one.

``benchmarks.json`` defines the sets. ``python -m dataset_gen benchmark movid-a-mini --out DIR`` makes ``DIR/test``,
``DIR/validation`` and ``DIR/train``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jsonargparse import Namespace

from dataset_gen.generate import Workers, generate
from dataset_gen.options import PROGRAM, add_workers, check_installed
from dataset_gen.run import Run
from vidamodal.commandline import Parser


@dataclass(frozen=True)
class BenchmarkPart:
    """One folder of a benchmark."""

    run: Run
    truth_hash: str | None
    """Recorded hash of the ground truth; None if it was not recorded yet."""


def benchmarks() -> dict[str, dict[str, BenchmarkPart]]:
    """Return the parts of every benchmark by the name of their folder, in the order in which they are made."""
    text = resources.files(__package__).joinpath("benchmarks.json").read_text("utf-8")
    return {
        name: {
            split: BenchmarkPart(Run(split=split, **part["run"]), part["truth_hash"]) for split, part in parts.items()
        }
        for name, parts in json.loads(text).items()
    }


def main(arguments: Sequence[str]) -> int:
    """Run ``python -m dataset_gen benchmark``; return 1 if the ground truth of a part differs from the recorded one."""
    known = benchmarks()
    parser = Parser(
        prog=f"{PROGRAM} benchmark",
        description="Generate a named set of scenes and compare its hash with the recorded one.\n\n"
        f"example:\n  {PROGRAM} benchmark movid-a-mini --out data/movid-a-mini --workers 2\n",
    )
    parser.add_argument("name", choices=sorted(known), metavar="NAME", help=f"one of: {', '.join(sorted(known))}")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the folders of the parts")
    add_workers(parser)
    options = parser.parse_args(arguments)
    matches = [_make(part, options.out / folder, options) for folder, part in known[options.name].items()]
    return 0 if all(matches) else 1


def _make(part: BenchmarkPart, folder: Path, options: Namespace) -> bool:
    """Generate a part unless it exists; print and return whether its ground truth is as recorded."""
    if not (folder / "manifest.json").exists():
        check_installed("pybullet", "kubric", "bpy")
    outcome = generate(part.run, folder, Workers(options.workers, options.executor), quiet=options.quiet)
    if outcome.timing:
        print(outcome.timing)
    actual = json.loads((folder / "manifest.json").read_text("utf-8"))["truth_hash"]
    if part.truth_hash is None:
        verdict = "not recorded"
    elif actual == part.truth_hash:
        verdict = "as recorded"
    else:
        verdict = f"DIFFERENT from the recorded {part.truth_hash}"
    print(f"{folder}: {part.run.scenes} scenes, truth_hash {actual}: {verdict}", flush=True)
    return not verdict.startswith("DIFFERENT")
