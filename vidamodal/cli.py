"""The console script: `vidamodal predict | evaluate | convert | view | app | export | demo | train`.

Each command calls one function of the package, which is imported only then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from jsonargparse import Namespace

from vidamodal.allocator import keep_freed_memory
from vidamodal.commandline import (
    MAX_NOTES,
    Parser,
    print_notes,
    printable,
    quick_imports,
    run_command,
    with_option_names,
)
from vidamodal.errors import InputError

if TYPE_CHECKING:
    from vidamodal.inference.prediction import Prediction
    from vidamodal.metrics.evaluate import Evaluation

_PREDICT_OPTIONS = (
    "detect", "text", "points", "boxes", "sam", "detector", "diffsp", "model", "head", "device", "seed", "hypotheses",
    "order", "depth", "depth_kind", "anchors", "offline", "quiet",
)  # fmt: skip
"""Options of `predict` that are arguments of `vidamodal.predict` as they are."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its status; see `vidamodal.commandline`."""
    keep_freed_memory()
    sys.exit(run_command(partial(_run, list(sys.argv[1:] if arguments is None else arguments)), "vidamodal"))


def _run(arguments: list[str]) -> int:
    try:
        if arguments[:1] == ["train"]:  # its options are the fields of the config, which are slow to import
            from vidamodal.training.command import main as train

            print(f"model: {train(arguments[1:])}")
            return 0
        parsed = _parser().parse_args(arguments)
        options = parsed[parsed.command]
        options.quiet |= not sys.stderr.isatty()  # programs that read stderr expect one line
        return _COMMANDS[parsed.command].run(options)
    except InputError as error:
        raise InputError(with_option_names(str(error))) from error


def _parser() -> Parser:
    parser = Parser(
        prog="vidamodal",
        description="Predict the amodal (whole) masks of occluded objects in video, as consistent tracks.",
    )
    commands = parser.add_subcommands(dest="command")
    for name, command in _COMMANDS.items():
        options = Parser(description=command.description, epilog=command.examples)
        command.add_options(options)
        options.add_argument("--quiet", action="store_true", help="show no progress bar")
        commands.add_subcommand(name, options, help=command.summary)
    commands.add_subcommand("train", Parser(), help="train a model: --config NAME|FILE [--section.key value ...]")
    return parser


