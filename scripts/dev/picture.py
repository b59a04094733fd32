"""Draw the README's moving picture: what is seen on the left, the completed objects on the right.

`python -m scripts.dev.picture [VIDEO TRACKS] [--out docs/demo.gif]`: by default the bundled clip, completed anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import vidamodal
from vidamodal.demo import sample_clip
from vidamodal.formats.tracks import read_tracks
from vidamodal.media.video import open_video
from vidamodal.report.gif import save_gif
from vidamodal.report.overlay import object_masks_at
from vidamodal.report.sheet import side_by_side


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", help="a video, with the tracks that were predicted for it")
    parser.add_argument("tracks", nargs="?")
    parser.add_argument("--out", type=Path, default=Path("docs/demo.gif"))
    options = parser.parse_args()
    if options.video is None:
        video, truth = sample_clip()
        result = vidamodal.predict(video, truth)
    else:
        video, result = options.video, read_tracks(options.tracks)
    reader = open_video(video)
    frames = [side_by_side(frame, object_masks_at(result, t)) for t, frame in enumerate(reader.frames())]
    save_gif(options.out, [*frames, *frames[-2:0:-1]], fps=8, max_width=600)  # there and back again


if __name__ == "__main__":
    main()
