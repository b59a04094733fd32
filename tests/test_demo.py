"""The bundled models on the bundled clip, and the Python example of the README."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import vidamodal
from vidamodal.cli import main
from vidamodal.demo import demo, sample_clip
from vidamodal.media.images import write_image
from vidamodal.media.video import open_video
from vidamodal.tracks import read_tracks

ASSETS = Path(str(resources.files("vidamodal") / "assets"))


def test_the_bundled_files_are_small() -> None:
    sizes = {path: path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()}
    tiny = ASSETS / "models" / "tiny"
    drawn = sizes[tiny / "heads" / "conddiff.safetensors"]
    model = sum(size for path, size in sizes.items() if tiny in path.parents) - drawn
    assert 0 < model <= 8e6 and 0 < drawn <= 6e6 and sum(sizes.values()) <= 26e6


def test_the_sample_clip_has_complete_ground_truth() -> None:
    video, truth = sample_clip()
    clip, info = read_tracks(truth), open_video(video).info
    assert (clip.video.height, clip.video.width, clip.video.frames) == (info.height, info.width, info.frames)
    assert clip.exhaustive and clip.order is not None and len(clip.tracks) >= 10
    assert all(track.label and track.amodal and None not in (*track.visible, *track.amodal) for track in clip.tracks)


def test_demo_prints_the_table_and_beats_every_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo(tmp_path / "demo", quiet=True)
    text = capsys.readouterr().out
    assert [line.split()[0] for line in text.splitlines()[1:5]] == [
        "vidamodal",
        "copy-visible",
        "hull",
        "hull-under-occluders",
    ]
    assert "overlay.mp4" in text and "ms an object-frame" in text
    metrics = json.loads((tmp_path / "demo" / "metrics.json").read_text())
    for baseline in metrics["baselines"].values():
        assert metrics["primary"]["full"] > baseline["full"] + 0.05
        assert metrics["primary"]["occ"] > baseline["occ"] + 0.1
        assert metrics["primary"]["hidden"] > baseline["hidden"]
    assert open_video(tmp_path / "demo" / "overlay.mp4").info.frames == 24


def test_the_python_example_of_the_readme_gives_masks(tmp_path: Path) -> None:
    video, truth = sample_clip()
    prediction = vidamodal.predict(video, truth, tmp_path, formats=["tracks"])
    written = read_tracks(tmp_path / "tracks.json")
    assert [track.amodal for track in written.tracks] == [track.amodal for track in prediction.tracks]
    for track in prediction.tracks:
        assert track.amodal is not None and track.amodal[0] is not None
        assert track.amodal[0].decode().shape == (256, 256)


def test_the_bundled_diffusion_head_completes_an_image(tmp_path: Path) -> None:
    video, truth = sample_clip()
    tracks = read_tracks(truth)
    picture = next(iter(open_video(video).frames()))
    write_image(tmp_path / "image.png", picture)
    seen = [mask for track in tracks.tracks if (mask := track.visible[0]) is not None]
    np.savez(tmp_path / "masks.npz", masks=np.stack([mask.decode()[None] for mask in seen]))
    command = ["predict", str(tmp_path / "image.png"), "--masks", str(tmp_path / "masks.npz"), "--head", "conddiff"]
    with pytest.raises(SystemExit) as left:
        main([*command, "--exhaustive", "--formats", "tracks", "--out", str(tmp_path / "out")])
    assert left.value.code == 0
    found = read_tracks(tmp_path / "out" / "tracks.json")
    assert found.provenance["head"] == "conddiff" and found.video.frames == 1
    hidden = 0
    for track in found.tracks:
        visible, amodal = track.visible[0], (track.amodal or (None,))[0]
        if visible is not None and amodal is not None:
            assert not (visible.decode() & ~amodal.decode()).any()
            hidden += amodal.area() - visible.area()
    assert hidden > 0
