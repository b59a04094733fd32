"""Named protocols: the primary one, and those of other people's code, exactly as their code has them.

A protocol turns the counts of all videos into the pair (full, occ). To add one, write its function and enter it in
``PROTOCOLS``: it is then computed, and a perfect predictor on the same data scored beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vidamodal.metrics import region, temporal
from vidamodal.metrics.counts import TrackCounts, VideoCounts, mean

Pair = tuple[float | None, float | None]
Protocol = Callable[[Sequence[VideoCounts]], Pair]

MEASURES: dict[str, Callable[[TrackCounts], float | None]] = {
    "full": region.full,
    "occ": region.occ,
    "hidden": region.hidden,
    "false_completion": region.false_completion,
    "flicker": temporal.flicker,
    "track_iou": temporal.track_iou,
}


@dataclass(frozen=True)
class Scores:
    """The primary protocol: fractions (None for a mean over nothing), and how many object-frames and videos counted.

    ``full``, ``occ``, ``hidden`` and ``track_iou`` are the better the higher, the other two the better the lower.
    """

    full: float | None
    occ: float | None
    hidden: float | None
    false_completion: float | None
    flicker: float | None
    track_iou: float | None
    object_frames: int
    videos: int


@dataclass(frozen=True)
class ProtocolScores:
    """A named protocol, and what a perfect prediction scores in it on the same data."""

    full: float | None
    occ: float | None
    ceiling_full: float | None
    ceiling_occ: float | None


def score_video(video: VideoCounts) -> Scores:
    """The primary protocol in one video: means over an object's frames, then over the objects."""
    means = {name: mean(measure(track) for track in video.tracks) for name, measure in MEASURES.items()}
    return Scores(**means, object_frames=sum(int(track.counted.sum()) for track in video.tracks), videos=1)


def mean_scores(videos: Sequence[Scores]) -> Scores:
    """The primary protocol over videos: each measure's mean over those videos that have it."""
    means = {name: mean(getattr(video, name) for video in videos) for name in MEASURES}
    return Scores(**means, object_frames=sum(v.object_frames for v in videos), videos=len(videos))


def bootstrap(values: Sequence[float | None], seed: int = 0, resamples: int = 2000) -> tuple[float, float] | None:
    """The 95 % percentile interval of the mean when videos are drawn again; None for fewer than two values."""
    present = np.array([value for value in values if value is not None])
    if present.size < 2:
        return None
    draws = np.random.default_rng(seed).integers(present.size, size=(resamples, present.size))
    low, high = np.percentile(present[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def score_protocols(videos: Sequence[VideoCounts]) -> dict[str, ProtocolScores]:
    """Every named protocol with its ceiling."""
    perfect = [video.perfected() for video in videos]
    return {name: ProtocolScores(*protocol(videos), *protocol(perfect)) for name, protocol in PROTOCOLS.items()}


def primary(videos: Sequence[VideoCounts]) -> Pair:
    """The project's own: see ``region`` and ``temporal``."""
    scores = mean_scores([score_video(video) for video in videos])
    return scores.full, scores.occ


def c2f_video(videos: Sequence[VideoCounts]) -> Pair:
    """C2F-Seg's video code, raw: a mean over each object's visible frames, then over all objects of all videos.

    Empty against empty is 0, so that unoccluded frames pull occ down: its ceiling is far below 1. Frames with nothing
    visible are not scored. Their 1e-6 under the fraction is left out; it decides only 0/0.
    """
    tracks = [track for video in videos for track in video.tracks]
    return (
        mean(mean(_iou(track)[track.seen]) for track in tracks),
        mean(mean(_iou_outside_visible(track)[track.seen]) for track in tracks),
    )


def c2f_image(videos: Sequence[VideoCounts]) -> Pair:
    """C2F-Seg's image code: each visible object-frame is an instance, all weigh the same, V is pasted into P.

    occ is over the instances of which anything is hidden.
    """
    full: list[float] = []
    occ: list[float] = []
    for track in (track for video in videos for track in video.tracks):
        union = track.pixels() - track.pixels(p=0, a=0, v=0)
        common = track.pixels(a=1) - track.pixels(p=0, a=1, v=0)
        full.extend(_ratio(common, union)[track.seen])
        occ.extend(_iou_outside_visible(track)[track.seen & (track.pixels(a=1, v=0) > 0)])
    return mean(full), mean(occ)


PROTOCOLS: dict[str, Protocol] = {"primary": primary, "c2f-video": c2f_video, "c2f-image": c2f_image}


def _iou(track: TrackCounts) -> Float[np.ndarray, " t"]:
    return _ratio(track.pixels(p=1, a=1), track.pixels() - track.pixels(p=0, a=0))


def _iou_outside_visible(track: TrackCounts) -> Float[np.ndarray, " t"]:
    return _ratio(track.pixels(p=1, a=1, v=0), track.pixels(v=0) - track.pixels(p=0, a=0, v=0))


def _ratio(part: np.ndarray, whole: np.ndarray) -> Float[np.ndarray, " t"]:
    """part / whole; 0 where whole is 0."""
    return part / np.maximum(whole, 1)
