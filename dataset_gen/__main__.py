"""Command line: ``python -m dataset_gen --out DIR --scenes N --seed S``, and commands for finished data sets."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from jsonargparse import Namespace

from dataset_gen.assets import SPLITS
from dataset_gen.generate import Workers, generate
from dataset_gen.library import open_temporary_library
from dataset_gen.options import (
    PROGRAM,
    RESUME_HINT,
    add_assets,
    add_workers,
    at_least,
    check_installed,
    split_manifests,
)
from dataset_gen.presets import PLACE_FRAMES, PRESET_NAMES, is_place
from dataset_gen.run import Run
from dataset_gen.verify import summarize, verify
from dataset_gen.views import parse_histogram
from dataset_gen.work_folder import ALL_SHARDS, Part
from vidamodal.commandline import Parser, run_command
from vidamodal.types import InputError

COMMANDS = {
    "assets": "asset_catalogue",
    "benchmark": "benchmark",
    "card": "card",
    "export": "export",
}
"""Commands other than generation, with their modules. Each module has a function ``main(arguments)``."""

_DESCRIPTION = f"""
Generate videos with exact amodal ground truth.

examples:
  {PROGRAM} --out data/test --scenes 24 --seed 900000 --split test
  {PROGRAM} --out data/worlds --scenes 1500 --seed 100000 --masks-only
  {PROGRAM} --out data/worlds-street --scenes 400 --seed 700000 --masks-only --preset street

other commands ({PROGRAM} COMMAND --help):
  card       describe a finished data set in numbers and pictures
  export     write a finished data set in another layout
  benchmark  generate a benchmark set and compare its hash
  assets     write the offline assets as a Kubric manifest, or list assets with their licences
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status (``vidamodal.commandline.run_command``)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in COMMANDS:
        command = words[0]
        module = importlib.import_module(f"dataset_gen.{COMMANDS[command]}")
        hint = RESUME_HINT if command == "benchmark" else ""
        return run_command(partial(module.main, words[1:]), f"{PROGRAM} {command}", hint)
    return run_command(partial(_generate, words), PROGRAM, RESUME_HINT)


def _generate(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    _check(options)
    run = _run(options)
    workers = Workers(options.workers, options.executor)
    outcome = generate(run, options.out, workers, options.shard or ALL_SHARDS, options.quiet)
    if outcome.timing:
        print(outcome.timing)
    if not outcome.is_finished:
        unverified = "; nothing was verified yet" if options.verify else ""
        print(f"{options.out}: this part is finished, others are missing{unverified}")
        return 0
    agreements = []
    for agreement in verify(options.out, options.verify, options.workers, run.manifests) if options.verify else ():
        print(agreement)
        agreements.append(agreement)
    print(summarize(agreements) if agreements else f"{options.out}: {run.scenes} scenes")
    return 0 if all(agreement.is_sufficient for agreement in agreements) else 1


def _run(options: Namespace) -> Run:
    manifests = split_manifests(options.assets)
    with open_temporary_library(manifests) as library:
        identity = library.identity
        library.ids(options.split)  # InputError if the library has nothing for the split
        library.maps(options.split)
    return Run(
        scenes=options.scenes,
        seed=options.seed,
        split=options.split,
        preset=options.preset,
        size=options.size,
        frames=options.frames or (PLACE_FRAMES if options.masks_only and is_place(options.preset) else 24),
        samples=options.samples,
        masks_only=options.masks_only,
        depth=options.depth,
        assets=identity,
        manifests=manifests,
        hidden=_histogram(options.hidden),
        canvas=options.canvas,
    )


def _histogram(text: str | None) -> tuple[float, ...]:
    try:
        return parse_histogram(text) if text else ()
    except InputError as error:
        raise InputError(f"--hidden: {error}") from None


def _parser() -> Parser:
    parser = Parser(prog=PROGRAM, description=_DESCRIPTION)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="new folder, or the folder of an interrupted run")
    add("--scenes", type=at_least(1), required=True, metavar="N", help="number of scenes")
    add("--seed", type=at_least(0), required=True, metavar="S", help="seed of the first scene; scene k has S + k")
    add("--split", choices=SPLITS, default="train", help="set of assets")
    add(
        "--preset",
        choices=PRESET_NAMES,
        default="movid_a",
        help="kind of scene; street, room and field need no physics",
    )
    add("--size", type=at_least(16), default=256, help="height of the frames in pixels, even; heaps are square")
    add("--frames", type=at_least(1), help=f"frames per scene (default: 24; mask-only places: {PLACE_FRAMES})")
    add("--samples", type=at_least(1), default=16, help="rays per pixel")
    add("--shard", type=_part, metavar="i/n", help="make only every n-th shard, beginning with shard i (from 0)")
    add("--verify", type=at_least(0), default=0, metavar="N", help="compare the masks of N scenes with Blender's")
    add("--masks-only", action="store_true", help="make settled scenes and meshes without images; needs no Blender")
    add(
        "--hidden", metavar="A,B,...", help="choose cameras by a histogram of occluded fractions: weights of equal bins"
    )
    add("--canvas", type=at_least(0), default=0, metavar="P", help="add amodal masks P pixels beyond the image borders")
    add("--depth", action="store_true", help="add the depth of every pixel")
    add_assets(parser)
    add_workers(parser)
    return parser


def _check(options: Namespace) -> None:
    if options.size % 2:
        raise InputError(f"--size {options.size}: H.264 needs an even size. Use {options.size + 1}.")
    if options.masks_only:
        if options.shard and options.shard != ALL_SHARDS:
            raise InputError("--shard: mask-only worlds are one file. Use different seeds and folders instead.")
        if options.verify:
            raise InputError("--verify: mask-only worlds contain no masks. Remove --verify or --masks-only.")
        if options.canvas:
            raise InputError("--canvas: mask-only worlds contain no masks. Remove --canvas or --masks-only.")
        if options.depth:
            raise InputError("--depth: mask-only worlds contain no depth. Remove --depth or --masks-only.")
    if is_place(options.preset):
        if options.hidden:
            raise InputError(f"--hidden: the camera of a {options.preset} belongs to what it films. Remove --hidden.")
        check_installed(*([] if options.masks_only else ["kubric", "bpy"]))
    else:
        check_installed("pybullet", "kubric", *([] if options.masks_only else ["bpy"]))


def _part(text: str) -> Part:
    try:
        index, count = (int(number) for number in text.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form i/n, such as 0/4") from None
    if not 0 <= index < count:
        raise argparse.ArgumentTypeError(f"{text}: i must be from 0 to n - 1")
    return Part(index, count)


if __name__ == "__main__":
    sys.exit(main())
