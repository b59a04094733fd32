"""Render the occlusion layers of tracks: one row per frame, the frame first, then the objects of each layer.

    python -m scripts.experiments.layers VIDEO TRACKS [TRACKS ...] [--frames 0 12] [--out layers.png]

Several files of tracks, such as the ground truth and a prediction, take one row each per frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scripts.experiments.common import experiment_parser, run_experiment
from vidamodal.errors import InputError
from vidamodal.media.images import save_png
from vidamodal.media.video import open_video
from vidamodal.occlusion.layers import layers_of_clip
from vidamodal.report.overlay import enlarge_frame, object_masks_at, render_overlay
from vidamodal.report.sheet import contact_sheet
from vidamodal.tracks import read_tracks
from vidamodal.types import Frame


def main() -> None:
    """Parse the command line and write the picture."""
    parser = experiment_parser("layers", __doc__)
    parser.add_argument("video")
    parser.add_argument("tracks", nargs="+", type=Path)
    parser.add_argument("--frames", nargs="+", type=int, default=[0], help="frame numbers, from 0")
    parser.add_argument("--deepest", type=int, default=6, help="deepest layer to show")
    parser.add_argument("--out", type=Path, default=Path("layers.png"), help="picture to write")
    options = parser.parse_args()

    def run() -> None:
        save_png(options.out, render_layers(options.video, options.tracks, options.frames, options.deepest))

    run_experiment("layers", run)


def render_layers(video: str, tracks: Sequence[Path], frames: Sequence[int], deepest: int) -> Frame:
    """Render the layers of some frames.

    Raises:
        InputError: A file cannot be read, or a frame lies beyond the end of the video or the tracks.
    """
    reader, clips = open_video(video), [read_tracks(path) for path in tracks]
    for path, clip in zip(tracks, clips, strict=True):
        beyond = [t for t in frames if not 0 <= t < min(clip.video.frames, reader.info.frames)]
        if beyond:
            raise InputError(f"{path} has no frame {beyond[0]}. Choose frames of this clip.")
    pictures = {t: frame for t, frame in enumerate(reader.frames()) if t in frames}
    layers = [layers_of_clip(clip) for clip in clips]
    columns = min(deepest, max(max(by_frame[t].values(), default=1) for by_frame in layers for t in frames))
    panels, titles = [], []
    for t in frames:
        dark = (0.35 * pictures[t]).astype(pictures[t].dtype)
        for path, clip, by_frame in zip(tracks, clips, layers, strict=True):
            objects = object_masks_at(clip, t)
            panels.append(enlarge_frame(pictures[t]))
            titles.append(f"{path.stem} {t}")
            for layer in range(1, columns + 1):
                panels.append(render_overlay(dark, [item for item in objects if by_frame[t].get(item.id) == layer]))
                titles.append(f"layer {layer}")
    return contact_sheet(panels, columns + 1, titles)


if __name__ == "__main__":
    main()
