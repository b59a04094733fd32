"""Video in, amodal tracks out: what `vidamodal predict` and `vidamodal.predict` do."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from vidamodal.backbones.pretrained import outside_networks
from vidamodal.formats import VideoContext, read_masks
from vidamodal.formats.tracks import read_tracks, write_tracks
from vidamodal.inference.finders.base import Finder
from vidamodal.inference.finders.sam2 import DEFAULT_SAM, LoadedSam, Sam2Finder, load_sam
from vidamodal.inference.finders.segmenter import VisibleFinder
from vidamodal.inference.predictor import Predictor, pick_device, pick_precision
from vidamodal.media.files import write_text
from vidamodal.media.mask_images import write_object_masks
from vidamodal.media.prompts import Prompt, read_prompts
from vidamodal.media.video import VideoReader, open_video
from vidamodal.media.video_writer import write_mask_video, write_video
from vidamodal.models.folder import (
    DEFAULT,
    LoadedModel,
    LoadedSegmenter,
    is_segmenter,
    load_model,
    load_segmenter,
)
from vidamodal.report.overlay import overlay_frames
from vidamodal.segmenters.aisdiff import AISDiffSegmenter
from vidamodal.segmenters.base import find_segmenter
from vidamodal.types import ClipTracks, FrameOrder, InputError, Rle

FORMATS = ("tracks", "png", "overlay", "masks")
DEFAULT_FORMATS = ("tracks", "png", "overlay")
DEFAULT_SEGMENTER = "aisdiff"
_OUTPUTS = {"png": "amodal", "masks": "masks", "overlay": "overlay.mp4", "tracks": "tracks.json"}
"""What each format is called, in the order in which they get their names."""


def predict(
    video: str | os.PathLike[str],
    masks: str | os.PathLike[str] | ClipTracks | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    detect: bool | str | LoadedSegmenter | None = None,
    points: str | os.PathLike[str] | None = None,
    boxes: str | os.PathLike[str] | None = None,
    sam: str | LoadedSam | None = None,
    diffsp: str | None = None,
    model: str | LoadedModel | LoadedSegmenter = DEFAULT,
    head: str | None = None,
    device: str = "auto",
    seed: int = 0,
    hypotheses: int = 1,
    formats: Sequence[str] = DEFAULT_FORMATS,
    exhaustive: bool | None = None,
    order: str | os.PathLike[str] | None = None,
    quiet: bool = True,
) -> ClipTracks:
    """Amodal tracks of a video's objects, whose visible masks are given or found.

    ``video``: a video file, a folder of frames or an image. Of what tells the visible masks at most one is given:
    ``masks``: whatever `read_masks` reads, or tracks.
    ``detect``: a segmenter that finds the objects in each frame, by folder or name; True: ``DEFAULT_SEGMENTER``.
    ``points``, ``boxes``: a JSON file that shows each object in one frame (`read_prompts`), for SAM 2 to follow.
    With none of them ``DEFAULT_SEGMENTER`` detects, unless ``model`` is a segmenter or ``head`` names one: then its
    own amodal masks are the result.
    ``sam``: the SAM 2 video model, by folder or Hub id (default: ``DEFAULT_SAM``); beside ``masks`` it follows them
    into the frames in which they are not known.
    ``diffsp``: a Stable-Diffusion inpainting model, by folder or Hub id, that gives the shape prior of a segmenter.
    ``out``: a folder for the files that ``formats`` names (of tracks, png, overlay, masks); None writes nothing.
    ``exhaustive``: whether every object that may hide another is listed; None takes the masks' word for it, and found
    masks are not.
    ``order``: a tracks.json that tells who lies in front of whom, for a model that reads it; the masks' own file is not
    asked unless it is named here.
    InputError for anything wrong with the input; nothing is written then.
    """
    began = time.perf_counter()
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise InputError(f"unknown format {(unknown or [''])[0]!r}: choose of {', '.join(FORMATS)}")
    sources = {"masks": masks, "detect": detect, "points": points, "boxes": boxes}
    told = [name for name, source in sources.items() if source is not None and source is not False]
    if len(told) > 1:
        raise InputError(f"the visible masks come from {' and '.join(told)}: give one of them")
    if sam is not None and told not in (["masks"], ["points"], ["boxes"]):
        raise InputError("SAM 2 follows what it is shown: give --points, --boxes or --masks beside --sam")
    if diffsp is not None and told not in ([], ["detect"]):
        raise InputError("--diffsp is of a segmenter of bare frames, and the masks come from elsewhere: leave it out")
    if out is not None:
        _check_out(Path(out), formats, [p for p in (video, masks, points, boxes) if isinstance(p, str | os.PathLike)])
    alone = None if told else _named_segmenter(model, head)
    if (alone and hypotheses != 1) or (told in ([], ["detect"]) and order is not None):
        raise InputError("hypotheses and an order are of objects whose masks are given: give --masks, too")
    loaded = alone or _completer(model, head)
    predictor = Predictor(loaded.model, device, seed, hypotheses) if isinstance(loaded, LoadedModel) else None
    reader = open_video(video)
    source = _source(reader, masks, alone or detect, points, boxes, sam, diffsp, device, seed)
    ready = time.perf_counter()
    clip = source.tracks(reader, quiet)
    if exhaustive is not None:
        clip = replace(clip, exhaustive=exhaustive)
    result = clip if predictor is None else predictor.predict(clip, quiet, reader.frames, _known_order(order))
    used = pick_device(device)
    outside = [] if predictor is None else outside_networks(predictor.model)
    if isinstance(source.finder, VisibleFinder):
        outside += outside_networks(source.finder.segmenter)
    result = replace(
        result,
        provenance={
            "model": loaded.name,
            "weights": loaded.weights_hash,
            "config": loaded.config_hash,
            "head": loaded.head,
            "seed": seed,
            "precision": str(pick_precision(used)).removeprefix("torch."),
            "versions": _versions(),
            **({"finder": source.hashes} if source.finder and predictor else {}),
            **({"outside": outside} if outside else {}),
        },
    )
    if out is not None:
        done = time.perf_counter()
        with _aside(Path(out)) as aside:
            _write(aside, result, reader, formats)
            found = source.finder.timings.seconds if source.finder else {}
            if predictor is not None:
                found = {f"find {name}": value for name, value in found.items()} | predictor.timings.seconds
            run = {
                **result.provenance,
                "video": reader.info.path,
                "masks": source.name,
                **({"canvas": source.finder.size} if source.finder else {}),
                **({"association": asdict(source.finder.rules)} if isinstance(source.finder, VisibleFinder) else {}),
                "exhaustive": result.exhaustive,
                "order": "own" if order is None else Path(order).name,
                "hypotheses": hypotheses,
                "formats": list(formats),
                "files": sorted({"run.json", *os.listdir(aside)}),
                "device": str(used),
                "threads": torch.get_num_threads(),
                "python": platform.python_version(),
                "masks_hash": hashlib.sha256(repr([t.visible for t in result.tracks]).encode()).hexdigest(),
                "object_frames": sum(m is not None for track in result.tracks for m in track.amodal or ()),
                "seconds": {
                    "start": round(ready - began, 4),
                    **{name: round(value, 4) for name, value in found.items()},
                    "write": round(time.perf_counter() - done, 4),
                },
            }
            write_text(aside / "run.json", json.dumps(run, indent=2, sort_keys=True) + "\n")
            _publish(aside, Path(out))
    return result


@dataclass(frozen=True)
class _Source:
    """Where visible masks come from: what run.json calls it, and the masks that are given or what finds them, with the
    hashes of its weights and config."""

    name: str
    given: ClipTracks | None = None
    finder: Finder | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)

    def tracks(self, reader: VideoReader, quiet: bool) -> ClipTracks:
        """The tracks with the visible masks of a video."""
        if self.finder is not None:
            return self.finder.find(reader.info, reader.frames, quiet)
        assert self.given is not None  # and taken at their word, also where they come from an earlier prediction
        return replace(self.given, tracks=tuple(replace(track, confidence=None) for track in self.given.tracks))


def _check_out(out: Path, formats: Sequence[str], inputs: Sequence[str | os.PathLike[str]]) -> None:
    """InputError if the results cannot go there, or would take the place of what they are made from or of a folder of
    the user's."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give a folder to write to")
    replaced = {(out / name).resolve() for name in ("run.json", *_OUTPUTS.values())}
    for path in map(Path, inputs):
        if replaced & {path.resolve(), *path.resolve().parents}:
            raise InputError(f"{path}: the results in {out} would replace this input; give another --out")
    for name in sorted({_OUTPUTS[kind] for kind in formats} - _made(out)):
        if (out / name).is_dir():
            raise InputError(f"{out / name}: is there and of no earlier result; move it, or give another --out")


