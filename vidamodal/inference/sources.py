"""Where the visible masks of a prediction come from: files, points, boxes or text for SAM 2, or a segmenter."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

from vidamodal.backbones.pretrained import external_networks, read_model_type
from vidamodal.formats import VideoContext, find_masks, visible_masks
from vidamodal.hub import find_model
from vidamodal.inference.finders.base import Finder, create_finder, finder_ids
from vidamodal.inference.finders.instance_segmentation import (
    FRAME_MODELS,
    InstanceSegmentationFinder,
    LoadedInstanceModel,
    load_instance_model,
)
from vidamodal.inference.finders.sam2 import Sam2Finder
from vidamodal.inference.finders.sam_stream import DEFAULT_SAM, LoadedSam, load_sam
from vidamodal.inference.finders.segmenter import DEFAULT_SEGMENTER, SegmenterFinder
from vidamodal.inference.finders.text import TextFinder
from vidamodal.inference.finders.text_boxes import DEFAULT_DETECTOR, LoadedDetector, load_detector, parse_names
from vidamodal.inference.finders.video_instance_segmentation import (
    VIDEO_MODELS,
    LoadedVideoModel,
    VideoInstanceSegmentationFinder,
    load_video_model,
)
from vidamodal.media.prompts import Prompt, read_prompts
from vidamodal.media.video import VideoReader
from vidamodal.models.folder import DEFAULT, LoadedModel, LoadedSegmenter, is_segmenter, load_model, load_segmenter
from vidamodal.segmenters.aisdiff import AISDiffSegmenter
from vidamodal.segmenters.base import segmenter_ids
from vidamodal.types import ClipTracks, InputError

PathLike = str | os.PathLike[str]
DetectInput = bool | str | LoadedSegmenter | LoadedInstanceModel | LoadedVideoModel
"""What detects objects: True for the bundled segmenter, a name or folder, a finder's id, or a loaded model."""


@dataclass(frozen=True)
class MaskInputs:
    """The arguments of `vidamodal.predict` that determine the visible masks; at most one of the first five is set."""

    masks: PathLike | ClipTracks | None = None
    detect: DetectInput | None = None
    text: str | None = None
    points: PathLike | None = None
    boxes: PathLike | None = None
    sam: str | LoadedSam | None = None
    detector: str | LoadedDetector | None = None
    diffsp: str | None = None

    def __post_init__(self) -> None:
        """Raise InputError if the arguments cannot be combined."""
        names = self.mask_arguments
        if len(names) > 1:
            raise InputError(f"{' and '.join(f'{name}=' for name in names)}: give the visible masks through one alone.")
        if self.sam is not None and names not in (["masks"], ["points"], ["boxes"], ["text"]):
            raise InputError(
                "sam=: SAM 2 follows objects that are marked. Pass points=, boxes=, masks= or text= as well."
            )
        if self.detector is not None and names != ["text"]:
            raise InputError("detector=: it detects the objects that a text names. Pass text= as well.")
        if self.diffsp is not None and names not in ([], ["detect"]):
            raise InputError(f"diffsp=: only a segmenter uses it, and the masks come from {names[0]}=. Leave one out.")

    @property
    def mask_arguments(self) -> list[str]:
        """Names of the arguments that give the visible masks."""
        names = ("masks", "detect", "text", "points", "boxes")
        return [name for name in names if getattr(self, name) not in (None, False)]

    @property
    def paths(self) -> list[PathLike]:
        """Files and folders that are read."""
        return [path for path in (self.masks, self.points, self.boxes) if isinstance(path, str | os.PathLike)]


@dataclass(frozen=True)
class MaskSource:
    """The source of the visible masks: known tracks, or a finder."""

    name: str
    """What run.json records."""
    known: ClipTracks | None = None
    finder: Finder | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)
    """Hashes of the finder's weights and config."""

    def tracks(self, reader: VideoReader, quiet: bool) -> ClipTracks:
        """Return the tracks of a video with their visible masks."""
        if self.finder is not None:
            return self.finder.find(reader.info, reader.frames, quiet)
        assert self.known is not None
        # Known masks are trusted, also those of an earlier prediction.
        return replace(self.known, tracks=tuple(replace(track, confidence=None) for track in self.known.tracks))