def _add_predict_options(parser: Parser) -> None:
    parser.add_argument(
        "video",
        help="a video file, a folder of frames, or an image; or many videos: a folder of videos, a .txt file with a "
        "path in each line, shards, or a data set",
    )
    _add_mask_options(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to; an earlier result is replaced")
    parser.add_argument(
        "--model", default="tiny", help="model: a folder, a bundled name, or owner/name on the Hugging Face Hub"
    )
    parser.add_argument("--head", help="head of the model, or a segmenter that is used alone (default: the model's)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument(
        "--order", metavar="FILE", help="tracks.json with the order of every frame, for a model that reads it"
    )
    parser.add_argument(
        "--depth",
        nargs="?",
        const=True,
        metavar="PATH",
        help="depth, which tells what is in front: a folder with a grey 16-bit PNG or .npy for each frame, or a depth "
        "model of transformers, a folder or owner/name on the Hub (without a value: "
        "depth-anything/Depth-Anything-V2-Small-hf, 99 MB, Apache-2.0)",
    )
    parser.add_argument(
        "--depth-kind",
        choices=["auto", "disparity", "depth"],
        default="auto",
        help="disparity: larger values are nearer; depth: larger values are farther; auto: decided from the masks",
    )
    parser.add_argument(
        "--anchors",
        metavar="FILE",
        help="corrections: a tracks.json whose amodal masks are true. They are kept, and the other frames of their "
        "tracks are completed from them; an empty mask says that the object is not there",
    )
    parser.add_argument(
        "--offline", action="store_true", help="download nothing: models must be folders, bundled or in the Hub's cache"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of everything that is sampled")
    parser.add_argument("--hypotheses", type=int, default=1, metavar="K", help="number of hypotheses of each track")
    parser.add_argument(
        "--formats",
        default="tracks,png,overlay",
        help="what to write: any of tracks, png, overlay, masks, rgba, prores and layers",
    )
    _add_batch_options(parser)
    scene = parser.add_mutually_exclusive_group()
    scene.add_argument("--partial", action="store_true", help="objects that are not listed may occlude the others")
    scene.add_argument("--exhaustive", action="store_true", help="every object that may occlude another is listed")


def _add_batch_options(parser: Parser) -> None:
    """Add the options for many videos."""
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="many videos: number of processes, each with one thread (default: 1; with ray: one for each GPU of the "
        "cluster, or else each CPU)",
    )
    parser.add_argument(
        "--shard", metavar="I/N", help="many videos: predict only every N-th, beginning with video I (from 0)"
    )
    parser.add_argument(
        "--executor",
        choices=["local", "ray"],
        default="local",
        help="many videos: processes of this machine, or a Ray cluster whose machines see the same files",
    )


def _add_mask_options(parser: Parser) -> None:
    """Add the options that determine the visible masks."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--masks",
        metavar="PATH",
        help="visible masks: a tracks.json, a folder of PNGs, an .npz, or another supported format; with "
        "--sam, SAM 2 follows the objects into the frames in which their masks are unknown",
    )
    source.add_argument(
        "--detect",
        nargs="?",
        const=True,
        metavar="MODEL",
        help="detect the objects with a model, a folder or owner/name on the Hugging Face Hub: a segmenter of this "
        "package (without a name: the bundled one), or Mask2Former, OneFormer, MaskFormer, EoMT or VidEoMT of "
        "transformers",
    )
    source.add_argument(
        "--text",
        metavar="NAMES",
        help='detect the objects that are named, separated by full stops, as in "person. dog.", in every tenth frame, '
        "and follow them with SAM 2",
    )
    source.add_argument(
        "--points",
        metavar="FILE",
        help='JSON with points on each object in one frame, in pixels: {"objects": [{"id": 1, "frame": 0, '
        '"points": [[x, y], ...], "labels": [1, 0, ...]}, ...]}; label 1 on the object, 0 outside it. SAM 2 follows '
        "the object from there",
    )
    source.add_argument(
        "--boxes",
        metavar="FILE",
        help='JSON with a box around each object in one frame: {"objects": [{"id": 1, "frame": 0, '
        '"box": [x0, y0, x1, y1]}, ...]}. SAM 2 follows the object from there in both directions',
    )
    parser.add_argument(
        "--sam",
        metavar="MODEL",
        help="SAM 2 or EdgeTAM video model: a folder, or a name on the Hub (default: facebook/sam2.1-hiera-tiny, "
        "156 MB, Apache-2.0)",
    )
    parser.add_argument(
        "--detector",
        metavar="MODEL",
        help="Grounding DINO or OWLv2 model for --text: a folder, or a name on the Hub (default: "
        "IDEA-Research/grounding-dino-tiny, 690 MB, Apache-2.0)",
    )
    parser.add_argument(
        "--diffsp",
        metavar="MODEL",
        help="Stable Diffusion inpainting model, a folder or a name on the Hub, as the shape prior of an aisdiff "
        "segmenter (default: the segmenter's)",
    )


def _predict(options: Namespace) -> int:
    with quick_imports():
        from vidamodal.batch.video_set import find_videos, note_on_single

    chosen = {name: getattr(options, name) for name in _PREDICT_OPTIONS}
    chosen["formats"] = options.formats.split(",")
    chosen["exhaustive"] = True if options.exhaustive else False if options.partial else None
    own_masks = not any(getattr(options, name) for name in ("masks", "detect", "text", "points", "boxes"))
    if find_videos(options.video, own_masks) is not None:
        return _predict_videos(options, chosen)
    for name, is_set in (
        ("workers", options.workers),
        ("shard", options.shard),
        ("executor", options.executor == "ray"),
    ):
        if is_set:
            raise InputError(f"--{name}: {options.video} is one video. Pass a folder of videos, a list or a data set.")
    with quick_imports():
        from vidamodal.inference.api import predict
    prediction = predict(options.video, options.masks, options.out, **chosen)
    print_notes([*note_on_single(options.video), *prediction.notes])
    _print_prediction(prediction, options.out)
    return 0


def _predict_videos(options: Namespace, chosen: dict[str, Any]) -> int:
    from vidamodal.batch.predict_videos import predict_videos

    result = predict_videos(
        options.video,
        options.masks,
        options.out,
        workers=options.workers,
        shard=options.shard,
        executor=options.executor,
        **chosen,
    )
    print_notes(result.notes)
    failures = result.failures
    done = len(result.entries) - len(failures)
    before = f" ({result.resumed} of them before)" if result.resumed else ""
    print(f"{options.out}: {done} of {len(result.entries)} videos predicted{before}; {result.manifest.name} lists them")
    for key, message in list(failures.items())[:MAX_NOTES]:
        print(f"failed: {printable(f'{key}: {message}')}", file=sys.stderr)
    if len(failures) > MAX_NOTES:
        print(f"failed: and {len(failures) - MAX_NOTES} more, see {result.manifest.name}", file=sys.stderr)
    return result.status


def _print_prediction(prediction: Prediction, out: str) -> None:
    video = prediction.video
    steps = {name: seconds for name, seconds in prediction.timings.seconds.items() if name != "start"}
    print(
        f"{out}: {len(prediction.tracks)} track{'s' * (len(prediction.tracks) != 1)} over "
        f"{video.frames} frame{'s' * (video.frames != 1)}, "
        f"{prediction.run['object_frames']} object-frames in {sum(steps.values()):.1f} s, "
        f"{'exhaustive' if prediction.exhaustive else 'partial'} scene"
    )


def _add_evaluate_options(parser: Parser) -> None:
    parser.add_argument(
        "--pred",
        required=True,
        type=Path,
        action="append",
        metavar="PATH",
        help="predictions: a tracks.json, a folder of them, shards, or any other supported format; repeat the "
        "option to compare further methods with the first",
    )
    parser.add_argument("--truth", required=True, type=Path, metavar="PATH", help="ground truth, in any of these")
    parser.add_argument("--out", type=Path, metavar="FILE", help="metrics.json to write")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="report.html to write, with tables, plots and film strips of tracks"
    )
    parser.add_argument(
        "--allow-missing", action="store_true", help="score missing predictions as 0 instead of failing"
    )
    parser.add_argument(
        "--match", choices=["visible"], help="match tracks by the IoU of their visible masks (at least 0.5), not by id"
    )


def _evaluate(options: Namespace) -> int:
    from vidamodal.media.files import check_target, write_text
    from vidamodal.metrics.evaluate import evaluate

    names = _method_names(options.pred)
    for target in filter(None, (options.out, options.report)):
        check_target(target)
    results = [
        evaluate(
            pred, options.truth, options.allow_missing, options.quiet, baselines=number == 0, match=bool(options.match)
        )
        for number, pred in enumerate(options.pred)
    ]
    named = dict(zip(names, results, strict=True))
    if options.out is not None:
        others = {name: result for name, result in named.items() if name != names[0]}
        write_text(options.out, results[0].to_json(others))
    if options.report is not None:
        from vidamodal.report.html import Method, write_report

        write_report(options.report, list(map(Method, names, options.pred, results)), options.truth, options.quiet)
    print_notes(list(dict.fromkeys(note for result in results for note in result.notes)))
    _print_comparison(named)
    for name, result in named.items():
        if len(named) > 1:
            print(f"\n== {name} ==")
        _print_evaluation(result)
    return 0


def _print_comparison(named: dict[str, Evaluation]) -> None:
    """Print the primary protocol of all methods and the baselines, and the differences from the first method."""
    from vidamodal.metrics import tables

    first, *others = named.values()
    print(tables.format_table({name: result.primary for name, result in named.items()} | dict(first.baselines)))
    videos = first.primary.videos
    print(f"per cent; {first.primary.object_frames} object-frames in {videos} video{'s' * (videos != 1)}")
    if others:
        differences = {name: result.difference_from(first) for name, result in named.items() if result is not first}
        print("\n" + tables.format_differences(differences))


def _print_evaluation(result: Evaluation) -> None:
    """Print all other tables of a method."""
    from vidamodal.metrics import tables

    if result.gain():
        print("\n" + tables.format_gain(result.gain()))
    if len(result.scenes) > 1:
        print("\n" + tables.format_table(result.scenes))
    if result.boxes is not None:
        print("\n" + tables.format_boxes(result.boxes))
    if result.hypotheses is not None:
        print("\n" + tables.format_hypotheses(result.hypotheses))
    print("\n" + tables.format_strata(result.strata))
    print("\n" + tables.format_protocols(result.protocols))
    print("\n" + tables.format_ranked(result.protocols, result.time))
    print("\n" + tables.format_temporal(result.time))
    print("\n" + tables.format_tracking(result.protocols))
    if result.matched:
        print("\nmatched by visible masks: {} of {} predicted tracks".format(*result.matched))
    if result.missing:
        print(f"missing, scored 0: {printable(', '.join(result.missing))}", file=sys.stderr)
    if result.ignored:
        print(f"not in the ground truth, ignored: {printable(', '.join(result.ignored))}", file=sys.stderr)


def _method_names(paths: Sequence[Path]) -> list[str]:
    """Return the names of methods in tables: the shortest path endings that differ; "prediction" for a single one."""
    if len(paths) == 1:
        return ["prediction"]
    absolute = [path.absolute() for path in paths]
    for parts in range(1, max(len(path.parts) for path in absolute) + 1):
        names = ["/".join(path.parts[-parts:]) for path in absolute]
        if len(set(names)) == len(names):
            return names
    raise InputError(f"--pred {paths[0]} is repeated. Pass each prediction once.")


def _add_convert_options(parser: Parser) -> None:
    parser.add_argument("source", type=Path, help="a data set or predictions in any supported format")
    parser.add_argument(
        "--to",
        required=True,
        metavar="FORMAT",
        help="id of a format, such as coco, davis or tracks; an unknown id lists all",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DEST", help="new file or folder to write")
    parser.add_argument(
        "--what",
        choices=["visible", "amodal"],
        default="visible",
        help="which masks a format with one mask for each object holds, when it is read or written",
    )
    parser.add_argument("--from", dest="layout", metavar="FORMAT", help="format of the source, if it is ambiguous")
    parser.add_argument("--video", help="video or folder of frames that the masks of the source belong to")


def _convert(options: Namespace) -> int:
    from vidamodal.convert import convert

    done = convert(
        options.source,
        options.out,
        options.to,
        kind=options.what,
        source_format=options.layout,
        video=options.video,
        quiet=options.quiet,
    )
    print(f"{options.out}: {done.clips} clip{'s' * (done.clips != 1)} from {done.format}, written as {options.to}")
    print_notes(done.notes)
    if done.not_chosen:
        names = ", ".join(done.not_chosen)
        print(f"not written, because --what {options.what} was chosen: {names}", file=sys.stderr)
    if done.dropped:
        print(f"dropped, because {options.to} cannot hold them: {', '.join(done.dropped)}", file=sys.stderr)
    return 0


def _add_export_options(parser: Parser) -> None:
    parser.add_argument("--onnx", required=True, type=Path, metavar="FILE", help="file to write")
    parser.add_argument("--model", default="tiny", help="model: a folder, a bundled name, or owner/name on the Hub")
    parser.add_argument("--head", help="head of the model (default: the model's)")
    parser.add_argument("--tracks", type=int, default=1, help="number of tracks that are completed at a time")
    parser.add_argument("--frames", type=int, help="number of frames (default: the chunk of the model)")


def _export(options: Namespace) -> int:
    from vidamodal.onnx_export import export_onnx

    done = export_onnx(options.onnx, options.model, options.head, options.tracks, options.frames)
    shapes = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in done.inputs.items())
    print(f"{options.onnx}: {', '.join(done.outputs)} from {shapes}; differs from PyTorch by {done.difference:.1e}")
    return 0


def _add_view_options(parser: Parser) -> None:
    parser.add_argument("folder", metavar="DIR", help="folder with a tracks.json, such as the result of predict")
    parser.add_argument("--out", metavar="FILE", help="page to write (default: view.html in DIR)")
    parser.add_argument(
        "--video",
        help="video of the result (default: the file of that name in DIR; without it, overlay.mp4 is shown instead)",
    )


def _view(options: Namespace) -> int:
    from vidamodal.report.viewer import view_result

    view = view_result(options.folder, options.out, options.video, options.quiet)
    print_notes([with_option_names(note) for note in view.notes])
    print(f"{view.path}: {view.path.stat().st_size / 1e6:.1f} MB")
    return 0


def _add_app_options(parser: Parser) -> None:
    parser.add_argument("--port", type=int, default=7860, help="port on 127.0.0.1; 0 for any free one")
    parser.add_argument(
        "--workdir",
        type=Path,
        metavar="DIR",
        help="folder for everything that is written; its content is kept (default: a temporary one that is removed)",
    )
    parser.add_argument(
        "--max-upload", type=float, default=1000, metavar="MB", help="largest video or set of masks in megabytes"
    )
    parser.add_argument("--model", default="tiny", help="model that completes: a folder, a bundled name, or owner/name")
    parser.add_argument("--sam", metavar="MODEL", help="SAM 2 video model that follows objects")
    parser.add_argument("--detector", metavar="MODEL", help="model that finds what words name")
    parser.add_argument("--offline", action="store_true", help="download nothing from the Hub")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--no-browser", action="store_true", help="do not open the page in the browser")


def _app(options: Namespace) -> int:
    from vidamodal.app.server import serve
    from vidamodal.app.session import AppSettings

    max_upload = int(options.max_upload * 1e6)
    settings = AppSettings(max_upload, options.model, options.sam, options.detector, options.device, options.offline)
    serve(settings, options.workdir, options.port, show=not options.no_browser)
    return 0


def _add_demo_options(parser: Parser) -> None:
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="folder to write to")


def _demo(options: Namespace) -> int:
    from vidamodal.demo import demo

    demo(options.out, options.quiet)
    return 0


@dataclass(frozen=True)
class _Command:
    """A command of the console script."""

    summary: str
    description: str
    add_options: Callable[[Parser], None]
    run: Callable[[Namespace], int]
    examples: str = ""


_COMMANDS = {
    "predict": _Command(
        "predict the amodal masks of a video's objects",
        "Predict the amodal masks of a video's objects. Without --masks, --detect, --text, --points and --boxes, the "
        "bundled segmenter detects the objects; if --head or --model names a segmenter, its own amodal masks are the "
        "result. Models on the Hub are downloaded on first use, after a note with their size and licence.",
        _add_predict_options,
        _predict,
        """
examples:
  vidamodal predict video.mp4 --masks masks/ --out out       complete visible masks
  vidamodal predict video.mp4 --out out                      detect the objects first
  vidamodal predict video.mp4 --text "person. dog." --out out
                                                             find what is named, and follow it with SAM 2
  vidamodal predict video.mp4 --points clicks.json --out out follow clicked objects with SAM 2
  vidamodal predict videos/ --masks masks/ --out out --workers 4
                                                             many videos; the same command resumes
""",
    ),
    "evaluate": _Command(
        "score predictions against ground truth",
        "Score predictions against ground truth. Tracks are matched by video and id.",
        _add_evaluate_options,
        _evaluate,
        """
examples:
  vidamodal evaluate --pred out --truth truth.json
  vidamodal evaluate --pred ours --pred theirs --truth set --out metrics.json --report report.html
""",
    ),
    "convert": _Command(
        "convert masks from one format to another",
        "Convert masks from one format to another. Dropped fields are reported.",
        _add_convert_options,
        _convert,
        """
examples:
  vidamodal convert out --to coco --what amodal --out masks.json
""",
    ),
    "view": _Command(
        "write a page that shows a result",
        "Write one HTML file that shows a result: the frames beside the masks, the confidence and presence of each "
        "object over time, and the order of each frame. It opens in any browser, without a server.",
        _add_view_options,
        _view,
        """
examples:
  vidamodal view out --video video.mp4
""",
    ),
    "app": _Command(
        "open a page to complete, correct and export videos",
        "Open a page in the browser to complete videos, correct the masks and export them. Only this computer can "
        "reach it. Stop it with Ctrl-C.",
        _add_app_options,
        _app,
    ),
    "export": _Command(
        "export the network of a model to ONNX",
        "Export the network of a model to ONNX and compare it with PyTorch: crops in, logits and presence out.",
        _add_export_options,
        _export,
        """
examples:
  vidamodal export --onnx tiny.onnx
""",
    ),
    "demo": _Command(
        "predict the bundled clip and score the result",
        "Predict the bundled clip and score the result.",
        _add_demo_options,
        _demo,
    ),
}


if __name__ == "__main__":
    main()
