"""Render the moving picture of the README, docs/demo.gif: visible masks on the left, completed objects on the right.

    python -m scripts.dev.picture [VIDEO TRACKS] [--out docs/demo.gif]

By default the bundled clip is predicted with the bundled model.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import vidamodal
from vidamodal.commandline import Parser, run_command
from vidamodal.demo import sample_clip
from vidamodal.media.video import open_video
from vidamodal.report.gif import save_gif
from vidamodal.report.overlay import object_masks_at
from vidamodal.report.sheet import side_by_side
from vidamodal.tracks import read_tracks


def main() -> None:
    """Parse the command line and write the picture."""
    parser = Parser(prog="python -m scripts.dev.picture", description=__doc__)
    parser.add_argument("video", nargs="?", help="a video")
    parser.add_argument("tracks", nargs="?", help="the tracks predicted for it")
    parser.add_argument("--out", type=Path, default=Path("docs/demo.gif"), help="picture to write")
    options = parser.parse_args()
    raise SystemExit(run_command(lambda: write_picture(options), "picture"))


def write_picture(options: Namespace) -> None:
    """Write the picture; it plays forwards and backwards."""
    if options.video is None:
        video, truth = sample_clip()
        tracks = vidamodal.predict(video, truth).clip
    else:
        video, tracks = options.video, read_tracks(options.tracks)
    reader = open_video(video)
    frames = [side_by_side(frame, object_masks_at(tracks, t)) for t, frame in enumerate(reader.frames())]
    save_gif(options.out, [*frames, *frames[-2:0:-1]], fps=8, max_width=600)


if __name__ == "__main__":
    main()
