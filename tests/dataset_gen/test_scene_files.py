"""Files of a scene: the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dataset_gen.library import scene_meshes
from dataset_gen.scene_files import scene_tracks, write_scene
from dataset_gen.scenes import sample_scene
from tests.dataset_gen.helpers import needs_physics, noise
from vidamodal.media.video import open_video


@needs_physics
def test_scene_files_have_the_same_bytes_every_time_and_the_video_shows_the_frames(tmp_path: Path) -> None:
    spec = sample_scene("movid_a", "train", 5, 64, 5)
    clip, rgb = scene_tracks(spec, scene_meshes(spec), "train-00000005.mp4"), noise(5, 64)
    for name in ("a", "b"):
        write_scene(tmp_path / name, spec, clip, rgb)
    video = tmp_path / "a" / "train-00000005.mp4"
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    frames = np.stack(list(open_video(video).frames()))
    assert open_video(video).info.fps == 12.0
    assert np.abs(frames.astype(int).mean(axis=3) - rgb.mean(axis=3)).mean() < 4
