"""The page of ablation tables."""

from __future__ import annotations

import math
from pathlib import Path

from scripts.experiments.ablation.doublings import Point, fit_doublings
from scripts.experiments.ablation.scoring import read_score
from scripts.experiments.ablation.tables import Page, Row, Table
from scripts.experiments.ablation.training import (
    TrainedModel,
    count_object_frames,
    count_parameters,
    find_trained,
    training_size,
)
from scripts.experiments.common import markdown_table, seeds_cell


def render_page(page: Page, runs: Path, steps: int | None) -> str:
    """Return a page as Markdown, from the scores that exist.

    Args:
        page: The tables.
        runs: Folder with the trained models and scores.
        steps: Training steps in place of the base configs'.
    """
    name = "" if page.name == "ablations" else f" {page.name}"
    sections = [
        f"# {page.title}",
        f"Written by `python -m scripts.experiments.ablation{name}`; scores of the primary protocol in per cent unless "
        "stated otherwise. Unless it says otherwise, every row is trained on the same "
        f"{training_size(page.base, steps)}. Rows with two seeds show their mean and, in brackets, half their "
        "difference. A dash marks scores that were not measured, and training times that are unknown.",
    ]
    for table in page.tables:
        sections.append(f"## {table.name}")
        if table.note:
            sections.append(table.note)
        if table.base != page.base:
            sections.append(f"Trained from `{table.base}`: {training_size(table.base, steps)}.")
        sections.append(markdown_table(_table_rows(page, table, runs, steps)))
        if table.fit:
            sections.append(_fit_text(page, table, runs, steps))
    return "\n\n".join(sections) + "\n"


def _table_rows(page: Page, table: Table, runs: Path, steps: int | None) -> list[list[str]]:
    scores = (f"{measure.replace('_', ' ')}, {name}" for name in table.data for measure in table.measures)
    sizes = ["parameters (M)", "object-frames"] if table.fit else []
    rows = [["", *sizes, "CPU-minutes", *scores]]
    for row in table.rows:
        models = [find_trained(row, table.base_of(row), seed, runs, steps) for seed in row.seeds]
        minutes = [model.seconds / 60 for model in models if not math.isnan(model.seconds)]
        spent = f"{sum(minutes) / len(minutes):.1f}" if minutes else "-"
        size = []
        if table.fit:
            count = count_parameters(models[0])
            size = [f"{count / 1e6:.2f}" if count else "-", f"{count_object_frames(row, table.base_of(row), steps):,}"]
        rows.append([row.name, *size, spent, *_score_cells(page, table, row, models)])
    return rows


def _fit_text(page: Page, table: Table, runs: Path, steps: int | None) -> str:
    """Return what each doubling of size and training is worth in each measure of quality, and the fit's error."""
    trained = [(row, find_trained(row, table.base_of(row), row.seeds[0], runs, steps)) for row in table.rows]
    sizes = [(count_parameters(model), count_object_frames(row, table.base_of(row), steps)) for row, model in trained]
    rows = [["points for each doubling of", "the parameters", "the object-frames", "mean error of the fit"]]
    for name in table.data:
        for measure in (each for each in table.measures if each != "ms"):
            found = [read_score(model, row.use, name, page.sets[name], measure) for row, model in trained]
            points = [Point(*size, 100 * score) for size, score in zip(sizes, found, strict=True) if score is not None]
            if (fit := fit_doublings(points)) is None:
                return "The fit needs the scores of several sizes and lengths."
            rows.append([f"{measure}, {name}", f"{fit.size:+.2f}", f"{fit.length:+.2f}", f"{fit.error:.2f}"])
    return "Least squares over the rows, linear in both logarithms:\n\n" + markdown_table(rows)


def _score_cells(page: Page, table: Table, row: Row, models: list[TrainedModel]) -> list[str]:
    return [
        seeds_cell(
            [read_score(model, row.use, name, page.sets[name], measure) for model in models],
            scale=1 if measure == "ms" else 100,
        )
        for name in table.data
        for measure in table.measures
    ]
