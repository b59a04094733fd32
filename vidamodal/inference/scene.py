"""What is known of a clip before prediction: visible tracks, spans, windows, anchors and clearest frames."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, UInt16

from vidamodal.data.crops import FrameCrops, FrameMap, box_numbers, cut_frame
from vidamodal.geometry import Cropper, Window, Windows
from vidamodal.inference.anchors import Anchors
from vidamodal.inference.compose import EarlyFrame
from vidamodal.occlusion.evidence import front_confidence_from_order, open_pixels
from vidamodal.runs import LabelRuns, Runs
from vidamodal.types import ClipTracks, Frame, FrameOrder, InputError, Rle, Track, known_span
from vidamodal.windows import WindowConfig, follow_scene, lay_windows

REMEMBERED = 8
"""Number of earlier frames remembered of each track, for when it is occluded for longer than a chunk."""

Memory = dict[int, FrameCrops]
"""The clearest earlier frames of a track: its crops by frame number, in order."""


@dataclass(frozen=True)
class FrameMasks:
    """The visible masks of a frame."""

    visible: dict[int, Runs | None]
    """By id of the track; None if unknown."""
    labels: LabelRuns
    """The place of the visible track at each pixel among the clip's tracks, from 1; of several, the last one counts."""


@dataclass(frozen=True)
class WindowView:
    """The window of a track in one frame: its crops, and the label at the centre of each cell."""

    crops: FrameCrops
    labels: UInt16[np.ndarray, "s s"]
    open: Runs | None
    """Unlabelled pixels under which the object may extend, as far as depth tells; None if depth tells nothing."""


@dataclass(frozen=True)
class Pictures:
    """What is known of a frame besides masks."""

    image: Frame | None = None
    disparity: Float[np.ndarray, "h w"] | None = None
    """Larger is nearer; nan is unknown."""


@dataclass(frozen=True)
class Reading:
    """How a model sees a frame."""

    cells: int
    """Cells along each side of a window."""
    depth: bool
    """True if it reads planes of depth."""
    depth_rule: bool
    """True if depth tells occluders from the background in partial scenes."""


Views = dict[int, list[WindowView | None]]
"""By frame number, the views of all tracks of a scene; None for tracks whose span does not include the frame."""


