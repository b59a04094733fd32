"""Amodal tracks from visible masks: chunk by chunk, so that pixels and tensors do not grow with the video.

Boxes read off the run lengths lay the windows; then chunks of frames are cut, completed and pasted back, neighbouring
chunks cross-faded. With two passes only the boxes of the first are kept: they say where whole objects are wherever
some of them is seen, and the windows of the second follow the scene while an object is hidden.
What stays is run lengths, and in models that read it who was found to lie in front of whom.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise, repeat

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt16
from scipy.special import expit
from tqdm import tqdm

from vidamodal.data.crops import FrameCrops, FrameMap, box_numbers, cut_frame, stack_crops
from vidamodal.geometry import Cropper, Window, Windows, paste
from vidamodal.models.folder import Model
from vidamodal.occlusion.evidence import REACH, front_confidence, front_confidence_from_order, occluder_weights
from vidamodal.occlusion.order import OrderKeeper
from vidamodal.types import ClipTracks, Frame, FrameOrder, Hypothesis, InputError, Rle, Track
from vidamodal.windows import WindowConfig, follow_scene, lay_windows

REMEMBERED = 8
"""Earlier frames kept of each track, the clearest ones, for when it is hidden for longer than a chunk."""

SAMPLE_STEPS = 4
"""Rounds in which a hypothesis' codes are drawn."""

Logits = Float[np.ndarray, "k t s s"]
Mask = Bool[np.ndarray, "h w"]
Labels = UInt16[np.ndarray, "h w"]
Pictures = Callable[[], Iterator[Frame] | None]
"""The frames of a clip from the first on, each time it is called; None if they cannot be had."""


@dataclass
class Timings:
    """Seconds spent in each step of a prediction."""

    seconds: dict[str, float] = field(default_factory=dict)
    object_frames: int = 0

    def add(self, step: str, since: float) -> None:
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - since


@dataclass(frozen=True)
class WindowProbability:
    """How likely each pixel of an object's window is to belong to it: the (rows, columns) of the image given."""

    rows: slice
    columns: slice
    values: Float[np.ndarray, "p q"]


@dataclass(frozen=True)
class Completed:
    """One object in one frame: masks of the one pass and of each hypothesis, each with its expected IoU.

    ``probability`` is that of the one pass, None unless the predictor was asked to keep it.
    """

    masks: tuple[Rle, ...]
    confidence: tuple[float, ...]
    probability: WindowProbability | None = None


@dataclass(frozen=True)
class CompletedFrame:
    """All predicted objects of a frame, by id, and who is in front of whom."""

    frame: int
    objects: dict[int, Completed]
    order: FrameOrder
    front: Float[np.ndarray, "n n"]
    """How sure it is that track j of the clip lies in front of track i (1) or behind it (-1)."""


def pick_device(name: str) -> torch.device:
    """auto | cpu | cuda; InputError if CUDA is asked for and not there."""
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"unknown device {name!r}: choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda was asked for, but PyTorch sees none: use --device cpu, or install a CUDA build")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def pick_precision(device: torch.device) -> torch.dtype:
    """bf16 where the processor computes in it, else fp32."""
    fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


