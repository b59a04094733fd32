"""Sources of visible masks from the command line and the Python API."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import vidamodal
import vidamodal.inference.sources as sources_module
from tests.helpers import FRAMES, SIZE, ToyClip
from tests.inference.hub_models import save_grounding_dino, save_instance_model, save_videomt
from tests.inference.sam2_model import tiny_sam_model
from tests.segmenters.cumulative.helpers import saved_segmenter
from vidamodal.cli import main
from vidamodal.inference.depth.depth_model import DEFAULT_DEPTH
from vidamodal.inference.finders.sam_stream import DEFAULT_SAM, load_sam
from vidamodal.inference.finders.text_boxes import DEFAULT_DETECTOR
from vidamodal.inference.tracker import TrackerConfig
from vidamodal.media.mask_images import write_id_map
from vidamodal.models.folder import load_segmenter
from vidamodal.tracks import read_tracks, write_tracks
from vidamodal.types import InputError


@pytest.fixture(scope="module")
def sam_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sam") / "small-sam"
    tiny_sam_model().save_pretrained(folder)
    return folder


def command(clip: ToyClip, out: Path, *options: object) -> int:
    with pytest.raises(SystemExit) as left:
        main(["predict", str(clip.video), "--out", str(out), "--formats", "tracks", *map(str, options)])
    return int(left.value.code or 0)


@pytest.mark.parametrize("kind", ["points", "boxes", "masks"])
def test_points_boxes_and_first_masks_give_whole_tracks(
    kind: str, tmp_path: Path, clip: ToyClip, sam_folder: Path, model_folder: Path
) -> None:
    path = tmp_path / "given.json"
    if kind == "masks":
        first = [replace(k, visible=(k.visible[0], *[None] * 13), amodal=None) for k in clip.tracks.tracks]
        write_tracks(path, replace(clip.tracks, tracks=tuple(first), order=None, exhaustive=False))
    else:
        shown = {"points": [[40, 40]]} if kind == "points" else {"box": [20, 20, 60, 60]}
        path.write_text(json.dumps({"objects": [{"id": 4, "frame": 2, **shown}]}))
    options = (f"--{kind}", path, "--sam", sam_folder, "--model", model_folder)
    assert command(clip, tmp_path / "one", *options) == command(clip, tmp_path / "two", *options) == 0
    assert (tmp_path / "one/tracks.json").read_bytes() == (tmp_path / "two/tracks.json").read_bytes()
    result = read_tracks(tmp_path / "one/tracks.json")
    assert not result.exhaustive and [t.id for t in result.tracks] == ([1, 2, 3, 4] if kind == "masks" else [4])
    spans = [track.span for track in result.tracks if track.ever_visible]
    assert spans and all(span == (0, 14) for span in spans)
    assert all(mask is not None for mask in result.tracks[-1].amodal or ())
    run = json.loads((tmp_path / "one/run.json").read_text())
    loaded = load_sam(str(sam_folder))
    assert run["masks"] == f"sam2 small-sam, {kind} given.json" and run["canvas"] == 64
    assert run["finder"] == {"weights": loaded.weights_hash, "config": loaded.config_hash}
    assert run["model"] == "small" and run["seconds"].keys() >= {"find model", "model", "write"}


def test_detections_are_completed_by_the_model(tmp_path: Path, clip: ToyClip, model_folder: Path) -> None:
    folder = saved_segmenter(tmp_path / "m", predicts="mask", samples=1, steps=1, least_area=12, most_layers=2)
    own = vidamodal.predict(clip.video, model=str(folder))
    assert command(clip, tmp_path / "out", "--detect", folder, "--model", model_folder, "--exhaustive") == 0
    completed = read_tracks(tmp_path / "out/tracks.json")
    assert [t.visible for t in completed.tracks] == [t.visible for t in own.tracks] and own.tracks
    assert [t.amodal for t in completed.tracks] != [t.amodal for t in own.tracks]
    assert completed.exhaustive and not own.exhaustive
    run = json.loads((tmp_path / "out/run.json").read_text())
    assert run["association"] == asdict(TrackerConfig())
    assert run["masks"] == "segmenter m" and run["model"] == "small" and run["finder"].keys() == {"weights", "config"}
    given_masks = vidamodal.predict(clip.video, own.clip, model=str(model_folder), exhaustive=True)
    assert [t.amodal for t in given_masks.tracks] == [t.amodal for t in completed.tracks]


def test_text_finds_objects_that_are_followed_and_completed(
    tmp_path: Path, clip: ToyClip, sam_folder: Path, model_folder: Path
) -> None:
    detector = save_grounding_dino(tmp_path / "small-dino")
    options = ("--text", "Person. dog.", "--detector", detector, "--sam", sam_folder, "--model", model_folder)
    assert command(clip, tmp_path / "one", *options) == command(clip, tmp_path / "two", *options) == 0
    assert (tmp_path / "one/tracks.json").read_bytes() == (tmp_path / "two/tracks.json").read_bytes()
    result = read_tracks(tmp_path / "one/tracks.json")
    assert not result.exhaustive and any(track.ever_visible and track.amodal for track in result.tracks)
    run = json.loads((tmp_path / "one/run.json").read_text())
    assert run["masks"] == "sam2 small-sam, boxes by small-dino" and run["text"] == ["person", "dog"]
    assert [each["name"] for each in run["outside"]] == ["small-dino"] and "objects found by" in run["notes"][-1]


@pytest.mark.parametrize("kind", ["eomt", "videomt"])
def test_instance_models_detect_objects_that_are_completed(
    kind: str, tmp_path: Path, clip: ToyClip, model_folder: Path
) -> None:
    folder = save_videomt(tmp_path / kind) if kind == "videomt" else save_instance_model(tmp_path / kind, kind)
    options = ("--detect", folder, "--model", model_folder, "--offline")
    assert command(clip, tmp_path / "one", *options) == command(clip, tmp_path / "two", *options) == 0
    assert (tmp_path / "one/tracks.json").read_bytes() == (tmp_path / "two/tracks.json").read_bytes()
    result = read_tracks(tmp_path / "one/tracks.json")
    assert result.tracks and {track.label for track in result.tracks} <= {"mug", "dog", "box"}
    run = json.loads((tmp_path / "one/run.json").read_text())
    assert run["masks"].endswith(f"instance segmentation {kind}") and run["finder"].keys() == {"weights", "config"}
    with pytest.raises(InputError, match=r"diffsp=: .* does not use it"):
        vidamodal.predict(clip.video, detect=str(folder), diffsp="any", model=str(model_folder))


def test_the_bundled_segmenter_is_the_default(
    tmp_path: Path, clip: ToyClip, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved_segmenter(tmp_path / "m", predicts="mask", samples=1, steps=1, least_area=12, most_layers=2)
    load = load_segmenter
    bundled = ("aisdiff", "cumulative")
    monkeypatch.setattr(
        sources_module, "load_segmenter", lambda name, *more: load(str(folder) if name in bundled else name, *more)
    )
    bare_result = vidamodal.predict(clip.video, model=str(model_folder))
    assert bare_result == vidamodal.predict(clip.video, detect=str(folder), model=str(model_folder))
    assert bare_result == vidamodal.predict(clip.video, detect=True, model=str(model_folder))
    assert bare_result == vidamodal.predict(clip.video, head="conv", model=str(model_folder))
    assert command(clip, tmp_path / "out", "--detect", "--model", model_folder) == 0
    told = read_tracks(tmp_path / "out/tracks.json").tracks
    assert [t.amodal for t in told] == [t.amodal for t in bare_result.tracks]
    assert vidamodal.predict(clip.video, head="cumulative").clip.provenance["model"] == "m"  # alone: its own masks


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--points", "p.json", "--masks", "m"], "not allowed with argument"),
        (["--detect", "--boxes", "b.json"], "not allowed with argument"),
        (["--sam", "SAM"], "Pass --points, --boxes, --masks or --text as well"),
        (["--detect", "MODEL", "--sam", "SAM"], "as well"),
        (["--detect", "MODEL"], "is not a segmenter"),
        (["--points", "none.json", "--sam", "SAM"], "none.json: cannot be read as a JSON file of points"),
        (["--masks", "TRUTH", "--sam", "MODEL"], "--sam"),
        (["--detect", "--order", "TRUTH"], "need objects whose visible masks are known"),
        (["--text", "mug.", "--order", "TRUTH"], "need objects whose visible masks are known"),
        (["--text", "mug.", "--masks", "m"], "not allowed with argument"),
        (["--detector", "SAM"], "--detector: it detects the objects that a text names. Pass --text as well"),
        (["--text", " . "], "--text: no object is named"),
        (["--text", "mug.", "--detector", "SAM"], "--detector: 'SAM' is a model of type 'sam2_video'"),
        (["--detect", "SAM"], "--detect: 'SAM' is a model of type 'sam2_video'. Pass a segmenter of this package"),
        (["--points", "POINTS", "--sam", "DEPTH"], "is a model of type 'depth_anything', not a SAM 2 or EdgeTAM"),
        (["--text", "mug.", "--diffsp", "SAM"], "--diffsp: only a segmenter uses it"),
        (["--offline", "--text", "mug."], "as a model on the Hub it is not in the cache, and downloads are forbidden"),
        (["--offline", "--detect", "nobody/nothing"], "nothing --local-dir FOLDER` downloads it"),
        (["--offline", "--depth", "--masks", "TRUTH"], "--depth: there is no folder 'depth-anything/Depth-Anything-V2"),
    ],
)
def test_arguments_that_do_not_go_together_are_rejected_in_one_line(
    options: list[str], words: str, tmp_path: Path, clip: ToyClip, sam_folder: Path, model_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    points = tmp_path / "points.json"
    points.write_text(json.dumps({"objects": [{"id": 4, "frame": 2, "points": [[40, 40]]}]}))
    depth = tmp_path / "depth-model"
    depth.mkdir()
    (depth / "config.json").write_text('{"model_type": "depth_anything"}')
    places = {"MODEL": model_folder, "SAM": sam_folder, "TRUTH": clip.truth, "POINTS": points, "DEPTH": depth}
    assert command(clip, tmp_path / "out", *(places.get(o, o) for o in options)) == 2
    said = capsys.readouterr().err.replace(str(sam_folder), "SAM")
    assert words in said and said.count("\n") == 1 and not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="masks= and points="):
        vidamodal.predict(clip.video, clip.tracks, points="p.json")


def test_the_help_names_the_default_models(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    text = capsys.readouterr().out.replace("\n", "").replace(" ", "")
    assert all(name in text for name in (DEFAULT_SAM, DEFAULT_DETECTOR, DEFAULT_DEPTH))


def test_the_masks_that_were_read_are_reported_and_recorded(
    tmp_path: Path, clip: ToyClip, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = np.zeros((SIZE, SIZE), dtype=np.uint8)
    ids[5:20, 5:20], ids[30:40, 30:40] = 1, 2
    (tmp_path / "masks").mkdir()
    for frame in (0, 2):
        write_id_map(tmp_path / "masks" / f"{frame:05d}.png", ids)
    assert command(clip, tmp_path / "out", "--masks", tmp_path / "masks", "--model", model_folder) == 0
    line = f"masks: read as a folder of id maps: 2 objects, masks in 2 of {FRAMES} frames"
    assert capsys.readouterr().err.splitlines() == [f"note: {line}"]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["notes"] == [line]
    loaded = vidamodal.predict(clip.video, read_tracks(clip.truth), model=str(model_folder))
    assert loaded.notes == ()
