"""Video in, amodal tracks out: what `vidamodal predict` and `vidamodal.predict` do."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch

from vidamodal.heads.base import load_segmenter_class
from vidamodal.inference.predictor import Predictor
from vidamodal.inference.visible import VisibleFinder
from vidamodal.media.files import write_text
from vidamodal.media.masks import read_masks, write_mask_folder
from vidamodal.media.tracks import read_tracks, write_tracks
from vidamodal.media.video import VideoReader, open_video, write_mask_video, write_video
from vidamodal.models.folder import (
    DEFAULT,
    LoadedModel,
    LoadedSegmenter,
    bundled_models,
    is_segmenter,
    load_model,
    load_segmenter,
)
from vidamodal.report.overlay import overlay_frames
from vidamodal.types import ClipTracks, FrameOrder, InputError, Rle

FORMATS = ("tracks", "png", "overlay", "masks")
DEFAULT_FORMATS = ("tracks", "png", "overlay")
DEFAULT_SEGMENTER = "cumulative"
_OUTPUTS = ("amodal", "masks", "overlay.mp4", "run.json", "tracks.json")  # tracks.json last: it says that all is there


def predict(
    video: str | os.PathLike[str],
    masks: str | os.PathLike[str] | ClipTracks | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
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
    """Amodal tracks of the objects whose visible masks are given, or of those that a segmenter finds.

    ``video``: a video file, a folder of frames or an image. ``masks``: whatever `read_masks` reads, or tracks; None
    leaves it to a segmenter to find the objects: the one that ``model`` names, or the bundled one of ``head``.
    ``out``: a folder for the files that ``formats`` names (of tracks, png, overlay, masks); None writes nothing.
    ``exhaustive``: whether every object that may hide another is listed; None takes the masks' word for it.
    ``order``: a tracks.json that tells who lies in front of whom, for a model that reads it; the masks' own file is not
    asked unless it is named here.
    InputError for anything wrong with the input; nothing is written then.
    """
    began = time.perf_counter()
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise InputError(f"unknown format {(unknown or [''])[0]!r}: choose of {', '.join(FORMATS)}")
    if out is not None:
        _check_out(Path(out), [p for p in (video, masks) if isinstance(p, str | os.PathLike)])
    predictor: Predictor | VisibleFinder
    loaded: LoadedModel | LoadedSegmenter
    if masks is None:
        segmenter = _segmenter(model, head)
        if hypotheses != 1 or order is not None:
            raise InputError("hypotheses and an order are of objects whose masks are given: give --masks, too")
        predictor, loaded = VisibleFinder(segmenter.model, device, seed), segmenter
        reader = open_video(video)
        ready = time.perf_counter()
        result = predictor.find(reader.info, reader.frames, quiet)
        source = f"segmenter {segmenter.name}"
    else:
        completer = _completer(model, head)
        predictor, loaded = Predictor(completer.model, device, seed, hypotheses), completer
        reader = open_video(video)
        clip = _visible_tracks(reader, masks)
        if exhaustive is not None:
            clip = replace(clip, exhaustive=exhaustive)
        ready = time.perf_counter()
        result = predictor.predict(clip, quiet, reader.frames, _known_order(order))
        source = _source(masks)
    result = replace(
        result,
        exhaustive=result.exhaustive if exhaustive is None else exhaustive,
        provenance={
            "model": loaded.name,
            "weights": loaded.weights_hash,
            "config": loaded.config_hash,
            "head": loaded.head,
            "seed": seed,
            "precision": str(predictor.precision).removeprefix("torch."),
            "versions": {name: version(name) for name in ("vidamodal", "torch", "numpy")},
        },
    )
    if out is not None:
        done = time.perf_counter()
        with _aside(Path(out)) as aside:
            _write(aside, result, reader, formats)
            run = {
                **result.provenance,
                "video": reader.info.path,
                "masks": source,
                **({"canvas": predictor.segmenter.size} if isinstance(predictor, VisibleFinder) else {}),
                "exhaustive": result.exhaustive,
                "order": "own" if order is None else Path(order).name,
                "hypotheses": hypotheses,
                "formats": list(formats),
                "device": str(predictor.device),
                "threads": torch.get_num_threads(),
                "python": platform.python_version(),
                "masks_hash": hashlib.sha256(repr([t.visible for t in result.tracks]).encode()).hexdigest(),
                "object_frames": predictor.timings.object_frames,
                "seconds": {
                    "start": round(ready - began, 4),
                    **{name: round(value, 4) for name, value in predictor.timings.seconds.items()},
                    "write": round(time.perf_counter() - done, 4),
                },
            }
            write_text(aside / "run.json", json.dumps(run, indent=2, sort_keys=True) + "\n")
            _publish(aside, Path(out))
    return result


def _check_out(out: Path, inputs: Sequence[str | os.PathLike[str]]) -> None:
    """InputError if the results cannot go there, or would take the place of what they are made from."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give a folder to write to")
    replaced = {(out / name).resolve() for name in _OUTPUTS}
    for path in map(Path, inputs):
        if replaced & {path.resolve(), *path.resolve().parents}:
            raise InputError(f"{path}: the results in {out} would replace this input; give another --out")


