"""TABE-51 and clips for TABE (Hudson and Smith, 2024). Read only.

``<clip>/`` holds ``frames/``, ``visible_masks/`` and, optionally, ``gt_masks/`` with the amodal masks. The names of
frames count upwards; ``visible_masks`` may hold the mask of the first frame alone. A clip has one object, whose id is
1; objects of clips with several are joined by their ids. ``annos.json`` (levels of occlusion) is not read. The scene is
not exhaustive.

Based on the README and the loader of finlay-hudson/TABE; not tested on the published archive.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vidamodal.formats.base import Clip, Fit, VideoContext, certain_if
from vidamodal.formats.videos.clip_folders import ClipFolders, read_clips

ID = "tabe"
NAME = "TABE-51"
SIGN = "the folders visible_masks, gt_masks and frames, or folders with them"
_FOLDERS = ClipFolders(frames="frames", visible="visible_masks", amodal="gt_masks")


def recognise(path: Path) -> Fit:
    """Match the folder of a clip, or a folder of clips."""
    return certain_if(_FOLDERS.find(path))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each folder; its key is the folder's name."""
    return read_clips(path, _FOLDERS, video, NAME)
