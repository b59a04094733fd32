"""Film strips of the best, the median and the worst clip of a setting."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

import vidamodal
from scripts.experiments.real.sets import RealClip
from vidamodal.media.images import save_png
from vidamodal.media.video import open_video
from vidamodal.metrics.primary import score_video
from vidamodal.metrics.tables import percent
from vidamodal.report.strips import film_strip
from vidamodal.types import Frame, Track

if TYPE_CHECKING:
    from scripts.experiments.real.__main__ import Run

_SIDE = 128
"""Height and width of one picture of a strip, in pixels."""


def write_strips(page: Path, setting: str, clips: Sequence[RealClip], run: Run, pixels: bool = False) -> dict[str, str]:
    """Write three film strips beside a page; return their file names by title.

    Args:
        page: The page.
        setting: The setting of the clips.
        clips: The clips, which are ranked by full.
        run: Their predictions.
        pixels: Show the videos. By default the background is plain, because the videos may not be published.
    """
    full = [score_video(video).full for video in run.counts]
    ranked = sorted((k for k, value in enumerate(full) if value is not None), key=lambda k: -(full[k] or 0))
    chosen = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
    names = {}
    for rank, place in chosen.items():
        clip, name = clips[place], f"{page.stem}-{setting.replace(', ', '-')}-{rank}.png"
        (track,) = clip.truth.tracks
        frames = clip.frames if pixels else lambda: None
        scene = replace(clip.truth, tracks=(*clip.truth.tracks, *_others(clip)))
        strip = film_strip(scene, frames, track.id, {"prediction": run.predictions[place]})
        save_png(page.with_name(name), _tile([row.pictures for row in strip.rows]))
        names[f"{rank}: {clip.key}, full {percent(full[place])}"] = name
    return names


def write_video_strips(
    page: Path, folders: Sequence[Path], models: Sequence[str], device: str, pixels: bool = False
) -> dict[str, str]:
    """Write a film strip of each object of some videos beside a page; return their file names by title.

    Args:
        page: The page.
        folders: Folders of a video, or of its frames, and of ``masks/``, a partial scene.
        models: Names of the models.
        device: Device of the models.
        pixels: Show the videos. By default the background is plain, because the videos may not be published.
    """
    names = {}
    for folder in folders:
        (video,) = (entry for entry in sorted(folder.iterdir()) if entry.name != "masks")
        predicted = {
            name: vidamodal.predict(video, folder / "masks", model=name, device=device, exhaustive=False).clip
            for name in models
        }
        first = predicted[models[0]]
        for track in first.tracks:
            frames = open_video(video).frames if pixels else lambda: None
            rows = film_strip(first, frames, track.id, predicted).rows
            name = f"{page.stem}-{folder.name}-{track.id}.png"
            save_png(page.with_name(name), _tile([r.pictures for r in rows if r.title in ("visible", "prediction")]))
            titles = ", ".join(("visible mask", *(Path(model).name for model in models)))
            names[f"{folder.name}, object {track.id}: {titles}"] = name
    return names


def _others(clip: RealClip) -> list[Track]:
    """The other objects that the method knew of, which the plain background shows in a darker grey."""
    true_ids = {track.id for track in clip.truth.tracks}
    return [track for track in clip.inputs.tracks if track.id not in true_ids]


def _tile(rows: Sequence[Sequence[bytes]]) -> Frame:
    pictures = [[Image.open(io.BytesIO(data)).convert("RGB").resize((_SIDE, _SIDE)) for data in row] for row in rows]
    return np.concatenate([np.concatenate([np.asarray(p) for p in row], axis=1) for row in pictures])
