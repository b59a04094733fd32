"""The command ``export``: write a data set in another layout.

``python -m dataset_gen export DIR --layout movid-a --out DIR2`` writes the layout of MOViD-A.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from tqdm import tqdm

from dataset_gen.assets import SPLITS
from dataset_gen.options import PROGRAM
from vidamodal.commandline import Parser
from vidamodal.formats import Clip, find_dataset
from vidamodal.formats.videos.movid_a import write_split
from vidamodal.types import InputError

Layout = Literal["movid-a"]


def export_movid_a(
    dataset: str | os.PathLike[str], out: str | os.PathLike[str], split: str | None = None, quiet: bool = True
) -> dict[str, int]:
    """Write a data set in the layout of MOViD-A, without its scene files.

    Args:
        dataset: A data set in any supported layout.
        out: Output folder. A split is written completely or not at all.
        split: Split of all clips. None for the beginning of each key, such as ``test`` for "test-00000012".
        quiet: True for no progress bar.

    Returns:
        The number of videos of each split.

    Raises:
        InputError: A key names no split, or a clip does not fit into the layout.
    """
    splits: dict[str, list[Clip]] = {}
    for key, clip in find_dataset(dataset).clips.items():
        name = split or key.partition("-")[0]
        if split is None and name not in SPLITS:
            raise InputError(
                f"{dataset}: the key {key!r} does not begin with a split ({', '.join(SPLITS)}). "
                "Name the split to export all clips to."
            )
        splits.setdefault(name, []).append(clip)
    return {
        name: write_split(out, tqdm(clips, desc=name, unit="video", disable=quiet), name)
        for name, clips in splits.items()
    }


def main(arguments: Sequence[str]) -> int:
    """Run ``python -m dataset_gen export`` and return the exit status."""
    parser = Parser(
        prog=f"{PROGRAM} export",
        description="Write a data set in another layout.\n\n"
        f"example:\n  {PROGRAM} export data/test --layout movid-a --out data/test-movid-a\n",
    )
    add = parser.add_argument
    add("dataset", type=Path, metavar="DIR", help="data set of this package or in any other supported layout")
    add("--layout", choices=get_args(Layout), required=True, help="layout to write")
    add("--out", type=Path, required=True, metavar="DIR2", help="folder to write to")
    add("--split", help="split of all clips (default: the beginning of each key)")
    add("--quiet", action="store_true", help="show no progress bar")
    options = parser.parse_args(arguments)
    counts = export_movid_a(options.dataset, options.out, options.split, options.quiet)
    print(f"{options.out}: " + ", ".join(f"{name} with {count} videos" for name, count in counts.items()))
    return 0
