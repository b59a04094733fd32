"""Layers are read as objects in front of each other, and refused if one is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.formats.image_data import box, checked, frames, layered, masks, only, refusal, same
from vidamodal.formats import VideoContext, read_masks
from vidamodal.media.mask_images import write_id_map
from vidamodal.types import VideoInfo


def test_layers_of_intra_afruit_acom_and_muva(tmp_path: Path) -> None:
    clip = only(layered(tmp_path))
    tracks = checked(clip)
    left, right, behind = box(2, 2, 8, 5), box(2, 9, 8, 12), box(4, 3, 10, 11)
    assert clip.key == "1013"
    assert same(masks(tracks), (left, left), (right, right), (behind & ~left & ~right, behind))
    assert tracks.order == (((1, 3), (2, 3)),) and tracks.exhaustive
    assert tracks.provenance["layers"] == [0, 0, 1] and all(t.label is None for t in tracks.tracks)
    assert (frames(clip)[0] == 60).all()


def test_a_missing_layer_and_layers_of_two_sizes_are_refused(tmp_path: Path) -> None:
    layered(tmp_path)
    write_id_map(tmp_path / "1013_1/mask.png", np.ones((5, 5), np.uint8))
    assert "one size" in refusal(tmp_path)
    (tmp_path / "1013_1/mask.png").unlink()
    assert "image 1013 has the layers [0, 2]" in refusal(tmp_path)


def test_folders_of_other_names_are_no_layers(tmp_path: Path) -> None:
    for name in ("cup_0", "cup_1"):
        (tmp_path / name).mkdir()
        write_id_map(tmp_path / name / "mask.png", box(2, 2, 8, 5).astype(np.uint8))
    height, width = box(0, 0, 1, 1).shape
    clip = read_masks(tmp_path, VideoContext(VideoInfo("film.mp4", height, width, 1, 1.0)))
    assert [(track.id, track.label) for track in clip.tracks] == [(0, "cup"), (1, "cup")]
