"""Command line: ``python -m dataset_gen --out DIR --scenes N --seed S``."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from dataset_gen.assets import SPLITS
from dataset_gen.jobs import Run, generate
from dataset_gen.sample import PRESETS
from dataset_gen.verify import verify
from vidamodal.types import InputError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 for a failure, 2 for bad arguments or a wrong folder."""
    parser = _parser()
    options = parser.parse_args(arguments)
    run = Run(
        scenes=options.scenes,
        seed=options.seed,
        split=options.split,
        preset=options.preset,
        size=options.size,
        frames=options.frames,
        samples=options.samples,
        masks_only=options.masks_only,
    )
    try:
        _check(options)
        done = generate(run, options.out, options.workers, options.shard, options.quiet)
        agrees = not (done and options.verify) or _verified(options)
    except InputError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        print(f"{parser.prog}: failed: {reason}; the same command goes on from here", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{parser.prog}: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    if done:
        print(f"{options.out}: {run.scenes} scenes")
    else:
        unverified = "; nothing was verified yet" if options.verify else ""
        print(f"{options.out}: this part is done, others are missing{unverified}")
    return 0 if agrees else 1


def _verified(options: argparse.Namespace) -> bool:
    agrees = True
    for agreement in verify(options.out, options.verify, options.workers):
        print(agreement)
        agrees = agrees and agreement.holds
    return agrees


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m dataset_gen", description="Make videos with exact amodal truth.")
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="new folder, or one that this command has begun")
    add("--scenes", type=_at_least(1), required=True, metavar="N", help="number of scenes")
    add("--seed", type=_at_least(0), required=True, metavar="S", help="seed of the first scene; scene k has S + k")
    add("--split", choices=SPLITS, default="train", help="set of assets (default: train)")
    add("--preset", choices=sorted(PRESETS), default="movid_a", help="kind of scene (default: movid_a)")
    add("--workers", type=_at_least(1), default=1, metavar="W", help="scenes at a time (default: 1)")
    add("--size", type=_at_least(16), default=256, help="side of the square frames in pixels, even (default: 256)")
    add("--frames", type=_at_least(1), default=24, help="frames a scene (default: 24)")
    add("--samples", type=_at_least(1), default=16, help="rays a pixel (default: 16)")
    add("--shard", type=_part, default=(0, 1), metavar="i/n", help="make the i-th (from 0) of n parts of the shards")
    add("--verify", type=_at_least(0), default=0, metavar="N", help="check N scenes' masks against Blender's own")
    add("--masks-only", action="store_true", help="settled scenes and meshes without pictures; needs no Blender")
    add("--quiet", action="store_true", help="no progress bar")
    return parser


def _check(options: argparse.Namespace) -> None:
    if options.size % 2:
        raise InputError(f"--size {options.size}: H.264 needs an even size; give {options.size + 1}")
    if options.masks_only and options.shard != (0, 1):
        raise InputError("--shard: mask-only worlds are one file; give parts different seeds and folders")
    if options.masks_only and options.verify:
        raise InputError("--verify: mask-only worlds have no masks to check; leave out one of the two")
    needed = ["pybullet", "kubric"] if options.masks_only else ["pybullet", "kubric", "bpy"]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"{', '.join(missing)} not installed; run `make datagen`, or install the extra [datagen]")


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return number


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
