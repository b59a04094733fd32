"""SA-V's training annotations (Ravi et al., SAM 2, 2024): ``sav_000001_manual.json`` and ``_auto.json``. Read only.

``masklet`` lists, for each annotated frame, the run lengths of every object in the order of ``masklet_id``; other keys
are ``video_frame_count``, ``video_height``, ``video_width`` and ``video_duration``. Numbers may be floats. See
sav_dataset/README.md in facebookresearch/sam2.

Every 4th frame of a video is annotated, at 6 of 24 frames per second; this is checked against the number of frames and
reported, and the other frames are unknown. Empty run lengths are occluded or absent objects (before the first mask:
unknown). The masks are of one, unstated kind. Each file is a clip; its key is the name of the file. Other distances
between annotated frames are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from vidamodal.formats.annotation_files import ImageEntry, Record, checked_image, errors_in, read_mask
from vidamodal.formats.base import Clip, Fit, VideoContext, certain_if
from vidamodal.formats.build import build_tracks
from vidamodal.formats.json_layouts import Layout, load_json, match_files, one_file
from vidamodal.media.json_records import FieldError, check_type, integer, optional, required, required_integer
from vidamodal.tracks.check import check_clip, check_video
from vidamodal.types import ClipTracks, Rle, VideoInfo

ID = "sav-json"
NAME = "SA-V's JSON"
SIGN = 'a JSON with "masklet" and "video_height"'
_STEP = 4
"""Distance of annotated frames."""
_FPS = 24.0


def recognise(path: Path) -> Fit:
    """Match a file with ``masklet``, ``video_height`` and ``video_width``, or a folder with some in it."""
    return match_files(path, ID, _fit)[0]


def _fit(layout: Layout) -> Fit:
    return certain_if(layout.keys >= {"masklet", "video_height", "video_width"})


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each file, or the only one for a video."""
    files = match_files(path, ID, _fit)[1]
    files = files if video is None else [one_file(path, files)]
    return {file.stem: Clip(file.stem, partial(_tracks, file, video), lambda: None, kind_known=False) for file in files}


def _tracks(file: Path, video: VideoContext | None) -> ClipTracks:
    with errors_in(file):
        document = check_type(load_json(file), dict, "its content")
        height, width = (required_integer(document, f"video_{side}") for side in ("height", "width"))
        listed = required_integer(document, "video_frame_count")
        picture = checked_image(0, file.stem, height, width, "the video")
        annotated = required(document, "masklet", list)
        frames = listed if video is None else video.info.frames
        step = _step(len(annotated), frames)
        info = VideoInfo(file.stem, height, width, frames, _rate(document, listed))
        check_video(info)
        masks = _masks(document, annotated, picture, step)
        clip = ClipTracks(
            info,
            build_tracks(info, range(0, frames, step), masks),
            provenance={"layout": NAME},
            notes=(f"{file.name}: every {_STEP}th frame is annotated",) if step > 1 else (),
        )
        check_clip(clip)
    return clip


def _step(annotated: int, frames: int) -> int:
    for step in (1, _STEP):
        if annotated and annotated == -(-frames // step):
            return step
    raise FieldError(
        f"masklet has {annotated} frames for a video of {frames}; every frame, or every {_STEP}th from 0, must be "
        "annotated. Pass the video of these masks"
    )


def _rate(document: Record, frames: int) -> float:
    duration = optional(document, "video_duration", (int, float))
    rate = frames / duration if duration else _FPS
    return rate if 1 <= rate <= 1000 else _FPS


def _masks(
    document: Record, annotated: list[Record], picture: ImageEntry, step: int
) -> dict[int, dict[int, Rle | None]]:
    first = check_type(annotated[0], list, "masklet[0]")
    ids = optional(document, "masklet_id", list) or list(range(len(first)))
    masks: dict[int, dict[int, Rle | None]] = {integer(number, "masklet_id"): {} for number in ids}
    if len(masks) < len(ids):
        raise FieldError("masklet_id lists an id twice; give every object a different id")
    for place, of_frame in enumerate(annotated):
        where = f"masklet[{place}]"
        if len(check_type(of_frame, list, where)) != len(masks):
            raise FieldError(f"{where} has {len(of_frame)} masks for {len(masks)} objects; write one for each")
        for number, entry in zip(masks, of_frame, strict=True):
            mask = None if entry is None else read_mask(entry, picture, f"{where}, object {number}")
            if mask is None or mask.area():
                masks[number][place * step] = mask
    return masks