def load_network(
    inputs: MaskInputs, model: str | LoadedModel | LoadedSegmenter, head: str | None
) -> LoadedModel | LoadedSegmenter:
    """Load the network whose amodal masks are the result.

    It is a segmenter if nothing gives visible masks and ``model`` or ``head`` names a segmenter, else a model that
    completes visible masks.

    Raises:
        InputError: If there is no such network, or if it does not suit the inputs.
    """
    if not inputs.mask_arguments:
        segmenter = _load_named_segmenter(model, head)
        if segmenter is not None:
            return with_diffsp(segmenter, inputs.diffsp)
    if isinstance(model, LoadedSegmenter):
        raise InputError(
            f"model=: {model.name} is a segmenter, which needs no visible masks. Leave out "
            f"{inputs.mask_arguments[0]}=, or pass the segmenter as detect= instead."
        )
    if isinstance(model, str):
        return load_model(model, head)
    if head not in (None, model.head):
        raise InputError(
            f"head=: the loaded model has the head {model.head!r}. Load it with the head {head!r} instead."
        )
    return model


def resolve_source(
    inputs: MaskInputs, network: LoadedModel | LoadedSegmenter, reader: VideoReader, device: str, seed: int
) -> MaskSource:
    """Return the source of the visible masks of a video.

    Args:
        inputs: The arguments that determine the source.
        network: The network of the prediction; if it is a segmenter, it is the source.
        reader: The video.
        device: "auto", "cpu", "cuda" or "mps".
        seed: Seed of a finder that samples.

    Raises:
        InputError: If masks, prompts or a network cannot be read or do not fit the video.
    """
    if isinstance(network, LoadedSegmenter):
        return _segmenter_source(network, device, seed)
    if inputs.text is not None:
        return _text_source(inputs, inputs.text, device)
    if inputs.masks is None and inputs.points is None and inputs.boxes is None:
        return _detection_source(inputs, device, seed)
    known: ClipTracks | None = None
    prompts: tuple[Prompt, ...] = ()
    kind, name = "masks", ""
    if inputs.masks is not None:
        known, name = _read_known(reader, inputs.masks), _source_name(inputs.masks)
        if inputs.sam is None:
            return MaskSource(name, known)
    elif inputs.points is not None:
        kind, name, prompts = "points", Path(inputs.points).name, read_prompts(inputs.points, "points", reader.info)
    elif inputs.boxes is not None:
        kind, name, prompts = "boxes", Path(inputs.boxes).name, read_prompts(inputs.boxes, "boxes", reader.info)
    sam = _load_sam(inputs)
    return MaskSource(
        f"sam2 {sam.name}, {kind} {name}", finder=Sam2Finder(sam.model, prompts, known, device), hashes=_hashes(sam)
    )


def _load_named_segmenter(model: str | LoadedModel | LoadedSegmenter, head: str | None) -> LoadedSegmenter | None:
    """The segmenter that ``model`` is or that ``model`` or ``head`` names; None if they name none."""
    if isinstance(model, LoadedSegmenter):
        return model
    if isinstance(model, str) and model != DEFAULT and is_segmenter(model):
        return load_segmenter(model, head)
    if head not in segmenter_ids():
        return None
    if model == DEFAULT:
        return load_segmenter(head, head)
    raise InputError(
        f"head=: {head!r} is a segmenter, and model= names another model. Leave out model=, or pass the visible masks "
        "of the objects as masks=, or points= or boxes= for SAM 2."
    )


def _text_source(inputs: MaskInputs, text: str, device: str) -> MaskSource:
    parse_names(text)  # before anything is downloaded
    named = inputs.detector
    detector = named if isinstance(named, LoadedDetector) else load_detector(named or DEFAULT_DETECTOR)
    sam = _load_sam(inputs)
    finder = TextFinder(detector, sam.model, text, device)
    return MaskSource(f"sam2 {sam.name}, boxes by {detector.name}", finder=finder, hashes=_hashes(sam))


def _load_sam(inputs: MaskInputs) -> LoadedSam:
    return inputs.sam if isinstance(inputs.sam, LoadedSam) else load_sam(inputs.sam or DEFAULT_SAM)


def _detection_source(inputs: MaskInputs, device: str, seed: int) -> MaskSource:
    detect = load_detecting_model(inputs.detect, inputs.diffsp)
    if isinstance(detect, LoadedSegmenter):
        return _segmenter_source(detect, device, seed)
    if isinstance(detect, LoadedInstanceModel):
        finder: Finder = InstanceSegmentationFinder(detect, device)
        return MaskSource(f"instance segmentation {detect.name}", finder=finder, hashes=_hashes(detect))
    if isinstance(detect, LoadedVideoModel):
        finder = VideoInstanceSegmentationFinder(detect, device)
        return MaskSource(f"video instance segmentation {detect.name}", finder=finder, hashes=_hashes(detect))
    return MaskSource(f"finder {detect}", finder=create_finder(str(detect), device, seed))


