"""Convert FISHBOWL's pickled annotations into tracks.json files.

    python -m scripts.dev.convert_fishbowl FILE --out DIR --trust [--frames FOLDER]

FILE is `<split>_data/<split>_data.pkl` as SaVos' notebook writes it: {"<video>_<fish>": {frame: {"VM": [RLE], "FM":
[RLE], "fish_type": name, ...}}} with visible masks VM and amodal masks FM. A pickle can run code when it is opened, so
--trust must confirm its origin; even then only numpy arrays and plain containers are accepted.

Writes `DIR/<video>.tracks.json`, and `<video>.mp4` with --frames, the folder of `<video>/%05d.png`. Without it a clip
ends with its last annotated frame. FISHBOWL omits annotations of fish that are small, occluded or cut off by the image,
so clips are not exhaustive, and frames without an annotation are unknown (null).

The format is taken from that notebook and from C2F-Seg's loader; it was not tested with the published file.
"""

from __future__ import annotations

import pickle
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from vidamodal.commandline import Parser, run_command
from vidamodal.errors import InputError
from vidamodal.formats.build import unite_visible
from vidamodal.media.files import write_text
from vidamodal.media.json_records import FieldError, check_type, excerpt, optional, required
from vidamodal.media.video import FOLDER_FPS, open_video
from vidamodal.media.video_writer import write_video
from vidamodal.tracks import dumps_tracks
from vidamodal.tracks.check import MAX_FRAMES
from vidamodal.tracks.parse import parse_rle
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo

HEIGHT, WIDTH = 320, 480
_ADMITTED = {
    (f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")
} | {("numpy", "ndarray"), ("numpy", "dtype")}


class PlainUnpickler(pickle.Unpickler):
    """An unpickler that accepts numpy arrays and no other names of any module."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a callable that pickled numpy arrays need; raise pickle.UnpicklingError for any other."""
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(
                f"it refers to {module}.{name}, which is neither an array nor a plain container"
            )
        return super().find_class(module, name)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 2 without --trust or for a file that is not FISHBOWL's."""
    parser = Parser(prog="python -m scripts.dev.convert_fishbowl", description=__doc__)
    parser.add_argument("file", type=Path, help="<split>_data.pkl")
    parser.add_argument("--out", type=Path, required=True, help="folder to write <video>.tracks.json to")
    parser.add_argument("--frames", type=Path, help="folder with a folder of frames per video; writes <video>.mp4")
    parser.add_argument("--trust", action="store_true", help="open the pickle, which can run code")
    parser.add_argument("--quiet", action="store_true", help="hide the progress bar")
    options = parser.parse_args(arguments)

    def run() -> None:
        if not options.trust:
            raise InputError(f"{options.file}: a pickle can run code when it is opened. If you trust it, add --trust.")
        count = convert(options.file, options.out, options.frames, options.quiet)
        print(f"{options.out}: {count} videos")

    return run_command(run, "convert_fishbowl")


def convert(file: Path, out: Path, frames: Path | None = None, quiet: bool = True) -> int:
    """Open a trusted pickle, write its videos and return their number.

    Args:
        file: The pickle.
        out: Folder to write to.
        frames: Folder with a folder of frames per video, if videos are written too.
        quiet: Hide the progress bar.

    Raises:
        InputError: The file does not exist or has another content.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such file. Pass <split>_data.pkl.")
    with file.open("rb") as handle:
        data = load_plain(handle, str(file))
    try:
        videos: dict[str, dict[int, dict[int, Any]]] = defaultdict(dict)
        for name, fish in check_type(data, dict, "its content").items():
            match = re.fullmatch("([0-9]{1,9})_([0-9]{1,9})", str(name))
            if match is None or int(match[2]) in videos[match[1]]:
                raise FieldError(f"the key {str(name)!r:.40} is not a new <video>_<fish>, such as 00043_7")
            videos[match[1]][int(match[2])] = check_type(fish, dict, match[0])
        for video, fishes in tqdm(sorted(videos.items()), desc="convert", unit="video", disable=quiet):
            _convert_video(video, fishes, out, frames)
    except FieldError as error:
        raise InputError(f"{file}: {error}. Pass <split>_data.pkl.") from None
    return len(videos)


def load_plain(handle: IO[bytes], name: str) -> Any:
    """Return the content of a pickle of arrays and plain containers.

    Raises:
        InputError: The pickle is damaged or holds anything else.
    """
    try:
        return PlainUnpickler(handle).load()
    except Exception as error:  # a damaged pickle can raise nearly any exception
        raise InputError(
            f"{name}: not a pickle of plain data ({' '.join(str(error).split())}). Pass an undamaged file."
        ) from None


def _convert_video(video: str, fishes: dict[int, Any], out: Path, frames: Path | None) -> None:
    reader = None if frames is None else open_video(frames / video)
    last = max((_number(t, f"{video}: frame") for fish in fishes.values() for t in fish), default=0)
    length = last + 1 if reader is None else reader.info.frames
    if last >= length:
        raise FieldError(f"{video}: frame {last} is annotated, but its folder has {length} frames")
    fps = FOLDER_FPS if reader is None else reader.info.fps
    tracks = tuple(_track(number, fish, length, f"{video}_{number}") for number, fish in sorted(fishes.items()))
    clip = unite_visible(ClipTracks(VideoInfo(f"{video}.mp4", HEIGHT, WIDTH, length, fps), tracks), "FISHBOWL")
    if reader is not None:
        write_video(out / f"{video}.mp4", reader.frames(), fps, crf=12)
    write_text(out / f"{video}.tracks.json", dumps_tracks(clip))


def _track(number: int, fish: dict[int, Any], length: int, where: str) -> Track:
    visible: list[Rle | None] = [None] * length
    amodal: list[Rle | None] = [None] * length
    labels: set[str | None] = set()
    for t, record in fish.items():
        at = f"{where}, frame {t}: "
        check_type(record, dict, at)
        visible[t], amodal[t] = (_mask(required(record, key, list, at), f"{at}{key}") for key in ("VM", "FM"))
        labels.add(optional(record, "fish_type", str, at))
    return Track(number, tuple(visible), tuple(amodal), label=labels.pop() if len(labels) == 1 else None)


def _mask(entries: list[Any], where: str) -> Rle:
    """Parse a mask: COCO's encoder returns a list of one RLE, with counts in bytes, for an array (h, w, 1)."""
    if len(entries) != 1 or not isinstance(entries[0], dict):
        raise FieldError(f"{where} must be a list of one RLE")
    size, counts = list(entries[0].get("size", ())), entries[0].get("counts")
    text = counts.decode("latin-1") if isinstance(counts, bytes) else counts
    return parse_rle({"size": size, "counts": text}, HEIGHT, WIDTH, where)


def _number(value: Any, where: str) -> int:
    if type(value) is not int or not 0 <= value < MAX_FRAMES:
        raise FieldError(f"{where} {excerpt(value)} is not a frame number, counted from 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
