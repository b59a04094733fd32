"""`vidamodal.predict`: a video and a source of visible masks in, amodal tracks out."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from vidamodal import hub
from vidamodal.backbones.pretrained import external_networks
from vidamodal.inference.anchors import AnchorInput
from vidamodal.inference.depth.depth_input import DepthInput, open_depth
from vidamodal.inference.depth.depth_source import DepthKind, DepthSource
from vidamodal.inference.finders.sam_stream import LoadedSam
from vidamodal.inference.finders.text_boxes import LoadedDetector
from vidamodal.inference.prediction import DEFAULT_FORMATS, Prediction, check_formats, check_output
from vidamodal.inference.predictor import Predictor
from vidamodal.inference.runtime import Runtime, Timings
from vidamodal.inference.sources import DetectInput, MaskInputs, MaskSource, PathLike, load_network, resolve_source
from vidamodal.media.video import VideoReader, open_video
from vidamodal.models.folder import DEFAULT, LoadedModel, LoadedSegmenter
from vidamodal.tracks import read_tracks
from vidamodal.types import ClipTracks, FrameOrder, InputError, Track


@dataclass(frozen=True)
class _Options:
    """Settings of a prediction."""

    device: str
    seed: int
    hypotheses: int
    exhaustive: bool | None
    order: PathLike | None
    depth: DepthInput | None
    depth_kind: DepthKind
    anchors: AnchorInput | None
    quiet: bool


@dataclass(frozen=True)
class _Job:
    """Everything that a prediction needs, loaded and checked."""

    reader: VideoReader
    source: MaskSource
    network: LoadedModel | LoadedSegmenter
    predictor: Predictor | None
    """None if the network is a segmenter, whose masks are the result."""
    depth: DepthSource | None
    seconds: float
    """Time that loading took."""


def predict(
    video: PathLike | VideoReader,
    masks: PathLike | ClipTracks | None = None,
    out: PathLike | None = None,
    *,
    detect: DetectInput | None = None,
    text: str | None = None,
    points: PathLike | None = None,
    boxes: PathLike | None = None,
    sam: str | LoadedSam | None = None,
    detector: str | LoadedDetector | None = None,
    diffsp: str | None = None,
    model: str | LoadedModel | LoadedSegmenter = DEFAULT,
    head: str | None = None,
    device: str = "auto",
    seed: int = 0,
    hypotheses: int = 1,
    formats: Sequence[str] = DEFAULT_FORMATS,
    exhaustive: bool | None = None,
    order: PathLike | None = None,
    depth: DepthInput | None = None,
    depth_kind: DepthKind = "auto",
    anchors: AnchorInput | None = None,
    offline: bool = False,
    quiet: bool = True,
) -> Prediction:
    """Predict the amodal masks of the objects of a video.

    At most one of ``masks``, ``detect``, ``text``, ``points`` and ``boxes`` gives the visible masks. Without any, the
    bundled segmenter detects the objects; if ``model`` or ``head`` names a segmenter, its own amodal masks are the
    result. Models on the Hugging Face Hub are downloaded on first use, after a note on stderr with size and licence.

    Args:
        video: A video file, a folder of frames, an image, or an opened video.
        masks: Visible masks in any supported format, or tracks in memory.
        detect: A segmenter (folder, bundled name, ``owner/name`` on the Hub, or True for the default), a model of
            transformers that segments instances (Mask2Former, OneFormer, MaskFormer, EoMT, VidEoMT), or a finder's id.
        text: Names of the objects to find, separated by full stops: "person. dog.". They are detected in every tenth
            frame and followed by SAM 2.
        points: A JSON file that marks each object by points in one frame; SAM 2 follows it from there in both
            directions.
        boxes: A JSON file that marks each object by a box in one frame, in the same way.
        sam: SAM 2 or EdgeTAM video model, a folder or a name on the Hub. With ``masks``, it fills frames with unknown
            masks.
        detector: Grounding DINO or OWLv2 model that detects what ``text`` names, a folder or a name on the Hub.
        diffsp: A Stable Diffusion inpainting model, a folder or a name on the Hub, as the shape prior of a segmenter.
        model: The model: a folder, a bundled name, ``owner/name`` on the Hub, or a loaded one.
        head: The head of the model, or a segmenter that is used alone; None for the model's default head.
        out: A folder to save the prediction to; see `Prediction.save`.
        formats: What to save: "tracks", "png", "overlay", "masks", "rgba", "prores" and "layers".
        device: "auto", "cpu", "cuda" or "mps".
        seed: Seed of sampled hypotheses and of segmenters that sample.
        hypotheses: Number of hypotheses of each track.
        exhaustive: True if every object that may occlude another is listed. None takes this from the masks.
        order: A tracks.json with the order of every frame, for a model that reads it.
        depth: Depth of the frames, which tells what is in front of an object: a folder with one grey 16-bit PNG or .npy
            a frame, a depth model of transformers (folder, ``owner/name`` on the Hub, or True for Depth Anything V2
            Small), or maps in memory.
        depth_kind: "disparity" if larger values are nearer, "depth" if they are farther; "auto" finds out from the
            masks, and takes it from a depth model.
        anchors: Corrections: a tracks.json, or tracks in memory, whose amodal masks are true. They are returned
            unchanged, and the other frames of their tracks are completed from them; an empty one says that the object
            is not in the image.
        offline: Download nothing. A model that is not on this computer is an error that says how to get it.
        quiet: Show no progress bar.

    Returns:
        The tracks with amodal masks and confidences, and the record of the run.

    Raises:
        InputError: If anything is wrong with the input. Nothing is written then.
    """
    began = time.perf_counter()
    check_formats(formats)
    inputs = MaskInputs(masks, detect, text, points, boxes, sam, detector, diffsp)
    if out is not None:
        paths = [path for path in (depth, anchors, order) if isinstance(path, str | os.PathLike)]
        read = [*inputs.paths, *paths] if isinstance(video, VideoReader) else [video, *inputs.paths, *paths]
        check_output(Path(out), formats, read)
    depth = None if depth is False else depth
    options = _Options(device, seed, hypotheses, exhaustive, order, depth, depth_kind, anchors, quiet)
    with hub.offline(offline):
        prediction = _run(_prepare(video, inputs, model, head, options, began), options)
    if out is not None:
        prediction.save(out, formats)
    return prediction


def _prepare(
    video: PathLike | VideoReader,
    inputs: MaskInputs,
    model: str | LoadedModel | LoadedSegmenter,
    head: str | None,
    options: _Options,
    began: float,
) -> _Job:
    """Load networks, video and masks."""
    network = load_network(inputs, model, head)
    detects = inputs.mask_arguments in ([], ["detect"], ["text"])
    if (isinstance(network, LoadedSegmenter) and options.hypotheses != 1) or (detects and options.order is not None):
        raise InputError("hypotheses= and order= need objects whose visible masks are known. Pass masks= as well.")
    for name in ("depth", "anchors"):
        if isinstance(network, LoadedSegmenter) and getattr(options, name) is not None:
            raise InputError(
                f"{name}= is read by models that complete visible masks, and not by a segmenter. Leave it out."
            )
    predictor = None
    if isinstance(network, LoadedModel):
        predictor = Predictor(network.model, options.device, options.seed, options.hypotheses)
    reader = video if isinstance(video, VideoReader) else open_video(video)
    source = resolve_source(inputs, network, reader, options.device, options.seed)
    depth = None if options.depth is None else open_depth(options.depth, options.depth_kind, reader, options.device)
    return _Job(reader, source, network, predictor, depth, time.perf_counter() - began)


def _run(job: _Job, options: _Options) -> Prediction:
    """Find the visible masks, predict, and record the run."""
    clip = job.source.tracks(job.reader, options.quiet)
    notes = (*job.reader.notes, *_canvas_notes(job), *clip.notes)
    if options.exhaustive is not None:
        clip = replace(clip, exhaustive=options.exhaustive)
    if job.predictor is not None:
        order = None if options.order is None else _read_order(options.order)
        clip = job.predictor.predict(clip, options.quiet, job.reader.frames, order, job.depth, options.anchors)
        notes = (*notes, *job.predictor.notes)
    clip = replace(clip, provenance=_provenance(job, options), notes=notes)
    timings = _all_timings(job)
    return Prediction(clip, _run_record(job, options, clip, timings), timings, job.reader)


def _canvas_notes(job: _Job) -> tuple[str, ...]:
    """The note on the canvas on which a finder sees the frames, if their size is another."""
    video, finder = job.reader.info, job.source.finder
    if finder is None or finder.size is None or (video.height, video.width) == (finder.size, finder.size):
        return ()
    return (
        f"{video.path}: frames of {video.height} x {video.width} pixels are resized to a canvas of {finder.size} x "
        f"{finder.size} cells; masks are resized back",
    )


def _read_order(path: PathLike) -> tuple[FrameOrder, ...]:
    order = read_tracks(Path(path)).order
    if order is None:
        raise InputError(
            f'{path} has no "order": it lists no front/behind pairs. Pass a tracks.json with one as order=.'
        )
    return order


def _provenance(job: _Job, options: _Options) -> dict[str, Any]:
    """Return the provenance in tracks.json, which is the same for two runs on the same input."""
    finder, network = job.source.finder, job.network
    external = [] if job.predictor is None else external_networks(job.predictor.model)
    external += [] if finder is None else finder.external_networks()
    return {
        "model": network.name,
        "weights": network.weights_hash,
        "config": network.config_hash,
        "head": network.head,
        "seed": options.seed,
        "precision": str(Runtime.choose(options.device).precision).removeprefix("torch."),
        "versions": installed_versions(),
        **({"finder": job.source.hashes} if finder and job.predictor else {}),
        **({"depth": job.depth.hashes} if job.depth is not None and job.depth.hashes else {}),
        **({"outside": external} if external else {}),
    }


def _run_record(job: _Job, options: _Options, clip: ClipTracks, timings: Timings) -> dict[str, Any]:
    """Return the content of run.json, without the list of written files."""
    finder = job.source.finder
    return {
        **clip.provenance,
        "video": job.reader.info.path,
        "masks": job.source.name,
        "notes": list(clip.notes),
        **(finder.run_record() if finder else {}),
        "exhaustive": clip.exhaustive,
        "order": "own" if options.order is None else Path(options.order).name,
        **({} if job.depth is None else {"depth": job.depth.name}),
        **({} if options.anchors is None else {"anchors": _name(options.anchors)}),
        "hypotheses": options.hypotheses,
        "device": str(Runtime.choose(options.device).device),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "masks_hash": hash_masks(clip.tracks),
        "object_frames": sum(mask is not None for track in clip.tracks for mask in track.amodal or ()),
        "seconds": {name: round(value, 4) for name, value in timings.seconds.items()},
    }


def hash_masks(tracks: Sequence[Track]) -> str:
    """Return a hash of all visible masks, one mask at a time: those of an hour are hundreds of megabytes of text."""
    digest = hashlib.sha256()
    for track in tracks:
        for mask in track.visible:
            digest.update(f"{mask}\n".encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _name(anchors: AnchorInput) -> str:
    return "in memory" if isinstance(anchors, ClipTracks) else Path(anchors).name


def _all_timings(job: _Job) -> Timings:
    """Return the time of every step; the steps of a finder start with "find" if a model completed its masks."""
    finding = job.source.finder.timings if job.source.finder else Timings()
    if job.predictor is None:
        return Timings({"start": job.seconds, **finding.seconds}, finding.object_frames)
    found = {f"find {name}": value for name, value in finding.seconds.items()}
    predicted = job.predictor.timings
    return Timings({"start": job.seconds, **found, **predicted.seconds}, predicted.object_frames)


def installed_versions() -> dict[str, str]:
    """Return the versions of the installed packages that masks depend on."""
    versions = {}
    for name in ("vidamodal", "torch", "numpy", "diffusers", "transformers"):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
