"""The command `benchmark`: definitions and recorded hashes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataset_gen.__main__ import main
from dataset_gen.benchmark import benchmarks


def test_finished_folders_are_compared_with_the_recorded_hashes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = benchmarks()["movid-a-mini"]
    assert {name: (part.run.scenes, part.run.seed) for name, part in parts.items()} == {
        "test": (40, 700_000), "validation": (40, 600_000), "train": (200, 0),
    }  # fmt: skip
    for name, part in parts.items():
        settings = {
            "scenes": part.run.scenes, "seed": part.run.seed, "split": name, "preset": "movid_a", "size": 128,
            "frames": 24, "samples": 16, "masks_only": False, "generator": 1,
        }  # fmt: skip
        (tmp_path / name).mkdir()
        manifest = {"run": settings, "truth_hash": part.truth_hash or "abc"}
        (tmp_path / name / "manifest.json").write_text(json.dumps(manifest))
    words = ["benchmark", "movid-a-mini", "--out", str(tmp_path), "--quiet"]
    assert main(words) == 0
    assert capsys.readouterr().out.count("recorded") == 3
    document = json.loads((tmp_path / "train" / "manifest.json").read_text())
    for name, part in parts.items():
        parts[name] = type(part)(part.run, "abc" if name != "train" else document["truth_hash"] + "0")
    monkeypatch.setattr("dataset_gen.benchmark.benchmarks", lambda: {"movid-a-mini": parts})
    for name in ("test", "validation"):
        path = tmp_path / name / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "truth_hash": "abc"}))
    assert main(words) == 1
    out = capsys.readouterr().out
    assert out.count("as recorded") == 2 and out.count("DIFFERENT") == 1
