"""The command line: `vidamodal predict | evaluate | convert | train | demo`, each one function of the package.

Exit status 0 on success, 2 with one line on stderr for bad input or arguments, 1 for a failure of disk or program, 130
and 143 where a key or a signal ended it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from jsonargparse import Namespace

from vidamodal.allocator import keep_freed_memory
from vidamodal.commandline import Parser, run_command
from vidamodal.errors import InputError

_FORMATS = "burst, coco, davis, movid-a, sav, shards, tao-amodal, tracks, youtube-vis"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and leave with its exit status."""
    keep_freed_memory()
    sys.exit(run_command(partial(_run, list(sys.argv[1:] if arguments is None else arguments)), "vidamodal"))


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["train"]:  # its options are the fields of the config, read by jsonargparse
        from vidamodal.training.trainer import main as train

        print(f"model: {train(arguments[1:])}")
        return 0
    parsed = _parser().parse_args(arguments)
    options = parsed[parsed.command]
    options.quiet |= not sys.stderr.isatty()  # a bar is for people: what else reads stderr wants one line
    return _COMMANDS[parsed.command](options)


def _parser() -> Parser:
    parser = Parser(prog="vidamodal", description="Whole masks of objects in video, also while they are hidden.")
    commands = parser.add_subcommands(dest="command")

    predict = Parser(description="video and visible masks in, or a bare video, amodal tracks out")
    commands.add_subcommand("predict", predict, help="video and visible masks in, or a bare video, amodal tracks out")
    predict.add_argument("video", help="a video file, a folder of frames, or an image")
    visible = predict.add_mutually_exclusive_group()
    visible.add_argument(
        "--masks",
        help="visible masks: a tracks.json, a folder of PNGs (DAVIS or SA-V), or an .npz; with --sam, SAM 2 follows "
        "them into the frames where they are not known, such as all after a masked first one. Without any of --masks, "
        "--detect, --points and --boxes, the bundled segmenter detects, or the one that --head or --model names is "
        "used alone: its own amodal masks are the result",
    )
    visible.add_argument(
        "--detect",
        nargs="?",
        const=True,
        metavar="SEGMENTER",
        help="find the objects with a segmenter of bare frames: a model folder, a bundled name, or owner/name on the "
        "Hub (default: the bundled one)",
    )
    visible.add_argument(
        "--points",
        metavar="FILE",
        help='JSON, pixels: {"objects": [{"id": 1, "frame": 0, "points": [[x, y], ...], "labels": [1, 0, ...]}, ...]}, '
        "label 1 on the object and 0 beside it; SAM 2 follows each object from there on",
    )
    visible.add_argument(
        "--boxes",
        metavar="FILE",
        help='likewise: {"objects": [{"id": 1, "frame": 0, "box": [x0, y0, x1, y1]}, ...]}',
    )
    predict.add_argument(
        "--sam",
        metavar="MODEL",
        help="SAM 2 video model: a folder, or a name on the Hub (default: facebook/sam2.1-hiera-tiny)",
    )
    predict.add_argument(
        "--diffsp",
        metavar="MODEL",
        help="Stable-Diffusion inpainting model, a folder or a name on the Hub, for the shape prior of a segmenter of "
        "the head aisdiff (default: its own)",
    )
    predict.add_argument("--out", required=True, help="folder to write to; an earlier result there is replaced")
    predict.add_argument("--model", default="tiny", help="a model folder, a bundled name, or owner/name on the Hub")
    predict.add_argument("--head", help="head of the model (default: its own), or a segmenter that is used alone")
    predict.add_argument("--device", default="auto", help="auto | cpu | cuda (default: auto)")
    predict.add_argument("--order", help="a tracks.json that tells who lies in front, for a model that reads it")
    predict.add_argument("--seed", type=int, default=0, help="seed of drawn hypotheses (default: 0)")
    predict.add_argument("--hypotheses", type=int, default=1, metavar="K", help="completions a track (default: 1)")
    predict.add_argument(
        "--formats", default="tracks,png,overlay", help="of tracks, png, overlay, masks (default: tracks,png,overlay)"
    )
    scene = predict.add_mutually_exclusive_group()
    scene.add_argument("--partial", action="store_true", help="other things than the listed objects may hide them")
    scene.add_argument("--exhaustive", action="store_true", help="every object that may hide another is listed")

    evaluate = Parser(description="score predictions against truth")
    commands.add_subcommand("evaluate", evaluate, help="score predictions against truth")
    evaluate.add_argument(
        "--pred",
        required=True,
        type=Path,
        action="append",
        help="a tracks.json, a folder of them, shards, or any other layout that is read; given again: further methods, "
        "compared with the first",
    )
    evaluate.add_argument("--truth", required=True, type=Path, help="in any layout that is read, likewise")
    evaluate.add_argument("--out", type=Path, help="metrics.json to write")
    evaluate.add_argument("--report", type=Path, help="report.html to write: tables, plots and film strips of tracks")
    evaluate.add_argument("--allow-missing", action="store_true", help="what is not predicted scores 0")
    evaluate.add_argument(
        "--match", choices=["visible"], help="match tracks by their visible masks (IoU from 0.5 up), not by their ids"
    )

    convert = Parser(description="masks of one format in another")
    commands.add_subcommand("convert", convert, help="masks of one format in another")
    convert.add_argument("source", type=Path, help="a data set or predictions in any layout that is read")
    convert.add_argument("--to", required=True, metavar="FORMAT", help=f"one of {_FORMATS}")
    convert.add_argument("--out", required=True, type=Path, help="file or folder to write, where nothing is yet")
    convert.add_argument(
        "--what",
        choices=["visible", "amodal"],
        default="visible",
        help="the masks that a format with one mask an object holds, read or written (default: visible)",
    )
    convert.add_argument("--from", dest="layout", metavar="FORMAT", help="format of the source, where it does not show")
    convert.add_argument("--video", help="video or folder of frames of a source that holds the masks of one")

    demo = Parser(description="complete the bundled clip and score it")
    commands.add_subcommand("demo", demo, help="complete the bundled clip and score it")
    demo.add_argument("--out", type=Path, default=Path("demo"), help="folder to write to (default: demo)")
    commands.add_subcommand("train", Parser(), help="train a model: --config FILE [--section.key value ...]")
    for command in (predict, evaluate, convert, demo):
        command.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def _predict(options: Namespace) -> int:
    from vidamodal.inference.api import predict

    result = predict(
        options.video,
        options.masks,
        options.out,
        detect=options.detect,
        points=options.points,
        boxes=options.boxes,
        sam=options.sam,
        diffsp=options.diffsp,
        model=options.model,
        head=options.head,
        device=options.device,
        seed=options.seed,
        hypotheses=options.hypotheses,
        formats=options.formats.split(","),
        order=options.order,
        exhaustive=True if options.exhaustive else False if options.partial else None,
        quiet=options.quiet,
    )
    run = json.loads((Path(options.out) / "run.json").read_text())
    spent = sum(run["seconds"].values()) - run["seconds"]["start"]
    canvas, size = run.get("canvas"), f"{result.video.height} x {result.video.width}"
    if canvas is not None and size != f"{canvas} x {canvas}":
        print(f"frames of {size} pixels are read on a canvas of {canvas} x {canvas} cells, masks are brought back")
    print(
        f"{options.out}: {len(result.tracks)} tracks over {result.video.frames} frames, "
        f"{run['object_frames']} object-frames in {spent:.1f} s, "
        f"{'exhaustive' if result.exhaustive else 'partial'} scene"
    )
    return 0