def _completer(model: str | LoadedModel | LoadedSegmenter, head: str | None) -> LoadedModel:
    """What completes given masks."""
    if isinstance(model, LoadedSegmenter):
        raise InputError(
            "the loaded model is a segmenter, which finds the objects by itself: leave out the masks, "
            "or give it as detect"
        )
    if isinstance(model, LoadedModel) and head not in (None, model.head):
        raise InputError(f"the loaded model has the head {model.head!r}; load it with head={head!r}")
    return model if isinstance(model, LoadedModel) else load_model(model, head)


def _named_segmenter(model: str | LoadedModel | LoadedSegmenter, head: str | None) -> LoadedSegmenter | None:
    """The segmenter that ``model`` is or ``head`` names, whose amodal masks are the result; None if they name none.

    InputError, which says what is missing, if there is none of this head.
    """
    if isinstance(model, LoadedSegmenter):
        return model
    if head is not None:
        find_segmenter(head)
    if isinstance(model, str) and model != DEFAULT and is_segmenter(model):
        return load_segmenter(model, head)
    if head is None:
        return None
    if model == DEFAULT:
        return load_segmenter(head, head)
    raise InputError(
        "no --masks: give the visible masks of the objects (a tracks.json, a folder of PNGs, or an .npz), --points or "
        f"--boxes for SAM 2 to follow, or leave out --model: it is no segmenter of the head {head!r}"
    )


