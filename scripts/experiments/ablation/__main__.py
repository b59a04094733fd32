"""Train and score every row of a page of ablation tables and write docs/results/PAGE.md.

    python -m scripts.experiments.ablation [PAGE] [--steps N] [--table NAME] [--table-only]

PAGE is a file PAGE.yaml beside this script: ablations (default), aisdiff, conddiff or cumulative. Existing models and
scores in runs/ablations are reused, so the same command resumes. One thread; set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from tqdm import tqdm

from scripts.experiments.ablation.page import render_page
from scripts.experiments.ablation.scoring import score_model
from scripts.experiments.ablation.tables import Page, load_page, page_names
from scripts.experiments.ablation.training import train_row
from scripts.experiments.common import RESULTS, experiment_parser, run_experiment
from vidamodal.media.files import write_text


def main() -> None:
    """Parse the command line, train, score and write the page."""
    parser = experiment_parser("ablation", __doc__)
    parser.add_argument("page", nargs="?", default="ablations", choices=page_names(), help="name of the page")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablations"), help="folder for models and scores")
    parser.add_argument("--out", type=Path, help="page to write (default: docs/results/PAGE.md)")
    parser.add_argument("--steps", type=int, help="steps of each training (default: those of the base config)")
    parser.add_argument("--table", default="", help="train only for tables with this in their names")
    parser.add_argument("--table-only", action="store_true", help="write the page from existing scores")
    options = parser.parse_args()

    def run() -> None:
        page = load_page(options.page)
        if not options.table_only:
            train_and_score(page, options)
        text = render_page(page, options.runs, options.steps)
        write_text(options.out or RESULTS / f"{options.page}.md", text)
        print(text)

    run_experiment("ablation", run)


def train_and_score(page: Page, options: Namespace) -> None:
    """Train and score every row and seed of the chosen tables."""
    tables = [table for table in page.tables if options.table in table.name]
    work = [(table, row, seed) for table in tables for row in table.rows for seed in row.seeds]
    for table, row, seed in tqdm(work, unit="row"):
        trained = train_row(row, table.base_of(row), seed, options.runs, options.steps)
        for name in table.data:
            score_model(trained, row.use, name, page.sets[name])


if __name__ == "__main__":
    main()
