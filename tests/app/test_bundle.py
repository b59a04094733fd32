from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import FRAMES, ToyClip
from vidamodal.app.bundle import PAGE, export_choices, write_bundle
from vidamodal.app.corrections import Corrections
from vidamodal.formats.registry import find_dataset
from vidamodal.inference.api import predict
from vidamodal.inference.prediction import Prediction
from vidamodal.tracks import read_tracks
from vidamodal.types import ClipTracks, InputError


@pytest.fixture(scope="module")
def prediction(clip: ToyClip, model_folder: Path) -> Prediction:
    return predict(clip.video, clip.tracks, model=str(model_folder))


def amodal_masks(clip: ClipTracks) -> dict[int, object]:
    return {track.id: track.amodal for track in clip.tracks}


def unpack(path: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extractall(path.parent / "unpacked")
    return path.parent / "unpacked"


def test_every_format_is_in_the_archive_and_can_be_read(prediction: Prediction, clip: ToyClip, tmp_path: Path) -> None:
    track = prediction.tracks[0]
    painted = np.ones((prediction.video.height, prediction.video.width), bool)
    corrections, _ = Corrections().with_mask(track, 2, painted)
    choices = [choice for choice in export_choices() if choice != "prores"]  # which is slow
    write_bundle(tmp_path / "export.zip", clip.video, prediction, corrections, choices)
    assert [path.name for path in tmp_path.iterdir()] == ["export.zip"]
    folder = unpack(tmp_path / "export.zip")
    assert amodal_masks(read_tracks(folder / "tracks.json")) == amodal_masks(prediction.clip)
    corrected = read_tracks(folder / "corrections.json").tracks[0].amodal
    assert corrected is not None and [mask is not None for mask in corrected] == [t == 2 for t in range(FRAMES)]
    assert {"amodal", "layers", "masks", "overlay.mp4", "rgba", "run.json", "view.html"} <= {
        p.name for p in folder.iterdir()
    }
    for name, path in (("coco", "coco.json"), ("sav", "sav"), ("youtube-vis", "youtube-vis.json"), ("cvat", "cvat")):
        (read,) = find_dataset(folder / path, name).clips.values()
        theirs = read.tracks_as("amodal").tracks
        assert {t.id: t.amodal[3] for t in theirs if t.amodal} == {
            t.id: t.amodal[3] for t in prediction.tracks if t.amodal
        }


def test_without_corrections_there_is_no_file_of_them(prediction: Prediction, clip: ToyClip, tmp_path: Path) -> None:
    write_bundle(tmp_path / "a.zip", clip.video, prediction, Corrections(), ["png", PAGE])
    assert {path.name for path in unpack(tmp_path / "a.zip").iterdir()} == {
        "amodal",
        "run.json",
        "tracks.json",
        "view.html",
    }


@pytest.mark.parametrize("choices", [[], ["png", "gif"]])
def test_unknown_choices_are_refused(choices: list[str], prediction: Prediction, clip: ToyClip, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown format"):
        write_bundle(tmp_path / "a.zip", clip.video, prediction, Corrections(), choices)
    assert not list(tmp_path.iterdir())
