"""Tests of the experiment on incomplete scenes and degraded masks."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from PIL import Image

from scripts.experiments.robustness import __main__ as robustness
from tests.helpers import ToyClip
from vidamodal.baselines import predict_baseline
from vidamodal.formats import Clip


def source(clip: ToyClip) -> Clip:
    return Clip("toy", lambda: clip.tracks, lambda: None)


def test_settings_degrade_the_input_only(clip: ToyClip) -> None:
    """The truth is never degraded; with "own mask", each input has one track."""
    kinds = ["edge", "dropped", "unknown", "missing"]
    settings = dict(robustness.make_settings(clip.tracks, kinds, 0, 7))
    again = dict(robustness.make_settings(clip.tracks, kinds, 0, 7))
    assert list(settings) == [
        *(("exhaustive", 0.0), ("all masks", 0.0), ("own mask", 0.0)),
        *((kind, s) for kind in kinds for s in robustness.STRENGTHS[kind]),
    ]
    assert [g.exhaustive for g, _ in settings["exhaustive", 0.0]] == [True]
    assert [len(g.tracks) for g, _ in settings["own mask", 0.0]] == [1] * len(clip.tracks.tracks)
    areas = []
    for strength in robustness.STRENGTHS["dropped"]:
        [(degraded, truth)] = settings["dropped", strength]
        assert truth == clip.tracks and not degraded.exhaustive
        areas.append(sum(mask.area() > 0 for track in degraded.tracks for mask in track.visible if mask))
    assert areas == sorted(areas, reverse=True) and areas[-1] < areas[0]
    assert all(mask is not None for track in settings["edge", 0.2][0][0].tracks for mask in track.visible)
    assert any(mask is None for track in settings["unknown", 0.6][0][0].tracks for mask in track.visible)
    [(degraded, truth)] = settings["missing", 0.75]
    assert [t.id for t in degraded.tracks] == [t.id for t in truth.tracks]
    assert len(settings["missing", 0.75][0][1].tracks) < len(clip.tracks.tracks)
    assert settings == again


def test_scores_and_page_of_a_study(clip: ToyClip, tmp_path: Path) -> None:
    """A method that returns the truth scores 1 in every setting, one that copies its input gets worse."""
    known = {track.id: track.amodal for track in clip.tracks.tracks}
    methods = {
        "oracle": lambda given, _: replace(
            given, tracks=tuple(replace(t, amodal=known[t.id]) for t in given.tracks)
        ),
        "copy": lambda given, _: predict_baseline("copy-visible", given),
    }  # fmt: skip
    study = robustness.run_study([source(clip)], methods, ["dropped"], 0)
    for row in (*study.scenes.values(), *study.degraded["dropped"].values()):
        assert (row["oracle"].full, row["oracle"].occ) == (1.0, 1.0)
    copied = [row["copy"].full or 0.0 for row in study.degraded["dropped"].values()]
    assert copied == sorted(copied, reverse=True) and copied[-1] < copied[0] - 0.1
    assert study.scenes["own mask"]["copy"] == study.scenes["all masks"]["copy"]
    options = Namespace(truth=Path("some/where/toy"), seed=0, out=Path("robustness.md"))
    page = robustness.render_page(options, study)
    assert "some/where" not in page and "Smallest lead of oracle over the best baseline" in page
    assert page.count("| 100.0 / 100.0 / ") == 3 + 4
    Image.fromarray(robustness.render_curves(study)).save(tmp_path / "study.png")
