"""Try to break the promises of docs/results/reliability.md, with a fixed seed.

    python -m scripts.dev.torture NAME|all [--seed S] [--count N] [--page]

Prints a line for each attempt that was lost, and ``NAME: tried T / survived S / lost L`` for each check. Exits with 1
if anything was lost. Needs the extra [dev].
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from scripts.dev.torture_checks import CHECKS
from scripts.dev.torture_checks.base import Attempt, Check
from scripts.dev.torture_checks.page import Figures, write_page
from vidamodal.commandline import Parser, run_command


def main() -> None:
    """Parse the command line and run the checks."""
    parser = Parser(prog="python -m scripts.dev.torture", description=__doc__)
    parser.add_argument("name", choices=["all", *CHECKS], help="a check, or all")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    parser.add_argument("--count", type=int, help="attempts of each check (default: those of a full run)")
    parser.add_argument("--page", action="store_true", help="record the figures in docs/results/reliability.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    raise SystemExit(run_command(lambda: torture(options.name, options.seed, options.count, options.page), "torture"))


def torture(name: str, seed: int, count: int | None, page: bool) -> int:
    """Run checks and return the exit status: 1 if anything was lost."""
    names = list(CHECKS) if name == "all" else [name]
    figures = {each: run_check(CHECKS[each], seed, count or CHECKS[each].COUNT) for each in names}
    if page:
        write_page(figures)
    return int(any(each.lost for each in figures.values()))


def run_check(check: Check, seed: int, count: int) -> Figures:
    """Run one check, print what was lost and the figures, and return them."""
    lost, tried = 0, 0
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        for attempt in check.run(Path(folder), seed, count):
            tried += 1
            if attempt.lost is not None:
                lost += 1
                print(f"{check.NAME}: LOST seed {seed}, {_line(attempt)}", flush=True)
    print(f"{check.NAME}: tried {tried} / survived {tried - lost} / lost {lost}", flush=True)
    return Figures(tried, lost, seed)


def _line(attempt: Attempt) -> str:
    return " ".join(f"{attempt.case}: {attempt.lost}".split())


if __name__ == "__main__":
    main()