class Predictor:
    """A model on a device. One track is one batch: its bytes do not depend on how many others are in the clip."""

    def __init__(
        self,
        model: Model,
        device: str = "auto",
        seed: int = 0,
        hypotheses: int = 1,
        constrain: bool = True,
        probabilities: bool = False,
    ) -> None:
        """``hypotheses``: how many completions of each track; the first is the one pass, the others are drawn.

        ``constrain``: apply what is known of who may hide whom after the network; False shows what it says by itself.
        ``probabilities``: leave those of the one pass with each object-frame that is streamed.
        """
        if hypotheses < 1:
            raise InputError(f"the number of hypotheses must be at least 1, not {hypotheses}")
        if seed < 0:
            raise InputError(f"the seed must be at least 0, not {seed}")
        self.device = pick_device(device)
        self.precision = pick_precision(self.device)
        self.model = model.to(self.device).eval()
        self.seed, self.hypotheses, self.constrain, self.probabilities = seed, hypotheses, constrain, probabilities
        self.timings = Timings()

    def predict(
        self,
        clip: ClipTracks,
        quiet: bool = True,
        pictures: Pictures | None = None,
        order: Sequence[FrameOrder] | None = None,
    ) -> ClipTracks:
        """All tracks of ``clip`` with amodal masks and confidences, and the order of every frame.

        ``pictures`` are needed by a model that reads pixels (InputError without). ``order``: who is known to lie in
        front of whom in each frame, for a model that reads it; without, the second of two passes reads what the first
        found. A track that has confidences of its own was found, not given: they count as factors, since whoever found
        it may be wrong, and what is visible of it is all that the model knows.
        """
        found: dict[int, dict[int, Completed]] = {track.id: {} for track in clip.tracks}
        orders: list[FrameOrder] = []
        bar = tqdm(
            self.stream(clip, quiet, pictures, order),
            total=clip.video.frames,
            desc="predict",
            unit="frame",
            disable=quiet,
        )
        for result in bar:
            for key, completed in result.objects.items():
                found[key][result.frame] = completed
            orders.append(result.order)
        tracks = tuple(self._track(track, found[track.id], clip.video.frames) for track in clip.tracks)
        video = replace(clip.video, canvas=None)  # nothing is predicted beyond the image
        return replace(clip, video=video, tracks=tracks, order=tuple(orders), provenance={})

    def stream(
        self,
        clip: ClipTracks,
        quiet: bool = True,
        pictures: Pictures | None = None,
        order: Sequence[FrameOrder] | None = None,
    ) -> Iterator[CompletedFrame]:
        """Results frame by frame, in order; with two passes, after a first look at the whole clip."""
        windows = self.model.config.windows
        scene = _Scene.of([track for track in clip.tracks if track.ever_visible], clip, windows)
        if order is not None:
            if not self.model.view.order:
                raise InputError("this model does not read who lies in front of whom: leave the order out")
            if len(order) != clip.video.frames:
                raise InputError(f"the order is told for {len(order)} frames, the clip has {clip.video.frames}")
            scene = replace(scene, front=front_confidence_from_order(order, [track.id for track in clip.tracks]))
        if windows.passes == 2:
            first = self._pass(scene, 1, pictures)
            bar = tqdm(first, total=clip.video.frames, desc="first look", unit="frame", disable=quiet)
            scene = scene.after(bar, windows, self.model.view.order)
        for result in self._pass(scene, self.hypotheses, pictures):
            self.timings.object_frames += len(result.objects)
            yield result

    def _pictures(self, pictures: Pictures | None) -> Iterator[Frame | None]:
        """The frames, or None for each where the model does not read them."""
        if not self.model.view.pixels:
            return repeat(None)
        frames = None if pictures is None else pictures()
        if frames is None:
            raise InputError("this model reads pixels, and there are none beside these masks: give the video, too")
        return iter(frames)

    def _pass(self, scene: _Scene, hypotheses: int, pictures: Pictures | None) -> Iterator[CompletedFrame]:
        clip, tracks = scene.clip, scene.tracks
        images = self._pictures(pictures)
        keeper = OrderKeeper()
        looks: dict[int, list[_Look | None]] = {}
        memory: list[_Memory] = [{} for _ in tracks]
        pending: dict[int, Logits] = {}
        past = np.zeros((0, len(clip.tracks), len(clip.tracks)))
        starts = self._starts(clip.video.frames)
        for start, next_start in pairwise([*starts, clip.video.frames]):
            stop = min(start + self.model.config.chunk, clip.video.frames)
            looks = {t: looks[t] if t in looks else self._cut(scene, t, next(images)) for t in range(start, stop)}
            logits = {
                k: self._complete(scene, k, looks, memory[k], start, stop, hypotheses)
                for k in scene.within(start, stop)
            }
            memory = [scene.remember(k, memory[k], looks, start, next_start) for k in range(len(tracks))]
            for k in pending.keys() & logits.keys():  # the spans of the others end before this chunk
                old = pending[k]
                logits[k][:, : old.shape[1]] = _fade(old, logits[k][:, : old.shape[1]])
            pending = {k: values[:, next_start - start :] for k, values in logits.items() if next_start < stop}
            evidence = self._evidence(scene, logits, looks, start, stop)
            gathered = np.concatenate([past, evidence])
            allowed = self._allowed(scene, gathered)[len(past) :]
            front = front_confidence(gathered)[len(past) :]
            past = np.concatenate([past, evidence[: next_start - start]])[-REACH:]
            for t in range(start, next_start):
                now = {k: values[:, t - start] for k, values in logits.items()}
                yield self._finish(scene, t, now, allowed[t - start], front[t - start], keeper)

    def _starts(self, frames: int) -> list[int]:
        """First frames of the chunks, aligned to frame 0; the last chunk may be shorter."""
        config = self.model.config
        step = config.chunk - config.overlap
        return [0] + [s for s in range(step, frames, step) if s + config.overlap < frames]

    def _cut(self, scene: _Scene, frame: int, image: Frame | None) -> list[_Look | None]:
        """What every track's window shows in a frame; None for tracks whose span does not hold it."""
        began = time.perf_counter()
        clip, visible = scene.clip, scene.visible(frame)
        labels = scene.labels(visible)
        everyone = FrameMap.from_labels(labels, image)
        # Where the mask of an object that has been seen is not known, what shows nobody may still show that object.
        sure = clip.exhaustive and all(
            visible[track.id] is not None or not first <= frame < last
            for track, (first, last) in zip(scene.tracks, scene.spans, strict=True)
        )
        out: list[_Look | None] = []
        for k, track in enumerate(scene.tracks):
            if not scene.spans[k][0] <= frame < scene.spans[k][1]:
                out.append(None)
                continue
            cropper = Cropper.at(scene.windows.at(k, frame), self.model.view.cells, *labels.shape)
            front = None if scene.front is None else np.append(np.float32(0), scene.front[frame, scene.places[k]])
            out.append(_Look(cut_frame(cropper, visible[track.id], everyone, sure, front), cropper.pick(labels)))
        self.timings.add("cut", began)
        return out

    @torch.no_grad()
    def _complete(
        self,
        scene: _Scene,
        k: int,
        looks: dict[int, list[_Look | None]],
        memory: _Memory,
        start: int,
        stop: int,
        hypotheses: int,
    ) -> Logits:
        """Calibrated logits of a track over a chunk, for the one pass and each hypothesis; -inf outside its span."""
        began = time.perf_counter()
        chunk = {t: look.crops for t in range(start, stop) if (look := looks[t][k]) is not None}
        # An object of which this chunk shows little is looked at beside its clearest frames so far.
        recalled = memory if scene.clearest(k, memory) > 2 * scene.clearest(k, chunk) else {}
        frames, shown = [*recalled, *chunk], [*recalled.values(), *chunk.values()]
        middle = (min(chunk) + max(chunk)) / 2
        batch = stack_crops(
            [shown],
            np.array([[scene.tracks[k].visible[t] is not None for t in frames]]),
            scene.numbers[k : k + 1, frames],
            np.maximum(np.array([frames]) - middle, -self.model.config.chunk),  # further back than it knows
        ).to(self.device)
        cells = self.model.view.cells
        out = np.full((hypotheses, stop - start, cells, cells), -np.inf, dtype=np.float32)
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            for h in range(hypotheses):
                # One noise a track: keyed by seed, track and hypothesis, the same in every chunk.
                key = np.random.SeedSequence([self.seed, scene.tracks[k].id, h]).generate_state(1, np.uint64)[0]
                generator = torch.Generator().manual_seed(int(key >> np.uint64(1)))
                output = (
                    self.model.sample(batch, SAMPLE_STEPS, generator) if h else self.model.complete(batch, generator)
                )
                out[h, [t - start for t in chunk]] = output.refined[0, len(recalled) :].float().cpu().numpy()
        self.timings.add("model", began)
        return out / np.float32(self.model.config.temperature)

    def _evidence(
        self, scene: _Scene, logits: dict[int, Logits], looks: dict[int, list[_Look | None]], start: int, stop: int
    ) -> Float[np.ndarray, "t n n"]:
        """How many pixels each of the clip's tracks is expected to extend under what is visible of each."""
        began = time.perf_counter()
        count = len(scene.clip.tracks)
        evidence = np.zeros((stop - start, count, count))
        for k, values in logits.items():
            for t in range(start, stop):
                if (look := looks[t][k]) is not None:
                    probability = expit(values[0, t - start])
                    per_label = np.bincount(look.labels.ravel(), probability.ravel(), minlength=count + 1)
                    pixels = scene.windows.areas[k, t] / probability.size
                    evidence[t - start, scene.places[k]] = pixels * per_label[1:]
        self.timings.add("order", began)
        return evidence

    def _allowed(self, scene: _Scene, evidence: Float[np.ndarray, "t n n"]) -> Float[np.ndarray, "t n labels"]:
        """How far a track may extend under what each label shows: 0 where nobody is listed, 1 and on the clip's tracks.

        In an exhaustive scene nothing is hidden where nobody is visible, and anywhere nobody is hidden by what lies
        behind. After the network, not inside its loss, where it gains nothing and spoils the raw output.
        """
        began = time.perf_counter()
        allowed = np.ones((len(evidence), len(scene.tracks), evidence.shape[2] + 1))
        if self.constrain:
            allowed[:, :, 1:] = occluder_weights(evidence)[:, scene.places]
            allowed[:, :, 0] = not scene.clip.exhaustive
        self.timings.add("order", began)
        return allowed

    def _finish(
        self,
        scene: _Scene,
        frame: int,
        logits: dict[int, Logits],
        allowed: Float[np.ndarray, "n labels"],
        front: Float[np.ndarray, "n n"],
        keeper: OrderKeeper,
    ) -> CompletedFrame:
        """Paste every track of a frame back and apply what is known."""
        began = time.perf_counter()
        visible = scene.visible(frame)
        labels = scene.labels(visible)
        objects, best = {}, {}
        for k, values in logits.items():
            if not scene.spans[k][0] <= frame < scene.spans[k][1]:
                continue
            track = scene.tracks[k]
            own = visible[track.id]
            window = scene.windows.at(k, frame)
            pasted = [self._paste(hypothesis, window, own, labels, allowed[k]) for hypothesis in values]
            judge = self._judge([drawn.values for drawn in pasted])
            masks, scores = zip(*(self._decide(drawn, judge, own, labels.shape) for drawn in pasted), strict=True)
            kept = pasted[0] if self.probabilities else None
            objects[track.id] = Completed(tuple(Rle.encode(m) for m in masks), scores, kept)
            best[track.id] = masks[0]
        order = keeper.from_masks(best, visible)
        self.timings.add("paste", began)
        return CompletedFrame(frame, objects, order, front)

    def _paste(
        self,
        logits: Float[np.ndarray, "s s"],
        window: Window,
        own: Mask | None,
        labels: Labels,
        allowed: Float[np.ndarray, " labels"],
    ) -> WindowProbability:
        """Probabilities at the image's size. What is visible belongs to the object."""
        rows, columns, values = paste(logits, window, *labels.shape)
        probability = expit(values)
        if own is not None:  # where it is not known what is visible, nothing is known of what is hidden
            probability = np.where(own[rows, columns], 1.0, probability * allowed[labels[rows, columns]])
        return WindowProbability(rows, columns, probability)

    def _judge(self, probabilities: Sequence[Float[np.ndarray, "p q"]]) -> Float[np.ndarray, "p q"]:
        """What the hypotheses are scored by: drawn ones are sure of themselves.

        The one pass knows best where there is one; where all are drawn, what they have in common.
        """
        return np.mean(probabilities, axis=0) if self.model.draws else probabilities[0]

    def _decide(
        self, window: WindowProbability, probability: Float[np.ndarray, "p q"], own: Mask | None, shape: tuple[int, ...]
    ) -> tuple[Mask, float]:
        """The window's mask, and its expected IoU under some probabilities of the same pixels."""
        chosen = window.values > self.model.config.threshold
        mask = np.zeros(shape, dtype=bool) if own is None else own.copy()
        mask[window.rows, window.columns] |= chosen
        # E[intersection] / E[union], with one pixel's grace so that an empty mask of an absent object scores 1.
        outside = np.count_nonzero(mask) - np.count_nonzero(chosen)
        inside = probability[chosen].sum() + outside
        union = np.count_nonzero(mask) + probability[~chosen].sum()
        return mask, float((inside + 1) / (union + 1))

    def _track(self, track: Track, found: dict[int, Completed], frames: int) -> Track:
        """The track with its best hypothesis as amodal mask: the one pass, unless it promises more of a drawn one."""
        track = replace(track, amodal_full=None)
        if not found:
            return replace(track, amodal=(None,) * frames, confidence=(None,) * frames, hypotheses=())
        trust = _trust(track, frames)
        hypotheses = [
            Hypothesis(
                float(np.mean([c.confidence[h] * trust[t] for t, c in found.items()])),
                tuple(found[t].masks[h] if t in found else None for t in range(frames)),
            )
            for h in range(self.hypotheses)
        ]
        best = max(range(self.hypotheses), key=lambda h: hypotheses[h].score)
        return replace(
            track,
            amodal=hypotheses[best].amodal,
            confidence=tuple(found[t].confidence[best] * trust[t] if t in found else None for t in range(frames)),
            hypotheses=tuple(hypotheses) if self.hypotheses > 1 else (),
        )