def _source(
    reader: VideoReader,
    masks: str | os.PathLike[str] | ClipTracks | None,
    detect: bool | str | LoadedSegmenter | None,
    points: str | os.PathLike[str] | None,
    boxes: str | os.PathLike[str] | None,
    sam: str | LoadedSam | None,
    diffsp: str | None,
    device: str,
    seed: int,
) -> _Source:
    """What gives the visible masks: of masks, points and boxes, one at most is there; without, a segmenter does."""
    if masks is None and points is None and boxes is None:
        chosen = detect if isinstance(detect, str | LoadedSegmenter) else DEFAULT_SEGMENTER
        found = load_segmenter(chosen) if isinstance(chosen, str) else chosen
        hashes = {"weights": found.weights_hash, "config": found.config_hash}
        name = f"segmenter {found.name}"
        if diffsp is not None:
            found = _with_diffsp(found, diffsp)
            name += f", diffsp {Path(diffsp).name}"
        return _Source(name, finder=VisibleFinder(found.model, device, seed), hashes=hashes)
    given: ClipTracks | None = None
    prompts: tuple[Prompt, ...] = ()
    kind, name = "masks", ""
    if masks is not None:
        given, name = _visible_tracks(reader, masks), _name(masks)
        if sam is None:
            return _Source(name, given)
    elif points is not None:
        kind, name, prompts = "points", Path(points).name, read_prompts(points, "points", reader.info)
    elif boxes is not None:
        kind, name, prompts = "boxes", Path(boxes).name, read_prompts(boxes, "boxes", reader.info)
    follower = sam if isinstance(sam, LoadedSam) else load_sam(sam or DEFAULT_SAM)
    finder = Sam2Finder(follower.model, prompts, given, device)
    hashes = {"weights": follower.weights_hash, "config": follower.config_hash}
    return _Source(f"sam2 {follower.name}, {kind} {name}", finder=finder, hashes=hashes)


