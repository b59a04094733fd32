"""Draw the layers of tracks from any head: one row a frame, the picture first, then what lies in each layer.

    python -m scripts.experiments.layers VIDEO TRACKS [TRACKS ...] [--frames 0 12] [--out layers.png]

Several files of tracks (the truth, say, and what was found) take a row each under the same frame.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vidamodal.formats.tracks import read_tracks
from vidamodal.media.images import save_png
from vidamodal.media.video import open_video
from vidamodal.occlusion.layers import layers_of_clip
from vidamodal.report.overlay import enlarge_frame, object_masks_at, render_overlay
from vidamodal.report.sheet import contact_sheet
from vidamodal.types import InputError


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("tracks", nargs="+", type=Path)
    parser.add_argument("--frames", nargs="+", type=int, default=[0])
    parser.add_argument("--deepest", type=int, default=6, help="the last layer that is drawn")
    parser.add_argument("--out", type=Path, default=Path("layers.png"))
    options = parser.parse_args()
    try:
        sheet(options)
    except InputError as error:
        raise SystemExit(f"layers.py: {error}") from None


def sheet(options: argparse.Namespace) -> None:
    """Draw it. InputError for files that cannot be read and frames that there are not."""
    reader, clips = open_video(options.video), [read_tracks(path) for path in options.tracks]
    for path, clip in zip(options.tracks, clips, strict=True):
        beyond = [t for t in options.frames if not 0 <= t < min(clip.video.frames, reader.info.frames)]
        if beyond:
            raise InputError(f"--frames: {path} has no frame {beyond[0]}")
    pictures = {t: frame for t, frame in enumerate(reader.frames()) if t in options.frames}
    layers = [layers_of_clip(clip) for clip in clips]
    columns = min(options.deepest, max(max(at[t].values(), default=1) for at in layers for t in options.frames))
    panels, titles = [], []
    for t in options.frames:
        dark = (0.35 * pictures[t]).astype(pictures[t].dtype)
        for path, clip, at in zip(options.tracks, clips, layers, strict=True):
            objects = object_masks_at(clip, t)
            panels.append(enlarge_frame(pictures[t]))
            titles.append(f"{path.stem} {t}")
            for layer in range(1, columns + 1):
                panels.append(render_overlay(dark, [each for each in objects if at[t].get(each.id) == layer]))
                titles.append(f"layer {layer}")
    save_png(options.out, contact_sheet(panels, columns + 1, titles))


if __name__ == "__main__":
    main()
