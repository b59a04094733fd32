"""The command `export`: data sets in other layouts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataset_gen.export import export_movid_a
from dataset_gen.export import main as export
from dataset_gen.scene_shards import write_shard
from tests.formats.image_data import frames, scenes
from vidamodal.formats import find_dataset
from vidamodal.types import InputError


def test_a_data_set_is_exported_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    write_shard(tmp_path / "data/test-000000.tar", scenes(tmp_path / "scenes", "test-00000000", "train-00000001"))
    assert export([str(tmp_path / "data"), "--layout", "movid-a", "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert "test with 1 videos, train with 1 videos" in capsys.readouterr().out
    ours, theirs = find_dataset(tmp_path / "data").clips, find_dataset(tmp_path / "out").clips
    assert list(ours) == list(theirs)
    for key, clip in ours.items():
        tracks = theirs[key].tracks()
        assert replace(tracks, provenance={}) == clip.tracks()
        assert np.array_equal(frames(clip), frames(theirs[key]))


def test_export_needs_splits_and_a_new_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_shard(tmp_path / "data/a.tar", scenes(tmp_path / "scenes", "clip"))
    arguments = [str(tmp_path / "data"), "--layout", "movid-a", "--out", str(tmp_path / "out")]
    with pytest.raises(InputError, match=r"'clip' does not begin with a split .* Name the split"):
        export(arguments)
    assert export_movid_a(tmp_path / "data", tmp_path / "out", split="test") == {"test": 1}
    with pytest.raises(InputError, match="already exists"):
        export([*arguments, "--split", "test"])
