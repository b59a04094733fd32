"""The console script: output files, exit status and errors in one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import vidamodal
import vidamodal.demo
import vidamodal.inference.prediction as prediction_module
from tests.helpers import FRAMES, SIZE, ToyClip
from vidamodal.cli import main
from vidamodal.media.video import open_video
from vidamodal.media.video_writer import write_video
from vidamodal.tracks import dumps_tracks, read_tracks
from vidamodal.types import InputError

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "sync", lambda: None)


def leave(*arguments: object) -> int:
    """Run a command and return its exit status."""
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return int(left.value.code or 0)


def listing(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., str]:
    """A function that runs a command, checks that it fails in one line on stderr and writes nothing, and returns it."""

    def run(*arguments: object, status: int = 2) -> str:
        before = listing(tmp_path)
        folders = {p for p in tmp_path.rglob("*") if p.is_dir()}
        assert leave(*arguments) == status
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and err.endswith("\n") and "Traceback" not in err, err
        assert listing(tmp_path) == before and {p for p in tmp_path.rglob("*") if p.is_dir()} == folders
        return err

    return run


@pytest.fixture
def predict_command(clip: ToyClip, model_folder: Path) -> Callable[..., list[object]]:
    """Arguments of `predict` on the toy clip."""

    def arguments(out: Path, *more: object, video: object = clip.video, masks: object = clip.truth) -> list[object]:
        return ["predict", video, "--masks", masks, "--out", out, "--model", model_folder, "--quiet", *more]

    return arguments


Command = Callable[..., list[object]]
Refuse = Callable[..., str]


# Predict


def test_predict_writes_the_formats(
    predict_command: Command, clip: ToyClip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [track.id for track in clip.tracks.tracks]
    pngs = {f"amodal/{k}/{t:05d}.png" for k in ids for t in range(FRAMES)}
    assert leave(*predict_command(tmp_path / "default")) == 0
    assert "exhaustive" in capsys.readouterr().out
    assert set(listing(tmp_path / "default")) == {"tracks.json", "overlay.mp4", "run.json", *pngs}
    assert leave(*predict_command(tmp_path / "masks", "--formats", "tracks,masks")) == 0
    assert set(listing(tmp_path / "masks")) == {"tracks.json", "run.json", *(f"masks/{k}.mkv" for k in ids)}

    result = read_tracks(tmp_path / "default" / "tracks.json")
    assert [t.label for t in result.tracks] == [t.label for t in clip.tracks.tracks] and result.order is not None
    assert len(list(open_video(tmp_path / "default" / "overlay.mp4").frames())) == FRAMES
    for track in result.tracks:
        assert track.amodal is not None
        video = list(open_video(tmp_path / "masks" / "masks" / f"{track.id}.mkv").frames())
        for t, mask in enumerate(track.amodal):
            png = np.asarray(Image.open(tmp_path / "default" / "amodal" / str(track.id) / f"{t:05d}.png"))
            assert mask is not None and set(np.unique(png)) <= {0, 255}
            assert np.array_equal(png != 0, mask.decode()) and np.array_equal(video[t][..., 0] > 127, mask.decode())


def test_run_json_records_the_run(predict_command: Command, clip: ToyClip, tmp_path: Path) -> None:
    assert leave(*predict_command(tmp_path, "--formats", "tracks", "--seed", 7, "--partial")) == 0
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["exhaustive"] is False and run["seed"] == 7 and run["masks"] == clip.truth.name
    assert run["object_frames"] == len(clip.tracks.tracks) * FRAMES
    assert {"model", "weights", "config", "head", "versions", "precision", "seconds", "device"} <= run.keys()
    assert str(tmp_path) not in json.dumps(run) + (tmp_path / "tracks.json").read_text()


def id_maps(clip: ToyClip) -> np.ndarray:
    """Return the id of the visible object at each pixel, (t, h, w)."""
    maps = np.zeros((FRAMES, SIZE, SIZE), dtype=np.uint8)
    for track in clip.tracks.tracks:
        for t, mask in enumerate(track.visible):
            assert mask is not None
            maps[t, mask.decode()] = track.id
    return maps


def save_palette(folder: Path, maps: np.ndarray, first: int = 0) -> Path:
    folder.mkdir(parents=True)
    for t, values in enumerate(maps):
        image = Image.fromarray(values, mode="P")
        image.putpalette([i * 37 % 256 for i in range(768)])
        image.save(folder / f"{t + first:05d}.png")
    return folder


def test_all_mask_formats_and_the_python_api_give_the_same_bytes(
    predict_command: Command, clip: ToyClip, model_folder: Path, tmp_path: Path
) -> None:
    """There are masks for fewer frames than the video has."""
    maps = id_maps(clip)[:10]
    forms = {"palette": save_palette(tmp_path / "palette", maps)}
    for number in np.unique(maps)[1:]:
        folder = forms["sa-v"] = tmp_path / "sa-v"
        (folder / f"{number:03d}").mkdir(parents=True)
        for t, values in enumerate(maps):
            Image.fromarray((values == number).astype(np.uint8) * 255).save(folder / f"{number:03d}" / f"{t:05d}.png")
    forms["ids"], forms["stack"] = tmp_path / "ids.npz", tmp_path / "stack.npz"
    np.savez_compressed(forms["ids"], masks=maps)
    ids = np.unique(maps)[1:]
    np.savez(forms["stack"], masks=maps[None] == ids[:, None, None, None], ids=ids.astype(int), frames=np.arange(10))

    api = vidamodal.predict(clip.video, forms["palette"], model=str(model_folder))
    expected = dumps_tracks(api.clip).encode()
    forms["tracks"] = tmp_path / "t.json"
    forms["tracks"].write_bytes(expected)  # a prediction's visible masks are its input
    for name, masks in forms.items():
        assert leave(*predict_command(tmp_path / "out" / name, "--formats", "tracks", masks=masks)) == 0
        assert (tmp_path / "out" / name / "tracks.json").read_bytes() == expected, name
    assert not api.exhaustive and all(t.amodal and t.amodal[10:] == (None,) * (FRAMES - 10) for t in api.tracks)


def test_the_script_and_the_command_give_the_same_bytes(predict_command: Command, tmp_path: Path) -> None:
    more = ["--formats", "tracks", "--hypotheses", 2]
    _, *arguments = map(str, predict_command(tmp_path / "script", *more))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, ROOT / "scripts" / "infer.py", *arguments], check=True, env=environment)
    assert leave(*predict_command(tmp_path / "command", *more)) == 0
    script, command = (listing(tmp_path / name)["tracks.json"] for name in ("script", "command"))
    assert script == command


def test_two_runs_give_the_same_bytes_and_replace_the_earlier_result(
    predict_command: Command, clip: ToyClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = save_palette(tmp_path / "few", np.where(id_maps(clip)[:4] <= 2, id_maps(clip)[:4], 0).astype(np.uint8))
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    assert leave(*predict_command(out, "--formats", "tracks,png,overlay,masks")) == 0
    (out / "notes.txt").write_text("mine")
    order: list[str] = []
    replace = os.replace

    def spy(source: str | Path, target: str | Path) -> None:
        if Path(target).parent == out:
            order.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", spy)
    assert leave(*predict_command(out, masks=few)) == 0
    assert order[-1] == "tracks.json" and len(order) == 4
    assert leave(*predict_command(fresh, masks=few)) == 0
    second, expected = listing(out), listing(fresh)
    assert second.pop("notes.txt") == b"mine"  # what is not ours stays
    assert second.keys() == expected.keys()  # and nothing of the earlier result
    assert [name for name in second if second[name] != expected[name]] == ["run.json"]  # timings
    assert {p.name for p in out.iterdir()} == {"amodal", "notes.txt", "overlay.mp4", "run.json", "tracks.json"}


def test_only_earlier_results_are_replaced(
    predict_command: Command, refuse: Refuse, clip: ToyClip, tmp_path: Path
) -> None:
    shutil.copy(clip.video, tmp_path / "overlay.mp4")
    shutil.copy(clip.truth, tmp_path / "tracks.json")
    (tmp_path / "masks" / "1").mkdir(parents=True)
    Image.new("L", (SIZE, SIZE), 1).save(tmp_path / "masks" / "1" / "00000.png")
    mine = listing(tmp_path / "masks")
    for inputs in (
        {"masks": tmp_path / "tracks.json"}, {"masks": tmp_path / "masks"}, {"masks": tmp_path / "masks" / "1"},
        {"video": tmp_path / "overlay.mp4"},
    ):  # fmt: skip
        assert "replace" in refuse(*predict_command(tmp_path, **inputs))
    for told in ('{"files": []}', '{"files": 3}', '["files"]', "[" * 100_000, "{}"):
        assert "Move it" in refuse(*predict_command(tmp_path, "--formats", "tracks,masks"))
        (tmp_path / "run.json").write_text(told)
    kept = (tmp_path / "tracks.json").read_bytes()
    assert "Move it" in refuse(*predict_command(tmp_path, "--formats", "tracks"))
    assert (tmp_path / "tracks.json").read_bytes() == kept
    (tmp_path / "tracks.json").unlink()
    for _ in range(2):  # the second time over a result of ours
        assert leave(*predict_command(tmp_path, "--formats", "tracks")) == 0
        assert listing(tmp_path / "masks") == mine


@pytest.mark.parametrize(("error", "status"), [(OSError(28, "No space left on device"), 1), (InputError("damaged"), 2)])
def test_a_failed_run_leaves_the_folder_unchanged(
    error: Exception, status: int, predict_command: Command, refuse: Refuse, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The last file fails: the disk is full, or a frame is damaged."""
    assert leave(*predict_command(tmp_path / "old", "--formats", "tracks,png")) == 0
    capsys.readouterr()

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(prediction_module, "write_video", fail)
    for out in (tmp_path / "old", tmp_path / "new" / "deep"):
        refuse(*predict_command(out, "--partial"), status=status)


