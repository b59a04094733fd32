"""Prediction of amodal tracks from visible masks, chunk by chunk, so that memory does not grow with the video.

The boxes of the visible masks lay the windows. Then each chunk of frames is cut, completed and pasted back, and
neighbouring chunks are cross-faded. Of all passes but the last, only boxes and order are kept: they let the windows of
the next pass follow the scene while an object is occluded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, repeat

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from vidamodal.data.crops import FrameCrops
from vidamodal.inference.anchors import AnchorInput, read_anchors
from vidamodal.inference.collected import collect
from vidamodal.inference.completion import Completion, TrackFrames
from vidamodal.inference.compose import (
    EarlyFrame,
    Extent,
    FramePrediction,
    MaskRules,
    ObjectContext,
    ObjectPrediction,
    WindowLogits,
    compose_object,
    measure_extent,
)
from vidamodal.inference.depth.depth_sign import LEAST_PREDICTED, count_votes, orient
from vidamodal.inference.depth.depth_source import DepthSource, DisparityMaps
from vidamodal.inference.runtime import FrameSource, Runtime, Timings, open_frames
from vidamodal.inference.scene import FrameMasks, Memory, Pictures, Reading, Scene, Views, WindowView
from vidamodal.inference.track_logits import FrameLogits, TrackLogits
from vidamodal.inference.unlisted import HOLE_LOGIT, short_holes
from vidamodal.models.folder import Model
from vidamodal.occlusion.evidence import REACH, front_confidence, label_weights
from vidamodal.occlusion.order import OrderKeeper
from vidamodal.occlusion.parts import NEAR, PartJudge, TrackWindows
from vidamodal.occlusion.thresholds import PartialDecision
from vidamodal.progress import progress
from vidamodal.types import ClipTracks, Frame, FrameOrder, InputError


@dataclass(frozen=True)
class Chunk:
    """Frames that are completed together. Those from ``next_start`` on are completed again by the next chunk."""

    start: int
    stop: int
    next_start: int

    @property
    def frames(self) -> range:
        """All frames of the chunk."""
        return range(self.start, self.stop)

    @property
    def new_frames(self) -> range:
        """The frames before the next chunk."""
        return range(self.start, self.next_start)


@dataclass
class _PassState:
    """What a pass carries from one chunk to the next."""

    memory: list[Memory]
    evidence: Float[np.ndarray, "t m m"]
    """Evidence of the last frames before the chunk, as far as it reaches."""
    masks: dict[int, FrameMasks] = field(default_factory=dict)
    """By frame number."""
    views: Views = field(default_factory=dict)
    pending: dict[int, TrackLogits] = field(default_factory=dict)
    """Logits of the last chunk in the frames that it shares with the next."""
    anchored: dict[tuple[int, int], FrameCrops] = field(default_factory=dict)
    """Crops by track and frame in the frames of anchors outside a chunk."""

    @staticmethod
    def begin(scene: Scene) -> _PassState:
        count = len(scene.clip.tracks)
        return _PassState([{} for _ in scene.tracks], np.zeros((0, count, count)))


@dataclass
class Carried:
    """What a live prediction carries from frame to frame."""

    evidence: Float[np.ndarray, "t m m"]
    """Evidence on the relations between m tracks in the last frames: see `Predictor.predict_newest`."""
    order: OrderKeeper


@dataclass(frozen=True)
class _Inputs:
    """What is read frame by frame besides masks."""

    frames: FrameSource | None
    disparity: DisparityMaps | None


@dataclass(frozen=True)
class _Pass:
    """How a pass completes and decides."""

    hypotheses: int
    rules: MaskRules
    mirror: bool
    """Average the logits with those of the mirrored windows."""


@dataclass(frozen=True)
class _Relations:
    """Relations between the tracks in the frames of a chunk."""

    weights: Float[np.ndarray, "t n labels"]
    """How far a track may extend under each label."""
    front: Float[np.ndarray, "t m m"]
    """Signed confidence that track j of the clip (last axis) lies in front of track i."""


@dataclass(frozen=True)
class CompletedFrame:
    """Logits, weights of occluders and visible masks, from which the masks of a frame are composed."""

    number: int
    logits: dict[int, FrameLogits]
    """By track, for those whose span includes the frame."""
    weights: Float[np.ndarray, "n labels"]
    """How far a track may extend under each label."""
    front: Float[np.ndarray, "m m"]
    """As in `FramePrediction`."""
    masks: FrameMasks
    """The visible masks."""
    views: Sequence[WindowView | None]
    """By track."""


class Predictor:
    """A model on a device. Each track is a separate batch, so its result does not depend on the number of tracks."""

    def __init__(
        self,
        model: Model,
        device: str = "auto",
        seed: int = 0,
        hypotheses: int = 1,
        constrain: bool = True,
        keep_probabilities: bool = False,
        depth_rule: bool = True,
    ) -> None:
        """Move the model to a device.

        Args:
            model: The model; it is switched to evaluation mode.
            device: "auto", "cpu", "cuda" or "mps".
            seed: Seed of sampled hypotheses, at least 0.
            hypotheses: Number of hypotheses of each track, at least 1. The first is deterministic unless the head
                samples; the others are sampled.
            constrain: Apply what is known about possible occluders after the network. False gives its raw output.
            keep_probabilities: Keep the probabilities of the first hypothesis in streamed predictions.
            depth_rule: In partial scenes with depth, take surfaces that touch an object and are nearer for occluders,
                and all others for background (`vidamodal.occlusion.evidence.gather_evidence`).

        Raises:
            InputError: If an argument is out of range, or if the device is not available.
        """
        if hypotheses < 1:
            raise InputError(f"hypotheses must be at least 1, not {hypotheses}")
        if seed < 0:
            raise InputError(f"seed must be at least 0, not {seed}")
        self.runtime = Runtime.choose(device)
        self.model = model.to(self.runtime.device).eval()
        self.constrain, self.depth_rule, self.timings = constrain, depth_rule, Timings()
        config = model.config
        rules = MaskRules(
            config.threshold, config.partial, config.presence_threshold, model.stochastic, keep_probabilities
        )
        self._last_pass = _Pass(hypotheses, rules, config.mirror)
        # The decision for partial scenes was fitted to windows that do not depend on it.
        self._early_pass = _Pass(1, replace(rules, partial=PartialDecision()), mirror=False)
        self.completion = Completion(self.model, self.runtime, seed, self.timings)
        self.notes: list[str] = []
        """What the last prediction assumed about its inputs, one line each."""

    def predict(
        self,
        clip: ClipTracks,
        quiet: bool = True,
        frames: FrameSource | None = None,
        order: Sequence[FrameOrder] | None = None,
        depth: DepthSource | None = None,
        anchors: AnchorInput | None = None,
    ) -> ClipTracks:
        """Predict the amodal masks and confidences of all tracks, and the order of every frame.

        Args:
            clip: Tracks with visible masks. If a track has confidences, it was detected: they are factors of the
                predicted confidences.
            quiet: Show no progress bar.
            frames: The frames of the video, for a model that reads pixels.
            order: Known order of every frame, for a model that reads it. Without it, later passes read the order that
                the first one predicted.
            depth: Depth maps of the frames.
            anchors: Tracks of the same ids whose amodal masks are true: they are returned unchanged, and all other
                frames are completed from them.

        Raises:
            InputError: If the model needs frames and there are none, if the order or the anchors do not fit, or if the
                values of the depth maps point the other way than they should.
        """
        stream = self.stream(clip, quiet, frames, order, depth, anchors)
        return collect(clip, progress(stream, clip.video.frames, "predict", "frame", quiet))

    def stream(
        self,
        clip: ClipTracks,
        quiet: bool = True,
        frames: FrameSource | None = None,
        order: Sequence[FrameOrder] | None = None,
        depth: DepthSource | None = None,
        anchors: AnchorInput | None = None,
    ) -> Iterator[FramePrediction]:
        """Yield the prediction of each frame in turn; before the last pass, the others complete the whole clip.

        The arguments and errors are those of `predict`.
        """
        windows = self.model.config.windows
        self.notes.clear()
        scene = self._scene(clip, order, anchors)
        inputs = _Inputs(frames, None if depth is None else self._orient(scene, depth, first=windows.passes > 1))
        for number in range(1, windows.passes):
            early = self._early_frames(scene, inputs)
            bar = progress(early, clip.video.frames, f"pass {number}", "frame", quiet)
            scene = scene.after_pass(bar, windows, self.model.view.order)
            if depth is not None and inputs.disparity is None:
                inputs = _Inputs(frames, self._orient(scene, depth, least=LEAST_PREDICTED))
        yield from self._last_frames(scene, inputs)

    def predict_newest(
        self, scene: Scene, views: Views, masks: FrameMasks, memory: list[Memory], carried: Carried
    ) -> FramePrediction:
        """Predict the last frame of a scene from it and the frames before it.

        Args:
            scene: The scene; of its masks only those of the last frame are read.
            views: Views of the last frames without a gap, by frame number.
            masks: Masks of the last frame.
            memory: The clearest earlier frames of each track.
            carried: Evidence and order of the frames before; they are updated.
        """
        settings = replace(self._last_pass, mirror=False)  # which would double the time until the masks are there
        rules = settings.rules
        first, last = min(views), max(views)
        chunk, newest = Chunk(first, last + 1, last + 1), Chunk(last, last + 1, last + 1)
        state = _PassState(memory, carried.evidence, views=views)
        logits = {
            k: values.decide_presence(scene.areas[k, first : last + 1] > 0, rules.presence)
            for k, values in self._complete_chunk(scene, state, chunk, settings).items()
        }
        relations = self._relate(scene, state, newest, {k: values.since(last - first) for k, values in logits.items()})
        carried.evidence = state.evidence
        if rules.partial.judge is not None and not scene.clip.exhaustive and self.constrain:
            near = Chunk(max(first, last - NEAR), last + 1, last + 1)  # parts are compared with no other frames
            logits = {k: values.since(near.start - first) for k, values in logits.items()}
            logits, first = self._judge_parts(rules.partial.judge, views, near, logits, last - near.start), near.start
        final = {k: values.at(last - first) for k, values in logits.items()}
        frame = CompletedFrame(last, final, relations.weights[0], relations.front[0], masks, views[last])
        objects, order = self._compose(scene, frame, carried.order)
        self.timings.object_frames += len(objects)
        return FramePrediction(last, objects, order, relations.front[0])

    def _scene(self, clip: ClipTracks, order: Sequence[FrameOrder] | None, anchors: AnchorInput | None) -> Scene:
        known = None
        if anchors is not None:
            if not self.model.takes_anchors:
                raise InputError("this model does not complete tracks from anchors. Leave out anchors=.")
            known = read_anchors(anchors, clip)
            self.notes.append(known.note)
        scene = Scene.from_clip(clip, self.model.config.windows, known)
        if order is None:
            return scene
        if not self.model.view.order:
            raise InputError("this model does not read the order of objects. Leave out order=, or use another model.")
        return scene.with_order(order)

    def _orient(self, scene: Scene, depth: DepthSource, first: bool = False, least: int = 1) -> DisparityMaps | None:
        """Return the maps as disparities; None before a first pass whose order will show which way their values point.

        Args:
            scene: The scene.
            depth: The maps.
            first: True before the first of several passes.
            least: Fewest observations of the order that decide.
        """
        if not (self.model.view.depth or self.depth_rule):
            raise InputError("this model does not read depth, and depth_rule= is off. Leave out depth=.")
        began = time.perf_counter()
        votes = count_votes(scene.clip, depth, scene.front)
        if first and votes.touching and scene.front is None and self.model.view.order:
            return None
        maps, note = orient(depth, scene.clip, votes, least)
        unused = scene.clip.exhaustive and not self.model.view.depth
        effect = f"{depth.name}: not used, because every occluder is listed and the model reads no depth"
        self.notes += [*depth.notes, *([note] if note else []), *([effect] if unused else [])]
        self.timings.add("depth", began)
        return maps

    def _early_frames(self, scene: Scene, inputs: _Inputs) -> Iterator[EarlyFrame]:
        """Yield what the next pass needs to know of each frame."""
        threshold = self._early_pass.rules.threshold
        for frame in self._run_pass(scene, self._early_pass, inputs):
            began = time.perf_counter()
            extents = {}
            for k, values in frame.logits.items():
                anchor = scene.anchors.of(scene.tracks[k].id).get(frame.number)
                extent = None
                if anchor is not None:
                    box = anchor.box()
                    extent = None if box is None else Extent(box, anchor.area())
                elif scene.areas[k, frame.number] > 0:
                    extent = measure_extent(WindowLogits(values.masks, self._context(scene, frame, k)), threshold)
                if extent is not None:
                    extents[k] = extent
            self.timings.add("paste", began)
            yield EarlyFrame(frame.number, extents, frame.front)

    def _last_frames(self, scene: Scene, inputs: _Inputs) -> Iterator[FramePrediction]:
        """Yield the predictions of each frame."""
        keeper = OrderKeeper(scene.clip.video.height)
        for frame in self._run_pass(scene, self._last_pass, inputs):
            began = time.perf_counter()
            objects, order = self._compose(scene, frame, keeper)
            self.timings.add("paste", began)
            self.timings.object_frames += len(objects)
            yield FramePrediction(frame.number, objects, order, frame.front)

    def _run_pass(self, scene: Scene, settings: _Pass, inputs: _Inputs) -> Iterator[CompletedFrame]:
        """Yield the logits of each frame."""
        rules = settings.rules
        images = self._images(inputs.frames)
        state = _PassState.begin(scene)
        for chunk in self._chunks(scene.clip.video.frames):
            began = time.perf_counter()
            state.masks = {t: state.masks[t] if t in state.masks else scene.masks(t) for t in chunk.frames}
            self.timings.add("cut", began)
            state.views = {
                t: state.views[t]
                if t in state.views
                else self._view(scene, t, state.masks[t], Pictures(next(images)), inputs.disparity)
                for t in chunk.frames
            }
            raw = self._complete_chunk(scene, state, chunk, settings)
            frames_of_chunk = slice(chunk.start, chunk.stop)
            logits = {
                k: values.decide_presence(scene.areas[k, frames_of_chunk] > 0, rules.presence)
                for k, values in raw.items()
            }
            relations = self._relate(scene, state, chunk, logits)
            if rules.partial.judge is not None and not scene.clip.exhaustive and self.constrain:
                logits = self._judge_parts(rules.partial.judge, state.views, chunk, logits)
            for place, t in enumerate(chunk.new_frames):
                included = {k: values.at(place) for k, values in logits.items() if scene.includes(k, t)}
                weights, front = relations.weights[place], relations.front[place]
                yield CompletedFrame(t, included, weights, front, state.masks[t], state.views[t])

    def _images(self, frames: FrameSource | None) -> Iterator[Frame | None]:
        """The frames; None for each if the model does not read pixels."""
        if not self.model.view.pixels:
            return repeat(None)
        return iter(open_frames(frames or (lambda: None), "this model"))

    def _chunks(self, frames: int) -> Iterator[Chunk]:
        """Chunks aligned to frame 0; the last one may be shorter."""
        config = self.model.config
        step = config.chunk - config.overlap
        starts = [0] + [s for s in range(step, frames, step) if s + config.overlap < frames]
        for start, next_start in pairwise([*starts, frames]):
            yield Chunk(start, min(start + config.chunk, frames), next_start)

    def _view(
        self, scene: Scene, frame: int, masks: FrameMasks, pictures: Pictures, maps: DisparityMaps | None
    ) -> list[WindowView | None]:
        if maps is not None:
            began = time.perf_counter()
            pictures = replace(pictures, disparity=maps.read(frame))
            self.timings.add("depth", began)
        began = time.perf_counter()
        reads = self.model.view
        views = scene.view(frame, masks, pictures, Reading(reads.cells, reads.depth, self.depth_rule))
        self.timings.add("cut", began)
        return views

    def _complete_chunk(self, scene: Scene, state: _PassState, chunk: Chunk, settings: _Pass) -> dict[int, TrackLogits]:
        """Logits of the tracks in a chunk, cross-faded with those of the last chunk."""
        logits = {
            k: self.completion.complete(
                scene, k, self._frames_of(scene, k, state, chunk), settings.hypotheses, settings.mirror
            )
            for k in scene.tracks_between(chunk.start, chunk.stop)
        }
        for k in range(len(scene.tracks)):
            state.memory[k] = scene.remember(k, state.memory[k], state.views, chunk.new_frames)
        for k in state.pending.keys() & logits.keys():  # the spans of the others end before this chunk
            logits[k] = logits[k].after(state.pending[k])
        if self.constrain and not scene.clip.exhaustive:
            for k, values in logits.items():
                self._fill_holes([state.views[t][k] for t in chunk.frames], values.masks)
        kept = chunk.next_start - chunk.start
        state.pending = {k: values.since(kept) for k, values in logits.items() if chunk.next_start < chunk.stop}
        return logits

    def _frames_of(self, scene: Scene, k: int, state: _PassState, chunk: Chunk) -> TrackFrames:
        """What the network is shown of track k."""
        crops = {t: view.crops for t in chunk.frames if (view := state.views[t][k]) is not None}
        anchored = scene.anchors.near(scene.tracks[k].id, chunk.frames)
        for t in anchored:
            if (k, t) not in state.anchored:
                state.anchored[k, t] = self._anchor_crops(scene, k, t)
        return TrackFrames(chunk.frames, crops, state.memory[k], {t: state.anchored[k, t] for t in anchored})

    def _anchor_crops(self, scene: Scene, k: int, frame: int) -> FrameCrops:
        """Crops of a track in the frame of an anchor outside the chunk, without colours and depth."""
        video, reads = scene.clip.video, self.model.view
        black = np.zeros((video.height, video.width, 3), dtype=np.uint8) if reads.pixels else None
        reading = Reading(reads.cells, reads.depth, self.depth_rule)
        view = scene.view(frame, scene.masks(frame), Pictures(black), reading, only=[k])[k]
        assert view is not None  # spans include all anchors
        return view.crops

    def _fill_holes(self, views: Sequence[WindowView | None], logits: Float[np.ndarray, "k t s s"]) -> None:
        """Raise the logits, in place, where an object without a mask passes in front of a track."""
        window = self._track_windows(views)
        holes = short_holes(window.visible) & (window.others < 0.5)
        logits[:, holes] = np.maximum(logits[:, holes], HOLE_LOGIT)

    def _judge_parts(
        self, judge: PartJudge, views: Views, chunk: Chunk, logits: Mapping[int, TrackLogits], since: int = 0
    ) -> dict[int, TrackLogits]:
        began = time.perf_counter()
        judged = {
            k: values.judge_parts(judge, self._track_windows([views[t][k] for t in chunk.frames]), since)
            for k, values in logits.items()
        }
        self.timings.add("judge", began)
        return judged

    def _track_windows(self, views: Sequence[WindowView | None]) -> TrackWindows:
        cells = self.model.view.cells
        nothing = np.zeros((cells, cells), dtype=np.float32)

        def maps(name: str) -> Float[np.ndarray, "t s s"]:
            return np.stack([nothing if view is None else getattr(view.crops, name) for view in views])

        return TrackWindows(maps("visible"), maps("others"), maps("inside"))

    def _relate(self, scene: Scene, state: _PassState, chunk: Chunk, logits: Mapping[int, TrackLogits]) -> _Relations:
        """Relations between the tracks, from evidence of this chunk and of the frames before it."""
        began = time.perf_counter()
        evidence = self._evidence(scene, state.views, chunk, logits)
        past = len(state.evidence)
        gathered = np.concatenate([state.evidence, evidence])
        weights = label_weights(gathered, scene.places, scene.clip.exhaustive, self.constrain)[past:]
        front = front_confidence(gathered)[past:]
        state.evidence = np.concatenate([state.evidence, evidence[: len(chunk.new_frames)]])[-REACH:]
        self.timings.add("order", began)
        return _Relations(weights, front)

    def _evidence(
        self, scene: Scene, views: Views, chunk: Chunk, logits: Mapping[int, TrackLogits]
    ) -> Float[np.ndarray, "t m m"]:
        """Expected number of pixels by which each track extends under the visible mask of every other."""
        count = len(scene.clip.tracks)
        evidence = np.zeros((len(chunk.frames), count, count))
        for k, values in logits.items():
            for t in chunk.frames:
                if (view := views[t][k]) is not None:
                    probability = expit(values.masks[0, t - chunk.start])
                    per_label = np.bincount(view.labels.ravel(), probability.ravel(), minlength=count + 1)
                    pixels = scene.windows.areas[k, t] / probability.size
                    evidence[t - chunk.start, scene.places[k]] = pixels * per_label[1:]
        return evidence

    def _compose(
        self, scene: Scene, frame: CompletedFrame, keeper: OrderKeeper
    ) -> tuple[dict[int, ObjectPrediction], FrameOrder]:
        """The masks of a frame at the size of the image, and their order."""
        objects, amodal, visible = {}, {}, {}
        for k, values in frame.logits.items():
            key = scene.tracks[k].id
            logits = WindowLogits(values.masks, self._context(scene, frame, k), values.judged)
            present = None if values.presence is None else float(expit(values.presence))
            objects[key] = compose_object(logits, self._last_pass.rules, present)
            if (anchor := scene.anchors.of(key).get(frame.number)) is not None:
                objects[key] = objects[key].with_mask(anchor)
            amodal[key], visible[key] = objects[key].masks[0], scene.tracks[k].visible[frame.number]
        return objects, keeper.from_masks(amodal, visible)

    def _context(self, scene: Scene, frame: CompletedFrame, k: int) -> ObjectContext:
        view, masks = frame.views[k], frame.masks
        opened = view.open if self.constrain and view is not None else None
        window = scene.windows.at(k, frame.number)
        return ObjectContext(window, masks.visible[scene.tracks[k].id], masks.labels, frame.weights[k], opened)
