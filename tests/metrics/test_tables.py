"""Results as text."""

from __future__ import annotations

from pathlib import Path

from tests.metrics.helpers import (
    toy_clip,
)
from vidamodal.metrics import tables
from vidamodal.metrics.evaluate import Evaluation, evaluate, score_counts
from vidamodal.metrics.primary import mean_scores
from vidamodal.metrics.tables import format_table
from vidamodal.tracks import write_tracks


def test_format_table_is_aligned_and_shows_nulls(tmp_path: Path) -> None:
    write_tracks(tmp_path / "truth.json", toy_clip())
    evaluation: Evaluation = evaluate(tmp_path / "truth.json", tmp_path / "truth.json")
    table = format_table({**evaluation.primary_rows("vidamodal"), "none": mean_scores([])})
    lines = table.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split() == ["full", "occ", "hidden", "false", "completion", "ghosts", "flicker", "track", "IoU"]
    assert lines[1].split() == ["vidamodal", "100.0", "100.0", "100.0", "0.0", "-", "0.0", "100.0"]
    assert lines[-1].split() == ["none", *["-"] * 7]


def test_all_tables_show_a_dash_for_a_mean_over_nothing() -> None:
    empty = score_counts([])
    for text in (
        tables.format_strata(empty.strata),
        tables.format_protocols(empty.protocols),
        tables.format_ranked(empty.protocols, empty.time),
        tables.format_temporal(empty.time),
        tables.format_tracking(empty.protocols),
    ):
        assert "-" in text