def _evaluate(options: Namespace) -> int:
    from vidamodal.media.files import write_text
    from vidamodal.metrics import tables
    from vidamodal.metrics.evaluate import evaluate

    names = _method_names(options.pred)
    first, *others = (
        evaluate(
            pred, options.truth, options.allow_missing, options.quiet, baselines=number == 0, match=bool(options.match)
        )
        for number, pred in enumerate(options.pred)
    )
    rest = dict(zip(names[1:], others, strict=True))
    if options.out is not None:
        write_text(options.out, first.to_json(rest))
    if options.report is not None:
        from vidamodal.report.html import Method, write_report

        methods = map(Method, names, options.pred, [first, *others])
        write_report(options.report, list(methods), options.truth, options.quiet)
    print(tables.format_table({names[0]: first.primary, **{n: e.primary for n, e in rest.items()}, **first.baselines}))
    print(f"per cent; {first.primary.object_frames} object-frames in {first.primary.videos} videos")
    if rest:
        print("\n" + tables.format_differences({name: other.difference_from(first) for name, other in rest.items()}))
    for name, result in {names[0]: first, **rest}.items():
        if rest:
            print(f"\n== {name} ==")
        print("\n" + tables.format_strata(result.strata))
        print("\n" + tables.format_protocols(result.protocols))
        print("\n" + tables.format_ranked(result.protocols, result.time))
        print("\n" + tables.format_temporal(result.time))
        if result.matched:
            print("\nmatched by what is visible: {} of {} predicted tracks".format(*result.matched))
        if result.missing:
            print(f"missing, scored 0: {', '.join(result.missing)}", file=sys.stderr)
        if result.ignored:
            print(f"not in the truth, ignored: {', '.join(result.ignored)}", file=sys.stderr)
    return 0


def _method_names(paths: Sequence[Path]) -> list[str]:
    """One is called prediction; several by the last parts of their paths that tell them apart."""
    if len(paths) == 1:
        return ["prediction"]
    whole = [path.absolute() for path in paths]
    for parts in range(1, max(len(path.parts) for path in whole) + 1):
        names = ["/".join(path.parts[-parts:]) for path in whole]
        if len(set(names)) == len(names):
            return names
    raise InputError(f"--pred {paths[0]}: given twice; give each prediction once")


def _convert(options: Namespace) -> int:
    from vidamodal.formats.convert import convert

    done = convert(
        options.source,
        options.out,
        options.to,
        kind=options.what,
        layout=options.layout,
        video=options.video,
        quiet=options.quiet,
    )
    print(f"{options.out}: {done.clips} clip{'s' * (done.clips != 1)} from {done.format}, written as {options.to}")
    if done.left_out:
        print(f"left out, as {options.to} has no place for them here: {', '.join(done.left_out)}", file=sys.stderr)
    return 0


def _demo(options: Namespace) -> int:
    from vidamodal.demo import demo

    demo(options.out, options.quiet)
    return 0


_COMMANDS = {"predict": _predict, "evaluate": _evaluate, "convert": _convert, "demo": _demo}


if __name__ == "__main__":
    main()