def test_a_terminated_run_leaves_no_files(
    predict_command: Command, refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(prediction_module, "write_video", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    assert "stopped" in refuse(*predict_command(tmp_path / "out"), status=143)
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_image_and_a_folder_of_frames_of_odd_size(model_folder: Path, tmp_path: Path) -> None:
    ids = np.zeros((31, 45), dtype=np.uint8)
    ids[5:20, 10:30] = 1
    ids[10:28, 20:40] = 2
    masks = save_palette(tmp_path / "masks", ids[None])
    (tmp_path / "frames").mkdir()
    for name in ("a7", "a10"):
        Image.fromarray(np.stack([ids * 80] * 3, axis=2)).save(tmp_path / "frames" / f"{name}.png")
    more = ["--model", model_folder, "--quiet"]
    for image_masks in (masks, masks / "00000.png"):
        out = tmp_path / "image"
        assert leave("predict", tmp_path / "frames" / "a7.png", "--masks", image_masks, "--out", out, *more) == 0
        result = read_tracks(out / "tracks.json")
        assert (result.video.frames, result.video.height, result.video.width) == (1, 31, 45)
        assert len(result.tracks) == 2
    os.rename(masks / "00000.png", masks / "a10.png")  # the second frame, as names are ordered
    assert leave("predict", tmp_path / "frames", "--masks", masks, "--out", tmp_path / "folder", *more) == 0
    amodal = read_tracks(tmp_path / "folder" / "tracks.json").tracks[0].amodal
    assert amodal is not None and amodal[0] is None and amodal[1] is not None


def test_partial_and_exhaustive(
    predict_command: Command, clip: ToyClip, tmp_path: Path, refuse: Refuse, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tracks.json records it, the options override it, and all other formats are partial."""
    palette = save_palette(tmp_path / "palette", id_maps(clip))
    for name, masks, option, said in (
        ("a", clip.truth, None, True), ("b", clip.truth, "--partial", False), ("c", palette, None, False),
        ("d", palette, "--exhaustive", True),
    ):  # fmt: skip
        arguments = predict_command(tmp_path / name, "--formats", "tracks", masks=masks)
        assert leave(*arguments, *([option] if option else [])) == 0
        assert read_tracks(tmp_path / name / "tracks.json").exhaustive is said
        assert json.loads((tmp_path / name / "run.json").read_text())["exhaustive"] is said
    capsys.readouterr()
    refuse(*predict_command(tmp_path / "e", "--partial", "--exhaustive"))


# Bad input of predict


def audio_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


BAD_VIDEOS: dict[str, Callable[[Path, ToyClip], object]] = {
    "missing": lambda path, clip: None,
    "empty": lambda path, clip: path.touch(),
    "text": lambda path, clip: path.write_text("this is no video\n" * 50),
    "truncated": lambda path, clip: path.write_bytes(clip.video.read_bytes()[: clip.video.stat().st_size * 2 // 3]),
    "audio only": lambda path, clip: audio_only(path),
    "an empty folder": lambda path, clip: path.mkdir(),
    "a tracks.json": lambda path, clip: shutil.copy(clip.truth, path),
}


@pytest.mark.parametrize("name", BAD_VIDEOS)
def test_bad_videos_are_rejected(
    name: str, predict_command: Command, clip: ToyClip, refuse: Refuse, tmp_path: Path
) -> None:
    path = tmp_path / "bad.mp4"
    BAD_VIDEOS[name](path, clip)
    assert "bad.mp4" in refuse(*predict_command(tmp_path / "out", video=path))


def changed(change: Callable[[dict], object]) -> Callable[[Path, ToyClip], Path]:
    """Write the clip's tracks.json with a mistake."""

    def save(folder: Path, clip: ToyClip) -> Path:
        document = json.loads(clip.truth.read_text())
        change(document)
        (folder / "bad.json").write_text(json.dumps(document))
        return folder / "bad.json"

    return save


def empty_folder(path: Path) -> Path:
    path.mkdir()
    return path


def saved_npz(**arrays: Any) -> Callable[[Path, ToyClip], Path]:
    def save(folder: Path, clip: ToyClip) -> Path:
        np.savez(folder / "bad.npz", **arrays)
        return folder / "bad.npz"

    return save


def saved_text(text: str) -> Callable[[Path, ToyClip], Path]:
    def save(folder: Path, clip: ToyClip) -> Path:
        (folder / "bad.json").write_text(text)
        return folder / "bad.json"

    return save


def short_counts(document: dict) -> None:
    document["tracks"][0]["visible"][0] = {"size": [SIZE, SIZE], "counts": "1"}


BAD_MASKS: dict[str, Callable[[Path, ToyClip], Path]] = {
    "missing": lambda folder, clip: folder / "bad.json",
    "empty": saved_text(""),
    "text": saved_text("masks\n"),
    "another JSON": saved_text('{"images": [], "annotations": []}'),
    "a JSON list": saved_text("[1, 2]"),
    "JSON cut off": lambda folder, clip: saved_text(clip.truth.read_text()[:5000])(folder, clip),
    "double ids": changed(lambda document: document["tracks"].append(document["tracks"][0])),
    "counts that do not fill the mask": changed(short_counts),
    "tracks of another length": lambda folder, clip: changed(
        lambda d: (
            d["video"].update(frames=1),
            [t.update(visible=t["visible"][:1]) for t in d["tracks"]],
            [t.update(amodal=t["amodal"][:1]) for t in d["tracks"]],
            d.pop("order"),
        )
    )(folder, clip),
    "PNGs of another size": lambda folder, clip: save_palette(folder / "bad", np.ones((2, SIZE, SIZE + 1), np.uint8)),
    "PNGs beyond the last frame": lambda folder, clip: save_palette(
        folder / "bad", np.ones((1, SIZE, SIZE), np.uint8), first=FRAMES
    ),
    "an empty folder": lambda folder, clip: empty_folder(folder / "bad"),
    "npz of another size": saved_npz(masks=np.ones((FRAMES, SIZE, SIZE - 1), dtype=np.uint8)),
    "npz with too many frames": saved_npz(masks=np.ones((FRAMES + 1, SIZE, SIZE), dtype=np.uint8)),
    "npz with a double id": saved_npz(masks=np.ones((2, 1, SIZE, SIZE), dtype=bool), ids=np.array([3, 3])),
    "npz without masks": saved_npz(mask=np.ones(SIZE, dtype=np.uint8)),
    "npz with a pickle": saved_npz(masks=np.array([{"a": 1}, None], dtype=object)),
}


@pytest.mark.parametrize("name", BAD_MASKS)
def test_bad_masks_are_rejected(
    name: str, predict_command: Command, clip: ToyClip, refuse: Refuse, tmp_path: Path
) -> None:
    masks = BAD_MASKS[name](tmp_path, clip)
    assert "bad" in refuse(*predict_command(tmp_path / "out", masks=masks))


class Bomb:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (Path("bomb-went-off"),)  # type: ignore[return-value]


def test_pickles_are_never_opened(
    predict_command: Command, refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "bad.npz", masks=np.array([Bomb()], dtype=object))
    refuse(*predict_command(tmp_path / "out", masks=tmp_path / "bad.npz"))
    assert not (tmp_path / "bomb-went-off").exists()


def edit_config(change: Callable[[dict], object]) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        data = json.loads((folder / "config.json").read_text())
        change(data)
        (folder / "config.json").write_text(json.dumps(data))

    return edit


def edit_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        change(state)
        save_file(state, folder / "model.safetensors")

    return edit


BAD_MODELS: dict[str, Callable[[Path], object]] = {
    "a missing tensor": edit_weights(lambda state: state.pop("transformer.place")),
    "a tensor too many": edit_weights(lambda state: state.update(strange=torch.zeros(1))),
    "another shape": edit_weights(lambda state: state.update({"transformer.place": torch.zeros(3, 3)})),
    "a config of another size": edit_config(lambda c: c["model"]["transformer"].update(depth=2)),
    "an unknown key": edit_config(lambda c: c["model"]["transformer"].update(colour="red")),
    "an unknown key of the head": edit_config(lambda c: c["heads"]["conv"].update(colour="red")),
    "a value of another type": edit_config(lambda c: c["model"].update(chunk="long")),
    "an overlap as long as the chunk": edit_config(lambda c: c["model"].update(overlap=12)),
    "sizes that make no model": edit_config(lambda c: c["model"]["transformer"].update(window=7)),
    "another head": edit_config(lambda c: c["model"].update(head="../conv")),
    "heads that are a list": edit_config(lambda c: c.update(heads=["conv"])),
    "another format": edit_config(lambda c: c.update(format="other")),
    "a config that is no JSON": lambda folder: (folder / "config.json").write_text("{"),
    "no config": lambda folder: (folder / "config.json").unlink(),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "weights that are a pickle": lambda folder: torch.save({"a": torch.zeros(1)}, folder / "model.safetensors"),
    "weights cut off": lambda folder: (folder / "model.safetensors").write_bytes(
        (folder / "model.safetensors").read_bytes()[:1000]
    ),
    "no weights of the head": lambda folder: (folder / "heads" / "conv.safetensors").unlink(),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_models_that_do_not_match_their_config_are_rejected(
    name: str, predict_command: Command, model_folder: Path, refuse: Refuse, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(model_folder, model)
    BAD_MODELS[name](model)
    refuse(*predict_command(tmp_path / "out"), "--model", model)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--head", "nosuch"], "nosuch"),
        (["--model", "nosuch"], "nosuch"),
        (["--formats", "tracks,gif"], "gif"),
        (["--formats", ""], "format"),
        (["--device", "tpu"], "tpu"),
        (["--hypotheses", "0"], "hypotheses"),
        (["--hypotheses", "many"], "many"),
        (["--seed", "-1", "--hypotheses", "2"], "seed"),
        (["--colour", "red"], "colour"),
    ],
)
def test_bad_arguments_are_rejected(
    more: list[str], message: str, predict_command: Command, refuse: Refuse, tmp_path: Path
) -> None:
    assert message in refuse(*predict_command(tmp_path / "out"), *more)


def test_missing_cuda_is_rejected(
    predict_command: Command, refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "cuda" in refuse(*predict_command(tmp_path / "out"), "--device", "cuda")


def test_missing_masks_and_folders_that_cannot_be_written(
    predict_command: Command, clip: ToyClip, model_folder: Path, refuse: Refuse, tmp_path: Path
) -> None:
    no_segmenter = ["--model", model_folder, "--head", "cumulative"]
    assert "--masks" in refuse("predict", clip.video, "--out", tmp_path / "out", *no_segmenter)
    refuse("predict", clip.video, "--masks", clip.truth)
    (tmp_path / "file").write_text("mine")
    refuse(*predict_command(tmp_path / "file"))
    assert "is a file, not a folder" in refuse(*predict_command(tmp_path / "file" / "out", "--formats", "tracks"))
    refuse()
    refuse("dream")


# The other commands


def test_evaluate_prints_a_table_and_writes_metrics(
    predict_command: Command, clip: ToyClip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leave(*predict_command(tmp_path / "out", "--formats", "tracks")) == 0
    assert leave("evaluate", "--pred", tmp_path / "out", "--truth", clip.truth, "--out", tmp_path / "m.json") == 0
    assert "full" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "m.json").read_text())
    assert 0 < metrics["primary"]["full"] < 1 and metrics["primary"]["videos"] == 1
    assert leave("evaluate", "--pred", clip.truth, "--truth", clip.truth, "--out", tmp_path / "m.json") == 0
    perfect = json.loads((tmp_path / "m.json").read_text())["primary"]
    assert perfect["full"] == 1 and perfect["flicker"] == 0


def test_evaluate_names_missing_videos(
    clip: ToyClip, refuse: Refuse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, keys in (("pred", ["a"]), ("truth", ["a", "b"])):
        for key in keys:
            (tmp_path / folder / key).mkdir(parents=True)
            shutil.copy(clip.truth, tmp_path / folder / key / "tracks.json")
    command = ["evaluate", "--pred", tmp_path / "pred", "--truth", tmp_path / "truth", "--out", tmp_path / "m.json"]
    assert "b" in refuse(*command)
    assert leave(*command, "--allow-missing") == 0
    assert json.loads((tmp_path / "m.json").read_text())["primary"]["full"] == 0.5
    assert "b" in capsys.readouterr().err
    swapped = ["evaluate", "--pred", tmp_path / "truth", "--truth", tmp_path / "pred"]
    assert leave(*swapped) == 0 and "ignored: video 'b'" in capsys.readouterr().err
    assert "nosuch" in refuse("evaluate", "--pred", tmp_path / "nosuch", "--truth", tmp_path / "truth")
    refuse("evaluate", "--pred", tmp_path / "pred")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "nosuch.yaml"], "nosuch.yaml"),
        (["--config", ROOT / "configs" / "smoke.yaml", "--nosuch", "3"], "nosuch"),
        (["--config", ROOT / "configs" / "smoke.yaml", "--seed", "many"], "seed"),
        (["--config", ROOT / "configs" / "smoke.yaml", "--worlds", "nosuch", "--output", "run"], "nosuch"),
        (["--config", ROOT / "configs" / "smoke.yaml", "--processes", "3", "--output", "run"], "processes"),
        (["--config", "strange.yaml"], "colour"),
        ([], "--config"),
    ],
)
def test_train_rejects_bad_configs(
    arguments: list[object], message: str, refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strange.yaml").write_text("name: strange\ncolour: red\n")
    assert message in refuse("train", *arguments)


@pytest.mark.parametrize("command", [[], ["predict"], ["evaluate"], ["train"], ["demo"]])
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(*command, "--help") == 0
    assert "--" in capsys.readouterr().out


def test_demo_prints_scores_files_and_speed(
    clip: ToyClip, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(vidamodal.demo, "sample_clip", lambda: (clip.video, clip.truth))
    monkeypatch.setattr(vidamodal.demo, "predict", partial(vidamodal.predict, model=str(model_folder)))
    assert leave("demo", "--out", tmp_path / "demo", "--quiet") == 0
    out = capsys.readouterr().out
    for word in ("vidamodal", "copy-visible", "hull", "hidden", "flicker", "ms an object-frame"):
        assert word in out
    assert str(tmp_path / "demo" / "overlay.mp4") in out and (tmp_path / "demo" / "overlay.mp4").is_file()


def test_a_video_of_many_frames_with_masks_for_some(model_folder: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "long.mp4", (np.full((32, 32, 3), t, dtype=np.uint8) for t in range(60)), 12.0)
    masks = np.zeros((35, 32, 32), dtype=np.uint8)
    masks[:, 8:20, 8:20] = 1
    np.savez(tmp_path / "masks.npz", masks=masks)
    result = vidamodal.predict(tmp_path / "long.mp4", tmp_path / "masks.npz", tmp_path / "out", model=str(model_folder))
    amodal = result.tracks[0].amodal
    assert amodal is not None and [m is None for m in amodal] == [t >= 35 for t in range(60)]
    assert len(list((tmp_path / "out" / "amodal" / "1").iterdir())) == 35
