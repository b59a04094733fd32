"""What a worker does: load the networks once, and predict one video after the other."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from vidamodal import hub
from vidamodal.backbones.pretrained import external_networks
from vidamodal.batch.video_set import BatchVideo
from vidamodal.batch.workers import worker_number
from vidamodal.inference.api import installed_versions, predict
from vidamodal.inference.depth.depth_model import LoadedDepthModel, load_depth_model
from vidamodal.inference.depth.depth_source import DepthKind
from vidamodal.inference.finders.sam_stream import DEFAULT_SAM, LoadedSam, load_sam
from vidamodal.inference.finders.text_boxes import DEFAULT_DETECTOR, LoadedDetector, load_detector
from vidamodal.inference.prediction import DEFAULT_FORMATS, check_formats
from vidamodal.inference.predictor import Predictor
from vidamodal.inference.runtime import Runtime
from vidamodal.inference.sources import DetectInput, MaskInputs, load_detecting_model, load_network
from vidamodal.media.files import TEMPORARY_PREFIX
from vidamodal.models.folder import DEFAULT, LoadedModel, LoadedSegmenter
from vidamodal.types import InputError


@dataclass(frozen=True)
class BatchSettings:
    """The arguments of `vidamodal.predict` that hold for all videos of a batch."""

    detect: bool | str | None = None
    text: str | None = None
    sam: str | None = None
    detector: str | None = None
    diffsp: str | None = None
    model: str = DEFAULT
    head: str | None = None
    device: str = "auto"
    seed: int = 0
    hypotheses: int = 1
    formats: tuple[str, ...] = DEFAULT_FORMATS
    exhaustive: bool | None = None
    depth: str | None = None
    """A depth model."""
    depth_kind: DepthKind = "auto"
    offline: bool = False
    companions: tuple[str, ...] = ()
    """Kinds of inputs that belong to single videos."""


@dataclass(frozen=True)
class _Networks:
    """What is loaded once."""

    network: LoadedModel | LoadedSegmenter
    detect: DetectInput | None
    sam: LoadedSam | None
    detector: LoadedDetector | None
    depth: LoadedDepthModel | None


def prepare(settings: BatchSettings) -> dict[str, Any]:
    """Load and check everything that all videos share.

    Returns:
        What results depend on besides the videos: two batches with equal values have equal results. The values that
        run.json holds, too, have its names.

    Raises:
        InputError: If the settings cannot be used.
    """
    networks = _load(settings)
    network = networks.network
    others = {name: getattr(networks, name) for name in ("detect", "sam", "detector", "depth")}
    segmenters = [loaded for loaded in (network, networks.detect) if isinstance(loaded, LoadedSegmenter)]
    names: dict[str, Any] = {name: _base_name(getattr(settings, name)) for name in (*others, "diffsp")}
    return {
        **names,
        **{name: getattr(settings, name) for name in ("text", "seed", "hypotheses", "exhaustive", "depth_kind")},
        "formats": list(settings.formats),
        "inputs": list(settings.companions),
        "device": Runtime.choose(settings.device).device.type,
        "model": network.name,
        "weights": network.weights_hash,
        "config": network.config_hash,
        "head": network.head,
        "precision": str(Runtime.choose(settings.device).precision).removeprefix("torch."),
        "versions": installed_versions(),
        "hashes": {
            name: [loaded.weights_hash, loaded.config_hash]
            for name, loaded in others.items()
            if loaded is not None and not isinstance(loaded, bool | str)
        },
        "outside": [network for segmenter in segmenters for network in external_networks(segmenter.model)],
    }


def predict_video(settings: BatchSettings, video: BatchVideo, out: Path) -> dict[str, Any]:
    """Predict one video into ``out/<key>``.

    Returns:
        The entry of the manifest, also for a failure: a video that cannot be read must not stop the others.
    """
    folder = out / video.key
    try:
        networks = _load(settings)
        inputs: dict[str, Any] = {kind: source.path for kind, source in video.companions.items() if kind != "masks"}
        if networks.depth is not None:
            inputs["depth"] = networks.depth
        predict(
            video.open(),
            video.masks(),
            folder,
            detect=networks.detect,
            text=settings.text,
            sam=networks.sam,
            detector=networks.detector,
            model=networks.network,
            device=settings.device,
            seed=settings.seed,
            hypotheses=settings.hypotheses,
            formats=settings.formats,
            exhaustive=settings.exhaustive,
            depth_kind=settings.depth_kind,
            offline=settings.offline,
            **inputs,
        )
        return describe_result(folder) or failure(OSError(f"{folder}: the result is gone"))
    except Exception as error:
        return failure(error, [*video.paths, folder])


def describe_result(folder: Path) -> dict[str, Any] | None:
    """Return the entry of the manifest for a complete result; None if the result is not complete.

    Args:
        folder: The folder of one video.
    """
    try:
        run = json.loads((folder / "run.json").read_bytes())
        interrupted = any(folder.glob(f"{TEMPORARY_PREFIX}*"))
        if interrupted or not all((folder / name).exists() for name in run["files"]):
            return None
        digest = {"tracks": _hash_file(folder / "tracks.json")} if "tracks.json" in run["files"] else {}
        entry = {name: run[name] for name in ("formats", "exhaustive", "masks", "masks_hash", "object_frames", "notes")}
        return {"outcome": "done", **entry, **digest}
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def failure(error: Exception, paths: Sequence[Path] = ()) -> dict[str, Any]:
    """Return the entry of the manifest for a video that failed.

    Args:
        error: The error.
        paths: Files and folders that the message may name; their folders are left out.
    """
    known = isinstance(error, InputError | OSError | RuntimeError)
    message = " ".join(str(error).split())
    for path in paths:
        message = message.replace(f"{path.parent}{os.sep}", "")
    return {
        "outcome": "bad input" if isinstance(error, InputError) else "failed",
        "error": message if known and message else f"{type(error).__name__}: {message}",
    }


def _base_name(value: bool | str | None) -> bool | str | None:
    return Path(value).name if isinstance(value, str) else value


@lru_cache(maxsize=1)
def _load(settings: BatchSettings) -> _Networks:
    torch.set_num_threads(1)
    if torch.cuda.is_available():
        torch.cuda.set_device(worker_number() % torch.cuda.device_count())
    check_formats(settings.formats)
    with hub.offline(settings.offline):
        return _load_networks(settings)


def _load_networks(settings: BatchSettings) -> _Networks:
    inputs = _inputs(settings)
    network = load_network(inputs, settings.model, settings.head)
    if isinstance(network, LoadedModel):
        Predictor(network.model, settings.device, settings.seed, settings.hypotheses)
    detect: DetectInput | None = settings.detect
    if inputs.mask_arguments in ([], ["detect"]) and isinstance(network, LoadedModel):
        detect = load_detecting_model(detect, settings.diffsp)
    follows = settings.sam is not None or settings.text is not None or {"points", "boxes"} & set(settings.companions)
    return _Networks(
        network,
        detect,
        load_sam(settings.sam or DEFAULT_SAM) if follows else None,
        None if settings.text is None else load_detector(settings.detector or DEFAULT_DETECTOR),
        None if settings.depth is None else load_depth_model(settings.depth),
    )


def _inputs(settings: BatchSettings) -> MaskInputs:
    """The sources of visible masks, with a placeholder for the path of each video."""
    paths: Mapping[str, str] = {name: "" for name in settings.companions if name in ("masks", "points", "boxes")}
    return MaskInputs(
        **paths, **{name: getattr(settings, name) for name in ("detect", "text", "sam", "detector", "diffsp")}
    )
