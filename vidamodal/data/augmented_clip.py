"""A clip as training shows it: degraded visible masks, some of them listed, in the windows that a model would lay."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8, UInt16

from vidamodal.data.augment import AugmentConfig, DegradedMasks, degrade
from vidamodal.data.crops import FrameMap, boxes_and_areas
from vidamodal.data.first_pass import simulate_first_boxes
from vidamodal.data.rough_depth import degrade_depth
from vidamodal.geometry import Windows
from vidamodal.occlusion.thresholds import least_counted_area
from vidamodal.runs import LabelRuns
from vidamodal.windows import View, WindowConfig, follow_scene, lay_windows
from vidamodal.worlds.sample import ClipMasks


@dataclass(frozen=True)
class AugmentedClip:
    """A clip with degraded visible masks, and the order and depth that a model would see it with."""

    clip: ClipMasks
    degraded: DegradedMasks
    listed: Bool[np.ndarray, " n"]
    """Objects whose visible masks are part of the inputs of the others."""
    annotated: Bool[np.ndarray, "n t"]
    """Object-frames with ground truth."""
    known: Bool[np.ndarray, "n t"]
    """Object-frames with a known visible mask."""
    partial: bool
    boxes: Float[np.ndarray, "n t 4"]
    """Boxes of the degraded visible masks: see `boxes_and_areas`."""
    areas: Float[np.ndarray, "n t"]
    """Areas of the degraded visible masks in pixels."""
    disparity: Float[np.ndarray, "t h w"] | None = None
    """Disparity as the model reads it; None if it is unknown."""
    front: Float[np.ndarray, "t n n"] | None = None
    """Confidence that objects lie in front of each other; None if unknown."""

    @staticmethod
    def sample(clip: ClipMasks, rng: np.random.Generator, config: AugmentConfig, view: View) -> AugmentedClip:
        """Degrade the visible masks and choose what is listed and known."""
        partial = bool(rng.random() < config.partial or not clip.exhaustive)
        degraded = degrade(clip.visible, config.sample_degradation(rng, partial), rng, clip.scenery)
        listed = _choose_listed(degraded.listed, clip.scenery, config, rng) if partial else degraded.listed
        boxes, areas = boxes_and_areas(degraded.visible)
        annotated = np.ones(areas.shape, dtype=bool) if clip.known is None else clip.known
        known = degraded.known & annotated
        if rng.random() >= config.begun:
            known &= np.logical_or.accumulate(areas > 0, axis=1)
        disparity = _sample_disparity(clip, rng, config) if view.depth else None
        return AugmentedClip(clip, degraded, listed, annotated, known, partial, boxes, areas, disparity)

    @cached_property
    def scenery(self) -> Bool[np.ndarray, " n"]:
        """Objects that are never targets."""
        return np.zeros(len(self.areas), dtype=bool) if self.clip.scenery is None else self.clip.scenery

    @cached_property
    def true_areas(self) -> Int[np.ndarray, "n t"]:
        """Areas of the amodal masks in pixels."""
        return np.asarray(np.count_nonzero(self.clip.amodal, axis=(2, 3)))

    @property
    def least_area(self) -> float:
        """Smallest amodal area in pixels of an object-frame that counts."""
        return least_counted_area(*self.clip.visible.shape[2:])

    @cached_property
    def spans(self) -> Bool[np.ndarray, "n t"]:
        """Frames from the first to the last one with a known visible mask: those that a model predicts."""
        begun = np.logical_or.accumulate(self.known, axis=1)
        return np.asarray(begun & np.logical_or.accumulate(self.known[:, ::-1], axis=1)[:, ::-1])

    @cached_property
    def exhaustive(self) -> Bool[np.ndarray, " t"]:
        """Frames in which pixels outside all visible masks certainly show no object."""
        # A known object without a mask in this frame may still be visible there.
        certain = (self.degraded.known & self.annotated) | ~self.areas.any(axis=1, keepdims=True)
        return np.asarray(certain.all(axis=0) & (not self.partial))

    @property
    def labels(self) -> UInt16[np.ndarray, "t h w"]:
        """Number of the listed object that each pixel shows, from 1; 0 for none."""
        labels = np.zeros(self.clip.visible.shape[1:], dtype=np.uint16)
        for k in np.flatnonzero(self.listed):
            labels += self.degraded.visible[k] * np.uint16(k + 1)
        return labels

    def images(self) -> UInt8[np.ndarray, "t h w 3"]:
        """Return the images; black if the clip has only masks, which the model treats as no image."""
        if self.clip.image is not None:
            return self.clip.image
        return np.zeros((*self.clip.visible.shape[1:], 3), dtype=np.uint8)

    def frame_maps(self, pixels: bool) -> list[FrameMap]:
        """Return what the listed objects show in each frame."""
        labels = [LabelRuns.of_map(each) for each in self.labels]
        nothing = [None] * len(labels)
        images = self.images() if pixels else nothing
        disparity = nothing if self.disparity is None else self.disparity
        return [FrameMap(*frame) for frame in zip(labels, images, disparity, strict=True)]

    def usable_tracks(self) -> Int[np.ndarray, " k"]:
        """Return the objects that are large enough in some frame and are not scenery."""
        return np.flatnonzero((self.areas >= self.least_area).any(axis=1) & ~self.scenery)

    def choose_tracks(
        self, usable: Int[np.ndarray, " k"], count: int, rng: np.random.Generator
    ) -> Int[np.ndarray, " b"]:
        """Choose objects at random; occluded ones and those that leave the image are more likely."""
        hidden = 1 - self.areas[usable].sum(axis=1) / np.maximum(self.true_areas[usable].sum(axis=1), 1)
        absent = (self.annotated[usable] & (self.true_areas[usable] == 0)).mean(axis=1)
        weights = 0.3 + np.maximum(hidden, 0) + 0.3 * absent
        return rng.choice(usable, count, replace=len(usable) < count, p=weights / weights.sum())

    def windows(
        self, tracks: Int[np.ndarray, " b"], second: bool, config: WindowConfig, rng: np.random.Generator
    ) -> list[Windows]:
        """Lay the window of each of some tracks as a model would that knows the listed objects and this one.

        Args:
            tracks: Numbers of the objects.
            second: True for windows of a second pass, which follow a simulated first completion.
            config: How windows follow their objects.
            rng: Source of the errors of the first completion.
        """
        listed = self.listed & ~self.scenery
        true_boxes = boxes_and_areas(self.clip.amodal)[0] if second else None
        laid: dict[int, Windows] = {}
        for track in dict.fromkeys(tracks.tolist()):
            if track in laid:
                continue
            together = listed.copy()
            together[track] = True
            group = np.flatnonzero(together)
            windows = self._lay(group, true_boxes, config, rng)
            fresh = group.tolist() if listed[track] else [track]
            laid |= {k: _window_of(windows, group.tolist().index(k)) for k in fresh}
        return [laid[track] for track in tracks.tolist()]

    def _lay(
        self,
        group: Int[np.ndarray, " k"],
        true_boxes: Float[np.ndarray, "n t 4"] | None,
        config: WindowConfig,
        rng: np.random.Generator,
    ) -> Windows:
        """Lay the windows of a group of objects; with true boxes, those of a second pass."""
        areas, (height, width) = self.areas[group], self.clip.visible.shape[2:]
        windows = lay_windows(self.boxes[group], areas, height, width, config)
        if true_boxes is None:
            return windows
        first = simulate_first_boxes(true_boxes[group], windows, areas, self.true_areas[group], rng)
        return follow_scene(windows, *first, config)


def _choose_listed(
    listed: Bool[np.ndarray, " n"],
    scenery: Bool[np.ndarray, " n"] | None,
    config: AugmentConfig,
    rng: np.random.Generator,
) -> Bool[np.ndarray, " n"]:
    """Return which of the objects that are not missing are listed in a partial clip."""
    if rng.random() < config.alone:
        return np.zeros_like(listed)
    if scenery is None:
        return listed
    return np.where(scenery, rng.random(len(listed)) < config.scenery_listed, listed)


def _sample_disparity(
    clip: ClipMasks, rng: np.random.Generator, config: AugmentConfig
) -> Float[np.ndarray, "t h w"] | None:
    """Return the disparity that a model reads, exact or with the errors of a depth model; None if it reads none."""
    if clip.disparity is None or rng.random() >= config.depth:
        return None
    return clip.disparity if rng.random() < config.depth_exact else degrade_depth(clip.disparity, clip.visible, rng)


def _window_of(windows: Windows, track: int) -> Windows:
    """Return the windows of one track."""
    shown = None if windows.shown is None else windows.shown[track : track + 1]
    return Windows(windows.center[track : track + 1], windows.side[track : track + 1], shown)