def _with_diffsp(segmenter: LoadedSegmenter, diffsp: str) -> LoadedSegmenter:
    """A copy: the segmenter is the caller's. InputError if it has no use for a DiffSP, or if this cannot be had."""
    if not isinstance(segmenter.model, AISDiffSegmenter):
        raise InputError(f"--diffsp: the segmenter {segmenter.name} draws no shape prior; give one of the head aisdiff")
    model = deepcopy(segmenter.model)
    model.use_diffsp(diffsp)
    return replace(segmenter, model=model)


def _visible_tracks(reader: VideoReader, masks: str | os.PathLike[str] | ClipTracks) -> ClipTracks:
    if not isinstance(masks, ClipTracks):
        return read_masks(masks, VideoContext(reader.info, reader.stems))
    ours, theirs = reader.info, masks.video
    if (theirs.height, theirs.width, theirs.frames) != (ours.height, ours.width, ours.frames):
        raise InputError(
            f"the masks are for {theirs.frames} frames of {theirs.height} x {theirs.width} pixels, {ours.path} has "
            f"{ours.frames} of {ours.height} x {ours.width}; give the tracks of this video"
        )
    return replace(masks, video=ours)


def _known_order(path: str | os.PathLike[str] | None) -> tuple[FrameOrder, ...] | None:
    if path is None:
        return None
    told = read_tracks(Path(path)).order
    if told is None:
        raise InputError(f"--order {path}: does not tell who lies in front of whom")
    return told


def _name(masks: str | os.PathLike[str] | ClipTracks) -> str:
    return "tracks in memory" if isinstance(masks, ClipTracks) else Path(str(masks)).name


def _versions() -> dict[str, str]:
    """Of what masks depend on, as far as it is installed."""
    found = {}
    for name in ("vidamodal", "torch", "numpy", "diffusers", "transformers"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """A temporary folder inside ``out``, on the same disk. Folders made for it go again if nothing is left in them."""
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".vidamodal-", dir=out) as aside:
            yield Path(aside)
    finally:
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()


def _write(folder: Path, result: ClipTracks, reader: VideoReader, formats: Sequence[str]) -> None:
    if "tracks" in formats:
        write_tracks(folder / "tracks.json", result)
    for track in result.tracks:
        if "png" in formats:
            write_object_masks(folder / "amodal", track.id, track.amodal or ())
        if "masks" in formats:
            empty = Rle.empty(result.video.height, result.video.width)
            frames = ((mask or empty).decode() for mask in track.amodal or ())
            write_mask_video(folder / "masks" / f"{track.id}.mkv", frames, result.video.fps)
    if "overlay" in formats:
        write_video(folder / "overlay.mp4", overlay_frames(reader.frames(), result), result.video.fps)


def _made(out: Path) -> set[str]:
    """What an earlier run left there, by its own account; the rest is the user's."""
    try:
        told = json.loads((out / "run.json").read_bytes())["files"]
        return {name for name in ("run.json", *_OUTPUTS.values()) if name in told}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return set()


def _publish(aside: Path, out: Path) -> None:
    """Move everything into place, and remove what an earlier run left there that this one did not make.

    run.json comes first, for it says what is of this run, and tracks.json last: then all is there.
    """
    if hasattr(os, "sync"):  # once for hundreds of small files, before any of them gets its name; not on Windows
        os.sync()
    for name in _made(out) - set(os.listdir(aside)):
        if (out / name).exists():
            os.replace(out / name, aside / f".old-{name}")  # goes with the temporary folder
    for name in ("run.json", *_OUTPUTS.values()):
        new, old = aside / name, out / name
        if not new.exists():
            continue
        if old.is_dir() or (old.exists() and not new.is_file()):
            os.replace(old, aside / f".old-{name}")
        os.replace(new, old)
