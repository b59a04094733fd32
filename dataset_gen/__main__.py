"""Command line: ``python -m dataset_gen --out DIR --scenes N --seed S``, and commands on what that has made."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from dataset_gen.assets import SPLITS
from dataset_gen.jobs import Run, generate
from dataset_gen.library import borrow_library
from dataset_gen.options import PROGRAM, Parser, add_assets, add_executor, at_least, check_installed
from dataset_gen.sample import PRESETS
from dataset_gen.steer import parse_histogram
from dataset_gen.verify import overall, verify
from vidamodal.types import InputError

COMMANDS = {
    "assets": "write the offline assets as a Kubric manifest, or list them with licences and sources",
    "benchmark": "make a named set of scenes, and compare it with the one that others have",
    "export": "write a finished data set in another layout (movid-a)",
    "card": "describe a finished data set in numbers and pictures",
}
"""Commands beside the making of scenes: each is a module with a function ``main(arguments)`` that runs it."""

_MODULES = {"assets": "catalogue"}  # those that are not named as their command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 for a failure, 2 for bad arguments or a wrong folder."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = words[0] if words and words[0] in COMMANDS else None
    name = f"{PROGRAM} {command}" if command else PROGRAM
    try:
        if command:
            return importlib.import_module(f"dataset_gen.{_MODULES.get(command, command)}").main(words[1:])
        return _make(_parser().parse_args(words))
    except InputError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except (OSError, RuntimeError) as error:
        print(f"{name}: failed: {' '.join(str(error).split())}; the same command goes on from here", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: stopped; the same command goes on from here", file=sys.stderr)
        return 130


def _make(options: argparse.Namespace) -> int:
    _check(options)
    with borrow_library(options.assets) as library:
        identity = library.identity
        library.ids(options.split)  # InputError where it has nothing for the split
        library.maps(options.split)
    run = Run(
        scenes=options.scenes,
        seed=options.seed,
        split=options.split,
        preset=options.preset,
        size=options.size,
        frames=options.frames,
        samples=options.samples,
        masks_only=options.masks_only,
        depth=options.depth,
        assets=identity,
        manifests=tuple(options.assets),
        hidden=parse_histogram(options.hidden) if options.hidden else (),
        canvas=options.canvas,
    )
    outcome = generate(run, options.out, options.workers, options.shard, options.quiet, options.executor)
    if outcome.timing:
        print(outcome.timing)
    if not outcome.finished:
        unverified = "; nothing was verified yet" if options.verify else ""
        print(f"{options.out}: this part is done, others are missing{unverified}")
        return 0
    agreements = []
    for agreement in verify(options.out, options.verify, options.workers, run.manifests) if options.verify else ():
        print(agreement)
        agreements.append(agreement)
    print(overall(agreements) if agreements else f"{options.out}: {run.scenes} scenes")
    return 0 if all(agreement.holds for agreement in agreements) else 1


def _parser() -> argparse.ArgumentParser:
    listed = "; ".join(f"`{name}`: {what}" for name, what in COMMANDS.items())
    parser = Parser(prog=PROGRAM, description="Make videos with exact amodal truth.", epilog=f"Commands: {listed}.")
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="new folder, or one that this command has begun")
    add("--scenes", type=at_least(1), required=True, metavar="N", help="number of scenes")
    add("--seed", type=at_least(0), required=True, metavar="S", help="seed of the first scene; scene k has S + k")
    add("--split", choices=SPLITS, default="train", help="set of assets (default: train)")
    add("--preset", choices=sorted(PRESETS), default="movid_a", help="kind of scene (default: movid_a)")
    add("--size", type=at_least(16), default=256, help="side of the square frames in pixels, even (default: 256)")
    add("--frames", type=at_least(1), default=24, help="frames a scene (default: 24)")
    add("--samples", type=at_least(1), default=16, help="rays a pixel (default: 16)")
    add("--shard", type=_part, default=(0, 1), metavar="i/n", help="make the i-th (from 0) of n parts of the shards")
    add("--verify", type=at_least(0), default=0, metavar="N", help="check N scenes' masks against Blender's own")
    add("--masks-only", action="store_true", help="settled scenes and meshes without pictures; needs no Blender")
    add("--hidden", metavar="A,B,...", help="wanted histogram of hidden shares: weights of equal bins from 0 to 1")
    add("--canvas", type=at_least(0), default=0, metavar="P", help="tell amodal masks P pixels beyond the borders too")
    add("--depth", action="store_true", help="add the depth of every pixel")
    add_assets(parser)
    add_executor(parser)
    return parser


def _check(options: argparse.Namespace) -> None:
    if options.size % 2:
        raise InputError(f"--size {options.size}: H.264 needs an even size; give {options.size + 1}")
    if options.masks_only and options.shard != (0, 1):
        raise InputError("--shard: mask-only worlds are one file; give parts different seeds and folders")
    if options.masks_only and options.verify:
        raise InputError("--verify: mask-only worlds have no masks to check; leave out one of the two")
    if options.masks_only and options.canvas:
        raise InputError("--canvas: mask-only worlds hold no masks; leave out one of the two")
    if options.masks_only and options.depth:
        raise InputError("--depth: mask-only worlds have no depth, their meshes give it; leave out one of the two")
    check_installed("pybullet", "kubric", *([] if options.masks_only else ["bpy"]))


def _part(text: str) -> tuple[int, int]:
    try:
        index, count = (int(number) for number in text.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not i/n, as in 0/4") from None
    if not 0 <= index < count:
        raise argparse.ArgumentTypeError(f"{text}: i must be from 0 to n - 1")
    return index, count


if __name__ == "__main__":
    sys.exit(main())
