"""The result of `vidamodal.predict`, and the folder that it is saved to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vidamodal
from tests.helpers import FRAMES, ToyClip
from vidamodal.tracks import read_tracks
from vidamodal.types import InputError


@pytest.fixture(scope="module")
def prediction(clip: ToyClip, model_folder: Path) -> vidamodal.Prediction:
    return vidamodal.predict(clip.video, clip.truth, model=str(model_folder), seed=3)


def test_a_prediction_offers_tracks_video_order_and_record(prediction: vidamodal.Prediction, clip: ToyClip) -> None:
    assert [track.id for track in prediction.tracks] == [track.id for track in clip.tracks.tracks]
    for track in prediction.tracks:
        assert track.amodal is not None and track.amodal[0] is not None
        assert track.amodal[0].decode().shape == (prediction.video.height, prediction.video.width)
    assert prediction.video.frames == len(prediction.order) == FRAMES and prediction.exhaustive
    assert prediction.run["seed"] == 3 and prediction.run["masks"] == clip.truth.name
    assert prediction.run["object_frames"] == prediction.timings.object_frames == FRAMES * len(prediction.tracks)
    assert prediction.timings.seconds.keys() == {"start", "cut", "model", "order", "paste"}


def test_predictions_are_equal_if_their_tracks_are(
    prediction: vidamodal.Prediction, clip: ToyClip, model_folder: Path
) -> None:
    assert prediction == vidamodal.predict(clip.video, clip.tracks, model=str(model_folder), seed=3)
    assert prediction != vidamodal.predict(clip.video, clip.tracks, model=str(model_folder), exhaustive=False)


def test_a_prediction_is_saved_as_predict_with_a_folder_saves_it(
    prediction: vidamodal.Prediction, clip: ToyClip, model_folder: Path, tmp_path: Path
) -> None:
    prediction.save(tmp_path / "one", ["tracks", "png"])
    vidamodal.predict(
        clip.video, clip.truth, tmp_path / "two", model=str(model_folder), seed=3, formats=["tracks", "png"]
    )
    names = [{str(p.relative_to(tmp_path / out)) for p in (tmp_path / out).rglob("*")} for out in ("one", "two")]
    assert names[0] == names[1]
    assert (tmp_path / "one/tracks.json").read_bytes() == (tmp_path / "two/tracks.json").read_bytes()
    saved = read_tracks(tmp_path / "one/tracks.json").tracks
    assert [track.amodal for track in saved] == [track.amodal for track in prediction.tracks]
    run = json.loads((tmp_path / "one/run.json").read_text())
    assert run["files"] == ["amodal", "run.json", "tracks.json"] and run["formats"] == ["tracks", "png"]
    assert {name: run[name] for name in ("seed", "device", "model")} == {
        name: prediction.run[name] for name in ("seed", "device", "model")
    }
    assert "write" in run["seconds"] and "write" not in prediction.run["seconds"]


def test_formats_for_editors_replace_each_other(prediction: vidamodal.Prediction, tmp_path: Path) -> None:
    formats = ["rgba", "prores", "layers", "tracks"]
    prediction.save(tmp_path, formats)
    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    ids = [track.id for track in prediction.tracks]
    expected = {"run.json", "tracks.json", *(f"prores/{number}.mov" for number in ids)}
    assert expected | {f"rgba/{k}/{t:05d}.png" for k in ids for t in range(FRAMES)} <= files.keys()
    assert {name.split("/")[0] for name in files} == {*formats[:3], "run.json", "tracks.json"}
    assert all(f"layers/1/{t:05d}.png" in files for t in range(FRAMES))
    assert json.loads(files["run.json"])["files"] == ["layers", "prores", "rgba", "run.json", "tracks.json"]
    prediction.save(tmp_path, formats)
    again = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert [name for name in files if again[name] != files[name]] in ([], ["run.json"])  # which holds times
    prediction.save(tmp_path, ["tracks"])
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "tracks.json"}


def test_a_folder_that_cannot_be_written_to_is_rejected(prediction: vidamodal.Prediction, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        prediction.save(tmp_path / "file")
    with pytest.raises(InputError, match="unknown format 'gif'"):
        prediction.save(tmp_path / "out", ["gif"])
    (tmp_path / "out" / "amodal").mkdir(parents=True)
    with pytest.raises(InputError, match="not an earlier result"):
        prediction.save(tmp_path / "out")
    assert not list((tmp_path / "out" / "amodal").iterdir())