def load_detecting_model(detect: DetectInput | None, diffsp: str | None = None) -> DetectInput:
    """Load the model that ``detect`` names, the bundled one by default; its config.json says of which kind it is.

    A loaded model and the id of a finder are returned as they are, unless ``diffsp`` names a shape prior.

    Raises:
        InputError: If there is no such model, if it detects nothing, or if it has no shape prior to replace.
    """
    loaded = _load_detecting_model(detect)
    if isinstance(loaded, LoadedSegmenter):
        return with_diffsp(loaded, diffsp)
    if diffsp is not None:
        name = loaded if isinstance(loaded, bool | str) else loaded.name
        raise InputError(f"diffsp=: {name!r} does not use it. Leave it out.")
    return loaded


def with_diffsp(segmenter: LoadedSegmenter, diffsp: str | None) -> LoadedSegmenter:
    """Return the segmenter with a Stable Diffusion inpainting model (folder or name on the Hub) as its shape prior.

    Raises:
        InputError: If the model cannot be loaded, or if the segmenter has no shape prior.
    """
    if diffsp is None:
        return segmenter
    if not isinstance(segmenter.model, AISDiffSegmenter):
        raise InputError(f"diffsp=: the segmenter {segmenter.name} has no shape prior. Pass an aisdiff segmenter.")
    model = deepcopy(segmenter.model)  # the segmenter may belong to the caller
    model.use_diffsp(diffsp)
    return replace(segmenter, model=model)


def _load_detecting_model(detect: DetectInput | None) -> DetectInput:
    name = DEFAULT_SEGMENTER if detect in (None, True, False) else detect
    if not isinstance(name, str) or name in finder_ids():
        return name
    kind = read_model_type(find_model(name, ("config.json",)))
    if kind in FRAME_MODELS:
        return load_instance_model(name)
    if kind in VIDEO_MODELS:
        return load_video_model(name)
    if kind:
        raise InputError(
            f"detect=: {name!r} is a model of type {kind!r}. Pass a segmenter of this package, or a model of "
            f"transformers of one of the types {', '.join((*FRAME_MODELS, *VIDEO_MODELS))}."
        )
    return load_segmenter(name)


def _hashes(loaded: LoadedSam | LoadedSegmenter | LoadedInstanceModel | LoadedVideoModel) -> dict[str, str]:
    return {"weights": loaded.weights_hash, "config": loaded.config_hash}


def _segmenter_source(segmenter: LoadedSegmenter, device: str, seed: int) -> MaskSource:
    finder = SegmenterFinder(segmenter.model, device, seed)
    priors = "".join(f", diffsp {network['name']}" for network in external_networks(segmenter.model))
    return MaskSource(f"segmenter {segmenter.name}{priors}", finder=finder, hashes=_hashes(segmenter))


def _read_known(reader: VideoReader, masks: PathLike | ClipTracks) -> ClipTracks:
    if not isinstance(masks, ClipTracks):
        dataset = find_masks(masks, VideoContext(reader.info, reader.stems))
        return _with_summary(visible_masks(dataset), _source_name(masks), dataset.format)
    ours, theirs = reader.info, masks.video
    if (theirs.height, theirs.width, theirs.frames) != (ours.height, ours.width, ours.frames):
        raise InputError(
            f"masks=: the tracks have {theirs.frames} frames of {theirs.height} x {theirs.width} pixels, but "
            f"{ours.path} has {ours.frames} of {ours.height} x {ours.width}. Pass the tracks of this video."
        )
    return replace(masks, video=ours)


def _with_summary(clip: ClipTracks, name: str, format_name: str) -> ClipTracks:
    """Put a line in front of the notes that says what was read."""
    count, frames = len(clip.tracks), clip.video.frames
    known = sum(any(track.visible[t] is not None for track in clip.tracks) for t in range(frames))
    summary = (
        f"{name}: read as {format_name}: {count} object{'s' * (count != 1)}, "
        f"masks in {known} of {frames} frame{'s' * (frames != 1)}"
    )
    return replace(clip, notes=(summary, *clip.notes))


def _source_name(masks: PathLike | ClipTracks) -> str:
    return "tracks in memory" if isinstance(masks, ClipTracks) else Path(str(masks)).name