def _trust(track: Track, frames: int) -> list[float]:
    """How far a track is to be trusted in each frame: by its own confidence, or their mean where it has none."""
    told = [value for value in track.confidence or () if value is not None]
    mean = float(np.mean(told)) if told else 1.0
    return [mean if value is None else value for value in track.confidence or (None,) * frames]


@dataclass(frozen=True)
class _Look:
    """What a track's window shows in a frame, and whose visible mask lies at the centre of each cell."""

    crops: FrameCrops
    labels: UInt16[np.ndarray, "s s"]


_Memory = dict[int, FrameCrops]
"""The clearest earlier frames of a track, in order."""


@dataclass(frozen=True)
class _Scene:
    """What is known of a clip before it is completed: the tracks that are ever visible, their spans and windows."""

    clip: ClipTracks
    tracks: list[Track]
    places: list[int]
    """Their places among the clip's tracks."""
    spans: list[tuple[int, int]]
    windows: Windows
    areas: Float[np.ndarray, "n t"]
    front: Float[np.ndarray, "t n n"] | None = None
    """How sure it is that one of the clip's tracks (last axis) lies in front of another; None if nothing is known."""

    @staticmethod
    def of(tracks: list[Track], clip: ClipTracks, config: WindowConfig) -> _Scene:
        frames = clip.video.frames
        boxes, areas = np.full((len(tracks), frames, 4), np.nan), np.zeros((len(tracks), frames))
        for k, track in enumerate(tracks):
            for t, mask in enumerate(track.visible):
                box = None if mask is None else mask.box()
                if mask is not None and box is not None:
                    boxes[k, t], areas[k, t] = box, mask.area()
        spans = [span for track in tracks if (span := track.span) is not None]
        places = [k for k, track in enumerate(clip.tracks) if track.ever_visible]
        windows = lay_windows(boxes, areas, clip.video.height, clip.video.width, config)
        return _Scene(clip, tracks, places, spans, windows, areas)

    @cached_property
    def numbers(self) -> Float[np.ndarray, "n t 8"]:
        """What the model is told of the windows."""
        video = self.clip.video
        return box_numbers(self.windows, self.areas, video.height, video.width, self.clip.exhaustive)

    def after(self, first: Iterable[CompletedFrame], config: WindowConfig, order: bool) -> _Scene:
        """The same clip in the windows of a second pass, which with ``order`` knows the order the first one found."""
        boxes, shares = np.zeros((*self.areas.shape, 4)), np.zeros(self.areas.shape)
        fronts = []
        for result in first:
            if order and self.front is None:
                fronts.append(result.front.astype(np.float16))
            for k, track in enumerate(self.tracks):
                if self.areas[k, result.frame] > 0 and track.id in result.objects:
                    mask = result.objects[track.id].masks[0]
                    boxes[k, result.frame] = mask.box()
                    shares[k, result.frame] = self.areas[k, result.frame] / mask.area()
        windows = follow_scene(self.windows, boxes, shares, config)
        return replace(self, windows=windows, front=np.stack(fronts) if fronts else self.front)

    def clear(self, k: int, frame: int) -> float:
        """The share of its window that a track is seen to fill."""
        return float(self.areas[k, frame] / self.windows.areas[k, frame])

    def clearest(self, k: int, frames: Iterable[int]) -> float:
        """The greatest such share over some frames."""
        return max((self.clear(k, t) for t in frames), default=0.0)

    def remember(self, k: int, memory: _Memory, looks: dict[int, list[_Look | None]], start: int, stop: int) -> _Memory:
        """The clearest frames of a track among those remembered and those from ``start`` to ``stop``."""
        seen = {t: look.crops for t in range(start, stop) if (look := looks[t][k]) is not None and self.areas[k, t] > 0}
        known = {**memory, **seen}
        clear = sorted(known, key=lambda t: -self.clear(k, t))[:REMEMBERED]
        return {t: known[t] for t in sorted(clear)}

    def within(self, start: int, stop: int) -> list[int]:
        """Tracks whose span meets these frames."""
        return [k for k, (first, last) in enumerate(self.spans) if first < stop and last > start]

    def visible(self, frame: int) -> dict[int, Mask | None]:
        """Visible masks of a frame by id, of every listed track."""
        return {
            track.id: None if (mask := track.visible[frame]) is None else mask.decode() for track in self.clip.tracks
        }

    def labels(self, visible: dict[int, Mask | None]) -> Labels:
        """Whose visible mask each pixel shows: 0 for none, 1 and on for the clip's tracks; the last of several."""
        out = np.zeros((self.clip.video.height, self.clip.video.width), dtype=np.uint16)
        for number, mask in enumerate(visible.values(), start=1):
            if mask is not None:
                out[mask] = number
        return out


def _fade(old: Logits, new: Logits) -> Logits:
    """From one chunk's logits to the next one's over the frames that they share; -inf (no span) in both stays."""
    weight = (np.arange(1, old.shape[1] + 1) / (old.shape[1] + 1))[:, None, None]
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(old), old, (1 - weight) * old + weight * new).astype(np.float32)
