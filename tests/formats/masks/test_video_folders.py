"""Data sets of mask folders: labels, and what is not one."""

from __future__ import annotations

from pathlib import Path

from tests.formats.video_data import FRONT, SCENE, only, picture, png, put, rles
from vidamodal.formats import find_dataset
from vidamodal.tracks import write_tracks
from vidamodal.types import Track


def test_categories_of_youtube_vos_are_labels(tmp_path: Path) -> None:
    png(tmp_path / "Annotations/0a1/00005.png", FRONT)
    put(tmp_path / "meta.json", {"videos": {"0a1": {"objects": {"1": {"category": "ape", "frames": ["00005"]}}}}})
    picture(tmp_path / "JPEGImages/0a1/00000.jpg")
    picture(tmp_path / "JPEGImages/0a1/00005.jpg")
    (track,) = only(tmp_path).tracks
    assert track == Track(1, rles(None, FRONT), label="ape")


def test_prediction_folders_are_not_mask_folders(tmp_path: Path) -> None:
    write_tracks(tmp_path / "tracks.json", SCENE)
    png(tmp_path / "amodal/3/00000.png", FRONT)
    assert find_dataset(tmp_path).format == "vidamodal"
    assert find_dataset(tmp_path / "amodal").format == "a folder for each object"
