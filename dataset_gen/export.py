"""A data set of this package in another layout: ``python -m dataset_gen export DIR --layout movid-a --out DIR2``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from dataset_gen.assets import SPLITS
from dataset_gen.options import PROGRAM, Parser
from vidamodal.formats import Clip, find_dataset
from vidamodal.formats.videos.movid_a import write_movid_a
from vidamodal.types import InputError


def export_movid_a(
    dataset: str | os.PathLike[str], out: str | os.PathLike[str], split: str | None = None, quiet: bool = True
) -> dict[str, int]:
    """Writes a data set, in any layout that is read, in that of MOViD-A; returns the number of videos of each split.

    A clip's split is the beginning of its key ("test-00000012"), or ``split`` for all. Scene files (``scene.json``)
    stay behind. InputError on what the layout cannot hold; a split is written whole or not at all.
    """
    splits: dict[str, list[Clip]] = {}
    for key, clip in find_dataset(dataset).clips.items():
        name = split or key.partition("-")[0]
        if split is None and name not in SPLITS:
            raise InputError(
                f"{dataset}: the key {key!r} does not begin with a split ({', '.join(SPLITS)}); give --split"
            )
        splits.setdefault(name, []).append(clip)
    return {
        name: write_movid_a(out, tqdm(clips, desc=name, unit="video", disable=quiet), name)
        for name, clips in splits.items()
    }


def main(arguments: Sequence[str]) -> int:
    """Run ``python -m dataset_gen export``; returns the exit status. Raises InputError for bad input."""
    parser = Parser(prog=f"{PROGRAM} export", description="Write a data set in another layout.")
    add = parser.add_argument
    add("dataset", type=Path, metavar="DIR", help="a data set of this package, or in any other layout that is read")
    add("--layout", choices=["movid-a"], required=True, help="layout to write")
    add("--out", type=Path, required=True, metavar="DIR2", help="folder to write to")
    add("--split", help="split of all clips (default: the beginning of each key)")
    add("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    counts = export_movid_a(options.dataset, options.out, options.split, options.quiet)
    print(f"{options.out}: " + ", ".join(f"{name} of {count} videos" for name, count in counts.items()))
    return 0
