"""Clips of Diffusion-VAS (Chen et al., 2025), as in the demo data of Kaihua-Chen/diffusion-vas. Read only.

``<clip>/rgbs/`` holds the frames and ``<clip>/masks/`` the visible masks, both with names such as frame_000.png; masks
are maps of ids (see ``formats.masks``). There are no amodal masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vidamodal.formats.base import Clip, Fit, VideoContext, certain_if
from vidamodal.formats.videos.clip_folders import ClipFolders, read_clips

ID = "diffusion-vas"
NAME = "Diffusion-VAS"
SIGN = "the folders rgbs and masks, or folders with them"
_FOLDERS = ClipFolders(frames="rgbs", visible="masks")


def recognise(path: Path) -> Fit:
    """Match the folder of a clip, or a folder of clips."""
    return certain_if(_FOLDERS.find(path))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each folder; its key is the folder's name."""
    return read_clips(path, _FOLDERS, video, NAME)
