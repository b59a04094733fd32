"""Regions of motion and colour as a baseline of detection."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.experiments.bare.regions import RegionFinder
from tests.helpers import ToyClip
from tests.inference.detections import SIZE, box, disc
from vidamodal.media.video import open_video
from vidamodal.types import InputError, VideoInfo


def test_regions_of_motion_and_colour_are_tracked(clip: ToyClip) -> None:
    frames = []
    for t in range(12):
        picture = np.full((SIZE, SIZE, 3), 30, dtype=np.uint8)
        picture[disc(12 + 3 * t, 20)], picture[box(50, 60, 40, 60)] = (250, 20, 20), (20, 20, 250)
        frames.append(picture)
    video = VideoInfo("v.mp4", SIZE, SIZE, 12, 12.0)
    moving, coloured = (RegionFinder(kind, SIZE).find(video, lambda: iter(frames)) for kind in ("motion", "colour"))
    assert len(moving.tracks) == 1 and len(coloured.tracks) == 2
    disc_of = max(coloured.tracks, key=lambda track: track.visible[0].box()[0] < 30)  # type: ignore[union-attr,index]
    for track in (moving.tracks[0], disc_of):
        for t, mask in enumerate(track.visible):
            assert mask is not None
            truth = disc(12 + 3 * t, 20)
            assert (mask.decode() & truth).sum() / (mask.decode() | truth).sum() > 0.7
    reader = open_video(clip.video)
    with pytest.raises(InputError, match="Choose motion or colour"):
        RegionFinder("depth").find(reader.info, reader.frames)  # type: ignore[arg-type]
