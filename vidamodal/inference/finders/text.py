"""Visible masks of the objects that a text names: boxes from a zero-shot detector, followed by SAM 2 or EdgeTAM."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from vidamodal.inference.finders.base import Finder
from vidamodal.inference.finders.sam_follow import MODEL, Mark, Masks, Patience, follow_backward
from vidamodal.inference.finders.sam_stream import Logits, SamStream, disjoint_masks
from vidamodal.inference.finders.text_boxes import Detection, LoadedDetector, parse_names
from vidamodal.inference.runtime import FrameRanges, Runtime, Timings, open_frames
from vidamodal.media.prompts import Prompt
from vidamodal.progress import progress
from vidamodal.types import ClipTracks, Frame, InputError, Rle, Track, VideoInfo

INTERVAL = 10
"""Frames from one detection to the next."""
PATIENCE = 120
"""Frames out of sight after which an object is followed no longer; if it comes back, it has a new track."""
SAME_OBJECT = 0.5
"""Least IoU of a detection and a track of the same object, and least share of a detection's mask that must belong to
tracks for it to be no newcomer."""


@dataclass
class _Search:
    """The objects so far."""

    video: VideoInfo
    stream: SamStream
    visible: Masks = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    """The detection that began each track."""
    votes: dict[int, dict[str, float]] = field(default_factory=dict)
    """Sum of the scores of each label, by track."""

    def join(self, t: int, pixels: Any, detections: list[Detection], logits: dict[int, Logits]) -> None:
        """Join the detections of a frame to tracks, and begin a track for each newcomer.

        Args:
            t: The frame.
            pixels: The frame as the stream reads it.
            detections: The detections, those with the highest score first.
            logits: The logits of all tracks in the frame, to which those of newcomers are added.
        """
        height, width = self.video.height, self.video.width
        for one in detections:
            key = len(self.marks) + 1
            prompt = Prompt(key, t, box=one.box)
            sighting = self.stream.look(t, pixels, prompt, height, width)
            known, covered = _overlap(sighting.logits, logits)
            if known is None and not covered and bool((sighting.logits > 0).any()):
                self.stream.follow(key, sighting)
                logits[key], known = sighting.logits, key
                self.marks.append(Mark(key, t, prompt))
                self.visible[key] = [None] * self.video.frames
            if known is not None and one.label is not None:
                votes = self.votes.setdefault(known, {})
                votes[one.label] = votes.get(one.label, 0.0) + one.score

    def label(self, key: int) -> str | None:
        """The label of a track with the largest sum of scores."""
        votes = self.votes.get(key)
        return min(votes, key=lambda name: (-votes[name], name)) if votes else None


class TextFinder(Finder):
    """A zero-shot detector and SAM 2 or EdgeTAM on a device.

    Objects are detected in every tenth frame. A detection whose mask overlaps that of a track belongs to the track;
    others begin tracks, which are followed forward and, from where they begin, backward.
    """

    ID = "text"

    def __init__(
        self,
        detector: LoadedDetector,
        sam: Any,
        text: str,
        device: str = "auto",
        interval: int = INTERVAL,
        patience: int = PATIENCE,
    ) -> None:
        """Move the models to a device.

        Args:
            detector: The detector.
            sam: A ``Sam2VideoModel`` or ``EdgeTamVideoModel``; it is switched to evaluation mode.
            text: Names of objects, separated by full stops: "person. dog.".
            device: "auto", "cpu", "cuda" or "mps".
            interval: Number of frames from one detection to the next, at least 1.
            patience: Number of frames out of sight after which an object is followed no longer, at least 1.

        Raises:
            InputError: If the text names no object, if a number is less than 1, or if the device is not available.
        """
        if min(interval, patience) < 1:
            raise InputError(f"interval and patience must be at least 1 frame, not {interval} and {patience}")
        self.names = parse_names(text)
        self.runtime = Runtime.choose(device)
        self.detector, self.sam = detector, sam.to(self.runtime.device).eval()
        self.detector.model.to(self.runtime.device)
        self.interval, self.patience = interval, patience
        self.timings = Timings()

    @classmethod
    def create(cls, device: str, seed: int) -> TextFinder:
        """A text is needed, so there is no default.

        Raises:
            InputError: Always.
        """
        raise InputError("the finder 'text' needs the names of objects. Pass text= instead of detect=.")

    @property
    def size(self) -> int:
        """Side in pixels of the square that SAM 2 reads."""
        return int(self.sam.config.image_size)

    def find(self, video: VideoInfo, frames: FrameRanges, quiet: bool = True) -> ClipTracks:
        """Return a track with visible masks and a label for each object; masks do not overlap."""
        search = _Search(video, SamStream(self.sam, self.runtime))
        rule = Patience(self.patience)
        opened = open_frames(frames, MODEL)
        for t, frame in enumerate(progress(opened, video.frames, "find", "frame", quiet)):
            masks = self._find_in(search, t, frame)
            for key, mask in masks.items():
                search.visible[key][t] = mask
            search.stream.drop(rule.lost(masks))
        began = time.perf_counter()
        backward = SamStream(self.sam, self.runtime, backward=True)
        follow_backward(backward, video, frames, search.marks, search.visible, self.patience, quiet)
        self.timings.add("follow", began)
        tracks = tuple(Track(key, tuple(masks), label=search.label(key)) for key, masks in search.visible.items())
        return ClipTracks(video, tracks, notes=(self._note(tracks),))

    def run_record(self) -> dict[str, Any]:
        """Return the text, the detector and the numbers of frames."""
        return {
            "canvas": self.size,
            "text": self.names,
            "detector": self.detector.name,
            "interval": self.interval,
            "patience": self.patience,
        }

    def external_networks(self) -> list[dict[str, str]]:
        """Return the name and the hash of the weights of the detector."""
        return [{"name": self.detector.name, "weights": self.detector.weights_hash}]

    def _find_in(self, search: _Search, t: int, frame: Frame) -> dict[int, Rle]:
        """The masks of a frame by track, after a detection if one is due."""
        due = t % self.interval == 0
        if not due and not search.stream.ids:
            return {}
        began = time.perf_counter()
        pixels = search.stream.prepare(frame)
        logits = search.stream.step(t, pixels)
        self.timings.add("follow", began)
        if due:
            began = time.perf_counter()
            detections = self.detector.detect(frame, self.names)
            self.timings.add("detect", began)
            began = time.perf_counter()
            search.join(t, pixels, detections, logits)
            self.timings.add("follow", began)
        return disjoint_masks(logits, search.video.height, search.video.width)

    def _note(self, tracks: tuple[Track, ...]) -> str:
        counts = Counter(track.label or "without a label" for track in tracks)
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        return (
            f"text {'. '.join(self.names)}: {len(tracks)} object{'s' * (len(tracks) != 1)} found by "
            f"{self.detector.name}{f' ({kinds})' * bool(kinds)}"
        )


def _overlap(mask: Logits, tracks: Mapping[int, Logits]) -> tuple[int | None, bool]:
    """The track with the largest IoU if that suffices, and whether enough of the mask belongs to tracks."""
    inside = mask > 0
    best, most, union = None, 0.0, torch.zeros_like(inside)
    for key, plane in tracks.items():
        other = plane > 0
        union = union | other
        iou = float((inside & other).sum()) / max(float((inside | other).sum()), 1.0)
        if iou >= SAME_OBJECT and iou > most:
            best, most = key, iou
    return best, float((inside & union).sum()) >= SAME_OBJECT * max(float(inside.sum()), 1.0)
