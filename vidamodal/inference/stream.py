"""`vidamodal.Stream`: amodal masks of a live video, frame by frame, without any later frame.

Offline, a window is laid from the frames before and after it, and a first pass shows how objects move. Here the window
of the newest frame follows from the frames before and the completed masks in them, and never changes afterwards. So
each frame is cut once, and each step is one pass of the network over the last frames of every object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Integer

from vidamodal.data.crops import BOX_NUMBERS, box_numbers
from vidamodal.geometry import Windows
from vidamodal.inference.compose import FramePrediction
from vidamodal.inference.predictor import Carried, Predictor
from vidamodal.inference.scene import REMEMBERED, FrameMasks, Memory, Pictures, Reading, Scene, Views, WindowView
from vidamodal.models.folder import DEFAULT, LoadedModel, load_model
from vidamodal.occlusion.order import OrderKeeper
from vidamodal.types import MAX_TRACK_ID, ClipTracks, Frame, InputError, Mask, Rle, Track, VideoInfo
from vidamodal.windows import follow_scene, lay_windows

StreamMasks = Mapping[int, Mask | None] | Integer[np.ndarray, "h w"]
"""Visible masks by id, None where one is unknown; or a map of the id at each pixel, 0 for none."""

Box = Float[np.ndarray, " 4"]


@dataclass(frozen=True)
class _Seen:
    """What is known of an object in one frame."""

    visible: Rle | None
    area: float
    """Visible area in pixels; 0 if it is unknown."""
    box: Box
    """Visible box (top, left, bottom, right); nan where nothing is visible."""


@dataclass(frozen=True)
class _Kept:
    """What the network is shown of an object in one frame."""

    is_known: bool
    """True if its visible mask is known."""
    place: Float[np.ndarray, " 4"]
    """Centre (x, y) and sides of its window in pixels."""
    numbers: Float[np.ndarray, " 8"]
    """Description of the window: see `vidamodal.data.crops.box_numbers`."""
    view: WindowView | None = None
    """None until the frame is cut."""

    @property
    def clearness(self) -> float:
        """The visible area, relative to that of the window."""
        return float(self.numbers[5])


@dataclass
class _Object:
    """What is kept of an object, by frame number."""

    id: int
    last_seen: int
    """The last frame in which any of it was visible."""
    seen: dict[int, _Seen] = field(default_factory=dict)
    completed: dict[int, tuple[Box, float]] = field(default_factory=dict)
    """The box and the area of the completed mask in frames in which the object is visible."""
    kept: dict[int, _Kept] = field(default_factory=dict)

    def forget(self, now: int, history: int, window: int) -> None:
        """Drop all frames but the last ones, and the clearest of those before the window."""
        for frames in (self.seen, self.completed):
            for t in [t for t in frames if t <= now - history]:
                del frames[t]
        old = [t for t, kept in self.kept.items() if t <= now - window]
        clearest = [t for t in sorted(old, key=lambda t: -self.kept[t].clearness) if self.kept[t].clearness > 0]
        for t in set(old) - set(clearest[:REMEMBERED]):
            del self.kept[t]


@dataclass(frozen=True)
class _LiveScene(Scene):
    """A scene of the kept frames, whose windows are described as they were when they were new."""

    numbers: Float[np.ndarray, "n t 8"] = field(default_factory=lambda: np.zeros((0, 0, BOX_NUMBERS)))

    @cached_property
    def box_numbers(self) -> Float[np.ndarray, "n t 8"]:
        """Description of every window that the model reads."""
        return self.numbers


_NOWHERE: Box = np.full(4, np.nan)
_UNKNOWN = _Seen(None, 0.0, _NOWHERE)
WINDOW = 24
"""Number of frames that the network sees at a time by default."""
FORGOTTEN = 48
"""Number of frames after which an object that is no longer visible is forgotten by default."""
_ANY = Rle(0, 0, "")
"""Stands for a known mask of a remembered frame, of which only the crops are kept."""


class Stream:
    """Completes the visible masks of a live video, frame by frame.

    A step reads the newest frame and nothing of the future. It costs one pass of the network over at most ``window``
    frames (and up to eight remembered ones, if an object is barely visible) for each object, and one cut and one paste
    for each object. Memory holds the crops of these frames, about 0.2 MB for each object and frame, and does not grow
    with the length of the video. The same frames give the same masks.

    Example:
        >>> stream = vidamodal.Stream(exhaustive=True)
        >>> for frame, visible in camera:  # visible: {id: boolean (height, width) array}
        ...     amodal = stream.step(frame, visible)
    """

    def __init__(
        self,
        model: str | LoadedModel = DEFAULT,
        *,
        exhaustive: bool = False,
        window: int | None = None,
        forget: int = FORGOTTEN,
        device: str = "auto",
        seed: int = 0,
    ) -> None:
        """Load the model.

        Args:
            model: A folder, a bundled name, ``owner/name`` on the Hub, or a loaded model.
            exhaustive: True if every object that may occlude another has a mask.
            window: Number of frames that the network sees at a time, at most the chunk of the model (48 for the bundled
                one); None for 24, or for the chunk if that is shorter. Fewer are faster, and lose objects that are
                occluded for longer.
            forget: Number of frames after which an object that is no longer visible is forgotten.
            device: "auto", "cpu", "cuda" or "mps".
            seed: Seed of a head that samples.

        Raises:
            InputError: If the model cannot be loaded, or an argument is out of range.
        """
        loaded = load_model(model) if isinstance(model, str) else model
        self._predictor = Predictor(loaded.model, device, seed)
        config = self._predictor.model.config
        self._window = min(WINDOW, config.chunk) if window is None else window
        self._forget = forget
        if not 1 <= self._window <= config.chunk:
            raise InputError(f"window= must lie between 1 and {config.chunk}, the chunk of the model, not {window}.")
        if self._forget < 1:
            raise InputError(f"forget= must be at least 1, not {forget}.")
        self._exhaustive = exhaustive
        self._history = max(2 * config.windows.horizon, self._forget + 1)
        self._objects: list[_Object] = []
        self._carried: Carried | None = None
        self._front = np.zeros((0, 0), dtype=np.float32)
        self._size: tuple[int, int] | None = None
        self._now = -1
        self.prediction: FramePrediction | None = None
        """Confidences, presence and order of the newest frame, beside its masks; None before the first step."""

    def step(self, frame: Frame | None, masks: StreamMasks | None) -> dict[int, Mask]:
        """Return the amodal masks of the next frame.

        Args:
            frame: The frame, uint8 (height, width, 3); it may be None if the model does not read pixels, as the
                bundled one.
            masks: Visible masks by id, boolean (height, width), or a map of ids. An object that is missing is taken to
                be fully occluded or gone; the mask of an object may be None if it is unknown. None if nothing is
                annotated in this frame. An object exists from its first mask with a visible pixel on.

        Returns:
            The amodal mask of every object by id, boolean (height, width); an empty one says that it is gone. Objects
            that are forgotten are left out.

        Raises:
            InputError: If the frame or the masks have another size than before, or if an id is out of range.
        """
        visible = None if masks is None else _by_id(masks)
        self._check(frame, visible or {})
        self._now += 1
        self._update_objects(visible)
        if not self._objects:
            self.prediction = FramePrediction(self._now, {}, (), np.zeros((0, 0)))
            return {}
        self._place_windows()
        newest = self._cut(frame)
        scene, last = self._scene(), self._slots - 1
        frames = self._last_frames(self._window)
        views: Views = {
            last - self._now + t: [kept.view if (kept := item.kept.get(t)) else None for item in self._objects]
            for t in frames
        }
        memory = [self._memory(item) for item in self._objects]
        assert self._carried is not None
        predicted = self._predictor.predict_newest(scene, views, newest, memory, self._carried)
        self._front = predicted.front.astype(np.float32)
        self._store(predicted)
        self.prediction = replace(predicted, number=self._now)
        return {key: found.masks[0].decode() for key, found in predicted.objects.items()}

    def _check(self, frame: Frame | None, visible: Mapping[int, Mask | None]) -> None:
        """Check the frame and its masks, and take their size from the first ones."""
        if frame is None and self._predictor.model.view.pixels:
            raise InputError("this model reads pixels. Pass the frame as well.")
        arrays = [mask for mask in visible.values() if mask is not None]
        size = self._size
        for array in [*([] if frame is None else [frame]), *arrays]:
            size = size or (array.shape[0], array.shape[1])
            if array.shape[:2] != size:
                raise InputError(
                    f"frame {self._now + 1}: a frame or mask of {array.shape[0]} x {array.shape[1]} pixels, but the "
                    f"first one has {size[0]} x {size[1]}. Resize it."
                )
        if any(not 0 <= number <= MAX_TRACK_ID for number in visible):
            raise InputError(f"frame {self._now + 1}: ids must lie between 0 and {MAX_TRACK_ID}.")
        self._size = size

    def _update_objects(self, visible: Mapping[int, Mask | None] | None) -> None:
        """Add what the newest frame shows; objects appear with their first visible pixel and are forgotten."""
        before = [item.id for item in self._objects]
        shown = {number: mask for number, mask in (visible or {}).items() if mask is not None and mask.any()}
        gone = [item for item in self._objects if self._now - item.last_seen > self._forget and item.id not in shown]
        for item in gone:
            self._objects.remove(item)
            if self._carried is not None:
                self._carried.order.forget(item.id)
        self._objects += [
            _Object(number, self._now) for number in sorted(shown.keys() - {item.id for item in self._objects})
        ]
        for item in self._objects:
            is_unknown = visible is None or visible.get(item.id, False) is None
            item.seen[self._now] = _UNKNOWN if is_unknown else self._see(shown.get(item.id))
            item.last_seen = self._now if item.id in shown else item.last_seen
        self._keep_relations(before)

    def _last_frames(self, count: int) -> range:
        """The last frames, at most so many, in which there was any of the objects."""
        first = min(t for item in self._objects for t in item.seen)
        return range(max(self._now + 1 - count, first), self._now + 1)

    def _see(self, mask: Mask | None) -> _Seen:
        height, width = self._size or (0, 0)
        rle = Rle.empty(height, width) if mask is None else Rle.encode(mask)
        box = rle.box()
        return _Seen(rle, float(rle.area()), _NOWHERE if box is None else np.array(box, dtype=np.float64))

    def _keep_relations(self, before: Sequence[int]) -> None:
        """Keep the evidence and the order of the objects that are still there."""
        now = [item.id for item in self._objects]
        if now == before:
            return
        if self._carried is None:  # the first object shows the size of the image
            assert self._size is not None
            self._carried = Carried(np.zeros((0, 0, 0)), OrderKeeper(self._size[0]))
        old = [k for k, number in enumerate(before) if number in now]
        new = [now.index(before[k]) for k in old]
        evidence = np.zeros((len(self._carried.evidence), len(now), len(now)))
        front = np.zeros((len(now), len(now)), dtype=np.float32)
        if old:
            evidence[:, np.array(new)[:, None], new] = self._carried.evidence[:, np.array(old)[:, None], old]
            front[np.ix_(new, new)] = self._front[np.ix_(old, old)]
        self._carried.evidence, self._front = evidence, front

    def _place_windows(self) -> None:
        """Lay the windows of the newest frame from the boxes of the last frames."""
        assert self._size is not None
        height, width = self._size
        config = self._predictor.model.config.windows
        frames = self._last_frames(self._history)
        seen = [[item.seen.get(t, _UNKNOWN) for t in frames] for item in self._objects]
        boxes = np.array([[moment.box for moment in row] for row in seen])
        areas = np.array([[moment.area for moment in row] for row in seen])
        windows = lay_windows(boxes, areas, height, width, config)
        if config.passes > 1:
            completed, shares = boxes.copy(), np.zeros(areas.shape)
            for k, item in enumerate(self._objects):
                for t, (box, area) in item.completed.items():
                    if t in frames:
                        completed[k, t - frames.start] = box
                        shares[k, t - frames.start] = areas[k, t - frames.start] / area
                # The newest mask is not complete yet: its visible share follows from the area of the last one.
                usual = max((area for _, area in item.completed.values()), default=areas[k, -1])
                shares[k, -1] = min(areas[k, -1] / usual, 1.0) if usual else 0.0
            windows = follow_scene(windows, completed, shares, config)
        for k, item in enumerate(self._objects):
            place = np.concatenate([windows.center[k, -1], windows.side[k, -1]])
            previous = item.kept[self._now - 1].place if self._now - 1 in item.kept else place
            pair = np.stack([previous, place])[None]
            numbers = box_numbers(
                Windows(pair[..., :2], pair[..., 2:]), areas[k : k + 1, [-1, -1]], height, width, self._exhaustive
            )[0, 1]
            item.kept[self._now] = _Kept(item.seen[self._now].visible is not None, place, numbers)

    def _cut(self, frame: Frame | None) -> FrameMasks:
        """Cut the newest frame and return its masks."""
        reads = self._predictor.model.view
        image = frame if reads.pixels else None
        scene, last = self._scene(), self._slots - 1
        masks = scene.masks(last)
        views = scene.view(last, masks, Pictures(image), Reading(reads.cells, reads.depth, depth_rule=False))
        for item, view in zip(self._objects, views, strict=True):
            item.kept[self._now] = replace(item.kept[self._now], view=view)
        return masks

    @property
    def _slots(self) -> int:
        """Frames of the scene: the remembered ones, and twice the chunk of the model."""
        return REMEMBERED + 2 * self._predictor.model.config.chunk

    def _slot_of(self, item: _Object) -> dict[int, int]:
        """The place of each kept frame of an object in the scene: by its age, or among the remembered ones."""
        recent = self._slots - REMEMBERED
        old = sorted(t for t in item.kept if self._now - t >= recent)
        return {t: old.index(t) if t in old else self._slots - 1 - self._now + t for t in item.kept}

    def _scene(self) -> _LiveScene:
        """The scene of all kept frames."""
        assert self._size is not None
        count, slots = len(self._objects), self._slots
        places, areas = np.full((count, slots, 4), np.nan), np.zeros((count, slots))
        numbers = np.zeros((count, slots, BOX_NUMBERS), dtype=np.float32)
        tracks = []
        for k, item in enumerate(self._objects):
            visible: list[Rle | None] = [None] * slots
            for t, slot in self._slot_of(item).items():
                kept = item.kept[t]
                places[k, slot], numbers[k, slot] = kept.place, kept.numbers
                areas[k, slot] = kept.clearness / 4 * places[k, slot, 2:].prod()
                visible[slot] = item.seen[t].visible if t in item.seen else _ANY if kept.is_known else None
            tracks.append(Track(item.id, tuple(visible)))
        front = None
        if self._predictor.model.view.order:
            front = np.zeros((slots, count, count), dtype=np.float32)
            front[-1] = self._front
        info = VideoInfo("stream", *self._size, slots, 1.0)
        return _LiveScene(
            ClipTracks(info, tuple(tracks), self._exhaustive), tracks, list(range(count)), [(0, slots)] * count,
            Windows(places[..., :2], places[..., 2:]), areas, front, numbers=numbers,
        )  # fmt: skip

    def _memory(self, item: _Object) -> Memory:
        """The clearest frames before the window."""
        slots = self._slot_of(item)
        old = sorted(t for t in item.kept if t <= self._now - self._window)
        return {slots[t]: view.crops for t in old if (view := item.kept[t].view) is not None}

    def _store(self, predicted: FramePrediction) -> None:
        """Keep the boxes of the completed masks, and drop frames that are no longer needed."""
        for item in self._objects:
            mask = predicted.objects[item.id].masks[0]
            box, area = mask.box(), float(mask.area())
            if item.last_seen == self._now and box is not None:
                item.completed[self._now] = np.array(box, dtype=np.float64), area
            item.forget(self._now, self._history, self._window)


def _by_id(masks: StreamMasks) -> dict[int, Mask | None]:
    """Return the masks by id."""
    if isinstance(masks, np.ndarray):
        return {int(number): masks == number for number in np.unique(masks) if number}
    return {int(number): None if mask is None else np.asarray(mask, dtype=bool) for number, mask in masks.items()}
