"""The clips of real video: what a method gets, and what its result is compared with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from scripts.experiments.real.depth import depth_of_clip
from vidamodal.errors import InputError
from vidamodal.inference.depth.depth_source import DepthSource
from vidamodal.media.json_records import FieldError, check_type
from vidamodal.media.video import open_video
from vidamodal.report.strips import FrameSource
from vidamodal.tracks import read_tracks
from vidamodal.tracks.parse import parse_box
from vidamodal.types import Box, ClipTracks, Track

SETTINGS = {
    "whole, alone": "nothing is occluded; the mask of the object alone, a partial scene",
    "behind, exhaustive": "a real thing passes or stands in front; all masks, an exhaustive scene",
    "behind, partial": "the same masks, a partial scene",
    "behind, alone": "the mask of the object alone, a partial scene: the occluder has no mask",
    "whole, alone with depth": "the first setting with depth that is right, made from the ground truth",
    "behind, alone with depth": "the fourth setting with such depth",
}
"""What the composites ask of a method, by setting."""

_OCCLUDERS = ("post", "wall", "fence", "bush")
_SUBJECTS = {
    **dict.fromkeys(("man", "dancer"), "people"),
    **dict.fromkeys(("camel", "goat", "swan"), "animals"),
    **dict.fromkeys(("car", "scooter", "soapbox"), "vehicles"),
}


@dataclass(frozen=True)
class RealClip:
    """A clip of real video."""

    key: str
    """Name of the folder: for a composite the object, or the object and its occluder, as in ``camel_wall``."""
    inputs: ClipTracks
    """The visible masks that a method gets."""
    truth: ClipTracks
    frames: FrameSource
    depth: Callable[[str], DepthSource] | None = None
    """Makes depth maps with a degradation of `scripts.experiments.real.depth`; None in settings without depth."""

    @property
    def strata(self) -> tuple[str, ...]:
        """The kinds of the object and of its occluder, as far as the key names them."""
        subject, _, occluder = self.key.partition("_")
        kinds = [_SUBJECTS[subject]] if subject in _SUBJECTS else []
        if occluder:
            kinds.append(occluder if occluder in _OCCLUDERS else "moving occluder")
        return tuple(kinds)


def read_composites(folder: Path) -> dict[str, list[RealClip]]:
    """Return the clips of every setting from ``whole/`` and ``behind/``.

    Each clip is a folder of video.mp4, truth.json, visible.json (all masks) and alone.json (the object's mask).

    Raises:
        InputError: A clip cannot be read, or there is none.
    """
    clips: dict[str, list[RealClip]] = {setting: [] for setting in SETTINGS}
    for kind in ("whole", "behind"):
        for path in sorted(entry for entry in (folder / kind).glob("*") if entry.is_dir()):
            truth, everything, alone = (read_tracks(path / f"{name}.json") for name in ("truth", "visible", "alone"))
            frames = open_video(path / "video.mp4").frames
            inputs = {"exhaustive": everything, "partial": replace(everything, exhaustive=False), "alone": alone}
            make_depth = partial(depth_of_clip, path.name, truth, everything)
            for setting in SETTINGS:
                own_kind, _, given = setting.partition(", ")
                masks, _, depth = given.partition(" with ")
                if own_kind == kind:
                    clip = RealClip(path.name, inputs[masks], truth, frames, make_depth if depth else None)
                    clips[setting].append(clip)
    if not any(clips.values()):
        raise InputError(f"{folder}: no clips in whole/ and behind/. Pass the folder of the composites.")
    return clips


def read_kitti(folder: Path) -> list[RealClip]:
    """Return the clips of KITTI: folders of visible.json, whose masks are the input, and boxes.json, the ground truth.

    Raises:
        InputError: A clip cannot be read, or there is none.
    """
    clips = []
    for path in sorted(entry for entry in folder.glob("*") if (entry / "boxes.json").is_file()):
        visible = read_tracks(path / "visible.json")
        clips.append(RealClip(path.name, visible, read_boxes(path / "boxes.json", visible), lambda: None))
    if not clips:
        raise InputError(f"{folder}: no folder with a boxes.json. Pass the folder of the pieces of KITTI.")
    return clips


def read_boxes(path: Path, visible: ClipTracks) -> ClipTracks:
    """Return a ground truth of amodal boxes.

    Args:
        path: A JSON object: track id -> frame -> [occlusion, truncation, x0, y0, x1, y1], in KITTI's levels.
        visible: The visible masks of the same clip, which become those of the ground truth.

    Raises:
        InputError: The file is damaged.
    """
    try:
        document = check_type(json.loads(path.read_bytes()), dict, "the content")
        tracks = tuple(_boxed(track, document.get(str(track.id)) or {}, visible) for track in visible.tracks)
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: {error}. Pass the boxes of this clip.") from None
    return replace(visible, tracks=tracks)


def _boxed(track: Track, entries: Mapping[str, list[float]], clip: ClipTracks) -> Track:
    boxes: list[Box | None] = [None] * clip.video.frames
    occlusion: list[int | None] = [None] * clip.video.frames
    truncated: list[bool | None] = [None] * clip.video.frames
    for text, numbers in entries.items():
        t = int(text)
        if not 0 <= t < clip.video.frames:
            raise FieldError(f"track {track.id}: frame {t} is beyond the end of the clip")
        boxes[t] = parse_box(list(numbers[2:]), f"track {track.id}, frame {t}")
        occlusion[t], truncated[t] = int(numbers[0]), numbers[1] > 0
    return replace(track, boxes=tuple(boxes), occlusion=tuple(occlusion), truncated=tuple(truncated))