def _completer(model: str | LoadedModel | LoadedSegmenter, head: str | None) -> LoadedModel:
    """What completes given masks."""
    if isinstance(model, LoadedSegmenter):
        raise InputError("the loaded model is a segmenter, which finds the objects by itself: leave out the masks")
    if isinstance(model, LoadedModel) and head not in (None, model.head):
        raise InputError(f"the loaded model has the head {model.head!r}; load it with head={head!r}")
    return model if isinstance(model, LoadedModel) else load_model(model, head)


def _segmenter(model: str | LoadedModel | LoadedSegmenter, head: str | None) -> LoadedSegmenter:
    """What finds objects where no masks are given; InputError, which says what is missing, if there is nothing."""
    if isinstance(model, LoadedSegmenter):
        return model
    if head is not None:
        load_segmenter_class(head)
    wanted = head or DEFAULT_SEGMENTER
    if isinstance(model, str) and model != DEFAULT and is_segmenter(model):
        return load_segmenter(model, head)
    if model == DEFAULT and wanted in bundled_models():
        return load_segmenter(wanted, head)
    raise InputError(
        "no --masks: give the visible masks of the objects (a tracks.json, a folder of PNGs, or an .npz), or a "
        f"segmenter of bare frames with --model: {'none is bundled' if model == DEFAULT else 'this model is none'}"
    )


def _visible_tracks(reader: VideoReader, masks: str | os.PathLike[str] | ClipTracks) -> ClipTracks:
    if not isinstance(masks, ClipTracks):
        return read_masks(masks, reader.info, reader.stems)
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


def _source(masks: str | os.PathLike[str] | ClipTracks) -> str:
    return "tracks in memory" if isinstance(masks, ClipTracks) else Path(str(masks)).name


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
            write_mask_folder(folder / "amodal", track.id, track.amodal or ())
        if "masks" in formats:
            empty = Rle.empty(result.video.height, result.video.width)
            frames = ((mask or empty).decode() for mask in track.amodal or ())
            write_mask_video(folder / "masks" / f"{track.id}.mkv", frames, result.video.fps)
    if "overlay" in formats:
        write_video(folder / "overlay.mp4", overlay_frames(reader.frames(), result), result.video.fps)


def _publish(aside: Path, out: Path) -> None:
    """Move everything into place, and remove what an earlier run left there that this one did not make."""
    if hasattr(os, "sync"):  # once for hundreds of small files, before any of them gets its name; not on Windows
        os.sync()
    earlier = (out / "run.json").is_file()  # else a folder called masks, say, is the user's
    for name in _OUTPUTS:
        new, old = aside / name, out / name
        if not (earlier or new.exists()):
            continue
        if old.is_dir() or (old.exists() and not new.is_file()):
            os.replace(old, aside / f".old-{name}")  # goes with the temporary folder
        if new.exists():
            os.replace(new, old)
