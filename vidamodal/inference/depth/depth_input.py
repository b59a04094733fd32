"""The depth argument of a prediction: a folder of maps, one map for an image, a depth model, or maps in memory."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from vidamodal.formats import VideoContext
from vidamodal.inference.depth.depth_folder import open_depth_files, open_depth_folder
from vidamodal.inference.depth.depth_model import LoadedDepthModel, estimate_depth, load_depth_model
from vidamodal.inference.depth.depth_source import DepthKind, DepthSource
from vidamodal.media.video import VideoReader
from vidamodal.types import InputError

DepthInput = bool | str | os.PathLike[str] | LoadedDepthModel | DepthSource
"""True is the default depth model."""


def open_depth(depth: DepthInput, kind: DepthKind, reader: VideoReader, device: str) -> DepthSource:
    """Open the depth maps of a video.

    Args:
        depth: A folder of maps, the map of a single image, a depth model (loaded, a folder, ``owner/name`` on the Hub,
            or True for the default one), or maps in memory.
        kind: Which way their values point; "auto" keeps the kind of maps in memory.
        reader: The video.
        device: "auto", "cpu", "cuda" or "mps".

    Raises:
        InputError: If there is no such folder or model, or if the maps do not fit the video.
    """
    if isinstance(depth, DepthSource):
        return depth if kind == "auto" else replace(depth, kind=kind)
    if isinstance(depth, LoadedDepthModel):
        return estimate_depth(depth, reader, device, kind)
    if isinstance(depth, bool):
        return estimate_depth(load_depth_model(), reader, device, kind)
    path, video = Path(depth), VideoContext(reader.info, reader.stems)
    if path.is_file():
        if reader.info.frames > 1:
            raise InputError(
                f"{path}: one depth map for a video of {reader.info.frames} frames. Pass a folder of maps."
            )
        return open_depth_files([path], path.name, video, kind)
    if path.is_dir() and not (path / "config.json").is_file():
        return open_depth_folder(path, video, kind)
    return estimate_depth(load_depth_model(str(depth)), reader, device, kind)