@dataclass(frozen=True)
class Scene:
    """A clip, the tracks of which something is known, and their windows."""

    clip: ClipTracks
    tracks: list[Track]
    """The n tracks of which at least one visible mask or anchor is not empty."""
    places: list[int]
    """Indices of these tracks among the clip's tracks."""
    spans: list[tuple[int, int]]
    """First frame with a known visible mask or an anchor, and one past the last."""
    windows: Windows
    areas: Float[np.ndarray, "n t"]
    """Visible areas in pixels; 0 where unknown."""
    front: Float[np.ndarray, "t m m"] | None = None
    """Signed confidence that track j of the clip's m tracks (last axis) lies in front of track i; None if unknown."""
    anchors: Anchors = field(default_factory=Anchors)

    @staticmethod
    def from_clip(clip: ClipTracks, config: WindowConfig, anchors: Anchors | None = None) -> Scene:
        """Lay the windows of a clip from the boxes of its visible masks and anchors."""
        anchors = anchors or Anchors()
        places = [k for k, track in enumerate(clip.tracks) if track.ever_visible or anchors.show(track.id)]
        tracks = [clip.tracks[k] for k in places]
        areas, boxes = _measure([track.visible for track in tracks], clip.video.frames)
        known = [anchors.instead(track) for track in tracks]
        sizes, extents = (areas, boxes) if not anchors.masks else _measure(known, clip.video.frames)
        spans = [span for masks in known if (span := known_span(masks)) is not None]
        windows = lay_windows(extents, sizes, clip.video.height, clip.video.width, config)
        return Scene(clip, tracks, places, spans, windows, areas, anchors=anchors)

    def with_order(self, order: Sequence[FrameOrder]) -> Scene:
        """Return the scene with a known order of every frame.

        Raises:
            InputError: If the order has another number of frames than the clip.
        """
        frames = self.clip.video.frames
        if len(order) != frames:
            raise InputError(f"order= has {len(order)} frames, but the clip has {frames}. Pass the order of this clip.")
        return replace(self, front=front_confidence_from_order(order, [track.id for track in self.clip.tracks]))

    def after_pass(self, completed: Iterable[EarlyFrame], config: WindowConfig, reads_order: bool) -> Scene:
        """Return the scene for the next pass: its windows follow the scene while an object is occluded.

        Args:
            completed: Predictions of a pass, frame by frame.
            config: How windows are laid.
            reads_order: True if the model reads the order. That of the first pass holds for all later ones.
        """
        boxes, shares = np.zeros((*self.areas.shape, 4)), np.zeros(self.areas.shape)
        front, count = None, len(self.clip.tracks)
        if reads_order and self.front is None:
            # One block: small arrays between the large, short-lived tensors of a network would leave gaps in memory.
            front = np.zeros((self.clip.video.frames, count, count), dtype=np.float16)
        for frame in completed:
            if front is not None:
                front[frame.number] = frame.front
            for k, extent in frame.extents.items():
                boxes[k, frame.number] = extent.box
                anchored = frame.number in self.anchors.of(self.tracks[k].id)
                shares[k, frame.number] = 1 if anchored else self.areas[k, frame.number] / extent.area
        windows = follow_scene(self.windows, boxes, shares, config)
        return replace(self, windows=windows, front=self.front if front is None else front)

    @cached_property
    def box_numbers(self) -> Float[np.ndarray, "n t 8"]:
        """Description of every window that the model reads: see `vidamodal.data.crops.box_numbers`."""
        video = self.clip.video
        return box_numbers(self.windows, self.areas, video.height, video.width, self.clip.exhaustive)

    def includes(self, track: int, frame: int) -> bool:
        """Return whether the span of a track includes a frame."""
        first, stop = self.spans[track]
        return first <= frame < stop

    def tracks_between(self, start: int, stop: int) -> list[int]:
        """Return the tracks whose span includes any of these frames."""
        return [k for k, (first, last) in enumerate(self.spans) if first < stop and last > start]

    def masks(self, frame: int) -> FrameMasks:
        """Return the visible masks of all the clip's tracks in a frame."""
        known = {track.id: track.visible[frame] for track in self.clip.tracks}
        visible = {key: None if mask is None else Runs.of(mask) for key, mask in known.items()}
        video = self.clip.video
        return FrameMasks(visible, LabelRuns.of(list(visible.values()), video.height, video.width))

    def view(
        self,
        frame: int,
        masks: FrameMasks,
        pictures: Pictures,
        reading: Reading,
        only: Collection[int] | None = None,
    ) -> list[WindowView | None]:
        """Return the view of every track, or of some, in a frame of which the masks and pictures are known."""
        visible, labels = masks.visible, masks.labels
        frame_map = FrameMap(labels, pictures.image, pictures.disparity)
        # If the visible mask of an object in its span is unknown, unlabelled pixels may still show that object.
        no_unknown = all(
            visible[track.id] is not None or not self.includes(k, frame) for k, track in enumerate(self.tracks)
        )
        exhaustive, rule = self.clip.exhaustive and no_unknown, reading.depth_rule and not self.clip.exhaustive
        views: list[WindowView | None] = []
        for k, track in enumerate(self.tracks):
            if not self.includes(k, frame) or (only is not None and k not in only):
                views.append(None)
                continue
            window = self.windows.at(k, frame)
            cropper = Cropper.at(window, reading.cells, labels.height, labels.width)
            front = None if self.front is None else np.append(np.float32(0), self.front[frame, self.places[k]])
            crops = cut_frame(cropper, visible[track.id], frame_map, exhaustive, front, reading.depth, rule)
            shown = labels.at(cropper.rows.centers, cropper.columns.centers)
            shown[cropper.inside <= 0.5] = 0
            views.append(WindowView(crops, shown, _open_pixels(crops, window, pictures.disparity)))
        return views

    def anchor_cells(self, track: int, frame: int, cells: int) -> Float[np.ndarray, "s s"]:
        """Return an anchor of a track in its window: the covered share of each cell."""
        video = self.clip.video
        cropper = Cropper.at(self.windows.at(track, frame), cells, video.height, video.width)
        return cropper.cut(Runs.of(self.anchors.of(self.tracks[track].id)[frame]).pieces)

    def visible_share(self, track: int, frame: int) -> float:
        """Return the share of its window that a track visibly fills."""
        return float(self.areas[track, frame] / self.windows.areas[track, frame])

    def largest_share(self, track: int, frames: Iterable[int]) -> float:
        """Return the largest visible share of a track over some frames."""
        return max((self.visible_share(track, t) for t in frames), default=0.0)

    def remember(self, track: int, memory: Memory, views: Views, frames: range) -> Memory:
        """Return the clearest frames of a track among those in memory and some new ones."""
        seen = {t: view.crops for t in frames if (view := views[t][track]) is not None and self.areas[track, t] > 0}
        known = {**memory, **seen}
        clearest = sorted(known, key=lambda t: -self.visible_share(track, t))[:REMEMBERED]
        return {t: known[t] for t in sorted(clearest)}


def _measure(
    tracks: Sequence[Sequence[Rle | None]], frames: int
) -> tuple[Float[np.ndarray, "n t"], Float[np.ndarray, "n t 4"]]:
    """Return the areas of masks, 0 where they are unknown, and their boxes, nan where they are unknown or empty."""
    areas, boxes = np.zeros((len(tracks), frames)), np.full((len(tracks), frames, 4), np.nan)
    for k, masks in enumerate(tracks):
        for t, mask in enumerate(masks):
            box = None if mask is None else mask.box()
            if mask is not None and box is not None:
                boxes[k, t], areas[k, t] = box, mask.area()
    return areas, boxes


def _open_pixels(crops: FrameCrops, window: Window, disparity: Float[np.ndarray, "h w"] | None) -> Runs | None:
    """The pixels of the image that are open by depth; None if depth is not used as a rule."""
    if crops.comparison is None or disparity is None:
        return None
    rows, columns, pixels = open_pixels(crops.comparison, window, disparity)
    return Runs.placed(pixels, (rows.start, columns.start), *disparity.shape)
