"""Which way the values of depth maps point, from the masks of the video.

Three observations are counted in some frames. *Order*: of two objects that touch, one is known or predicted to lie in
front. *Surroundings*: what surrounds an object is mostly behind it. *Ground*: the lower border of the image is mostly
nearer than the upper one. The first decides; the others do where nothing is known of the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt16
from scipy.ndimage import binary_dilation

from vidamodal.geometry import resize_nearest
from vidamodal.inference.depth.depth_source import (
    Conversion,
    DepthKind,
    DepthSource,
    DisparityMaps,
    are_distances,
    read_values,
)
from vidamodal.types import ClipTracks, InputError

Cue = Literal["order", "surroundings", "ground"]
Sign = Literal[-1, 0, 1]

FRAMES = 24
"""Most frames in which observations are made."""

HEIGHT = 160
"""Height in pixels to which frames are reduced for them."""

NEAR, FAR = 2, 6
"""Distances in reduced pixels from a border between which values are compared: the border itself mixes two surfaces."""

LEAST_PIXELS = 12
"""Fewest reduced pixels on either side of a border."""

SURE = 0.5
"""Least confidence in the order of two objects."""

CLEAR = 0.7
"""Probability that a value of one set exceeds one of another from which the first are clearly larger."""

GROUND_WEIGHT, AGREEMENT = 2.5, 1.25
"""Weight of the ground over the surroundings, and the least sum of both, each from -1 to 1, that decides: in generated
places, occluders that surround an object spoil the second more often than the first, so it does not decide alone."""

MAJORITY = 3
"""Factor by which observations must outnumber the opposite ones."""

_SIGNS: dict[DepthKind, Sign] = {"disparity": 1, "depth": -1}

LEAST_PREDICTED = 3
"""Fewest observations of a predicted order that decide."""


@dataclass
class SignVotes:
    """Observations that larger values are nearer (first) and that they are farther (second)."""

    order: list[int] = field(default_factory=lambda: [0, 0])
    surroundings: list[int] = field(default_factory=lambda: [0, 0])
    ground: list[int] = field(default_factory=lambda: [0, 0])
    touching: int = 0
    """Pairs of objects that touch, whether or not their order is known."""

    def add(self, cue: Cue, nearer: Float[np.ndarray, " p"], farther: Float[np.ndarray, " q"]) -> None:
        """Count one observation: the first values should be nearer than the second ones."""
        sign = compare(nearer, farther)
        if sign:
            getattr(self, cue)[sign < 0] += 1

    def verdict(self, least: int = 1) -> Verdict:
        """Return what the observations say.

        Args:
            least: Fewest observations of the order that decide.
        """
        larger, smaller = self.order
        if larger + smaller >= least and max(self.order) >= MAJORITY * min(self.order):
            pairs = f"{max(self.order)} of {larger + smaller} touching pairs of objects whose order is known"
            return Verdict(1 if larger > smaller else -1, pairs, sure=True)
        ground, around = ((a - b) / max(a + b, 1) for a, b in (self.ground, self.surroundings))
        agreement = GROUND_WEIGHT * ground + around
        if abs(agreement) >= AGREEMENT:
            return Verdict(1 if agreement > 0 else -1, "the ground and the surroundings of the objects")
        return Verdict(0, "nothing in the masks")


@dataclass(frozen=True)
class Verdict:
    """Which way values point."""

    sign: Sign
    """1 if larger values are nearer, -1 if they are farther, 0 if that is open."""
    evidence: str
    """The observations that decide the sign, as a noun phrase in the plural for messages."""
    sure: bool = False
    """True if the order of objects shows it."""


def compare(one: Float[np.ndarray, " p"], other: Float[np.ndarray, " q"]) -> Sign:
    """Return 1 if one set of values is clearly larger than another, -1 if it is smaller, else 0."""
    one, other = one[np.isfinite(one)], other[np.isfinite(other)]
    if min(len(one), len(other)) < LEAST_PIXELS:
        return 0
    order = np.sort(other)
    smaller = (np.searchsorted(order, one, "left").mean() + np.searchsorted(order, one, "right").mean()) / 2
    share = smaller / len(order)
    return 1 if share > CLEAR else -1 if share < 1 - CLEAR else 0


def count_votes(clip: ClipTracks, source: DepthSource, front: Float[np.ndarray, "t m m"] | None) -> SignVotes:
    """Observe which way the values of depth maps point.

    Args:
        clip: The visible masks.
        source: The depth maps.
        front: Signed confidence that track j of the clip (last axis) lies in front of track i; None if unknown.
    """
    votes = SignVotes()
    for frame in _sampled_frames(source, clip.video.frames):
        values = read_values(source, frame)
        if values is None:
            continue
        step = max(1, clip.video.height // HEIGHT)
        labels = _labels(clip, frame)[::step, ::step]
        values = resize_nearest(values, *labels.shape)
        band = max(1, len(values) // 6)
        votes.add("ground", values[-band:].ravel(), values[:band].ravel())
        _observe_objects(votes, labels, values, None if front is None else front[frame])
    return votes


def orient(source: DepthSource, clip: ClipTracks, votes: SignVotes, least: int = 1) -> tuple[DisparityMaps, str | None]:
    """Return the maps as disparities, and a note on which way their values were assumed to point.

    Args:
        source: The depth maps.
        clip: The visible masks.
        votes: What was observed.
        least: Fewest observations of the order that decide.

    Raises:
        InputError: If the masks contradict the kind of the maps, or if the maps hold nothing.
    """
    samples = _samples(source, clip)
    if source.certain:
        return _oriented(source, clip, _conversion(source.kind, samples)), _certain_note(source, samples, votes)
    _check_values(source, samples)
    verdict = votes.verdict(least)
    if source.kind == "auto":
        return _find_kind(source, clip, samples, verdict)
    note = None if verdict.sign else _unknown_note(source)
    if verdict.sign == -_SIGNS[source.kind]:
        direction = "nearer" if verdict.sign > 0 else "farther"
        note = (
            f"{source.name}: larger values are {direction}, as {verdict.evidence} show, but depth_kind= says otherwise"
        )
        if verdict.sure:
            raise InputError(f"{note}. Leave it out, or pass maps of this video.")
    return _oriented(source, clip, _conversion(source.kind, samples)), note


def _find_kind(
    source: DepthSource, clip: ClipTracks, samples: Sequence[Shaped[np.ndarray, "h w"]], verdict: Verdict
) -> tuple[DisparityMaps, str]:
    """Return maps of an unknown kind as disparities, by the evidence."""
    if verdict.sign == 0:
        return _oriented(source, clip, "as is"), _unknown_note(source)
    shown = f"as {verdict.evidence} show"
    if verdict.sign > 0:
        return _oriented(source, clip, "as is"), f"{source.name}: larger values are read as nearer, {shown}"
    if not are_distances(samples, zero_is_unknown=False):
        raise InputError(
            f"{source.name}: larger values are farther, {shown}, but they are no distances from a camera. Reverse the "
            'maps, or pass depth_kind="depth".'
        )
    return _oriented(source, clip, "inverted"), f"{source.name}: values are read as distances, {shown}"


def _conversion(kind: DepthKind, samples: Sequence[Shaped[np.ndarray, "h w"]]) -> Conversion:
    if kind != "depth":
        return "as is"
    return "inverted" if are_distances(samples, zero_is_unknown=True) else "negated"


def _oriented(source: DepthSource, clip: ClipTracks, conversion: Conversion) -> DisparityMaps:
    return DisparityMaps(source, conversion, clip.video.height, clip.video.width)


def _unknown_note(source: DepthSource) -> str:
    taken = "farther" if source.kind == "depth" else "nearer"
    return f"{source.name}: nothing in the masks shows which way the values point; larger values are taken as {taken}"


def _certain_note(source: DepthSource, samples: Sequence[Shaped[np.ndarray, "h w"]], votes: SignVotes) -> str | None:
    """The note on a source whose kind is certain, if its values look wrong."""
    try:
        _check_values(source, samples)
    except InputError as error:
        return str(error)
    verdict = SignVotes(votes.order).verdict()
    return f"{source.name}: {verdict.evidence} contradict it" if verdict.sign == -_SIGNS[source.kind] else None


def _samples(source: DepthSource, clip: ClipTracks) -> list[Shaped[np.ndarray, "h w"]]:
    """Return the maps of some frames, coarsely."""
    frames = _sampled_frames(source, clip.video.frames)
    return [values[::4, ::4] for frame in frames if (values := source.read(frame)) is not None]


def _check_values(source: DepthSource, samples: Sequence[Shaped[np.ndarray, "h w"]]) -> None:
    """Raise InputError if maps hold nothing."""
    finite = [sample[np.isfinite(sample)] for sample in samples]
    if not any(len(values) for values in finite):
        raise InputError(f"{source.name}: no depth in any frame: all values are nan or infinite. Pass other maps.")
    if all(len(np.unique(values)) < 2 for values in finite):
        raise InputError(f"{source.name}: all values of a map are the same, which shows no depth. Pass other maps.")


def _sampled_frames(source: DepthSource, length: int) -> Sequence[int]:
    frames = range(length) if source.frames is None else source.frames
    places = np.unique(np.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).round().astype(int))
    return [frames[place] for place in places]


def _labels(clip: ClipTracks, frame: int) -> UInt16[np.ndarray, "h w"]:
    """Return the place of the visible track at each pixel, counted from 1; 0 where there is none."""
    labels = np.zeros((clip.video.height, clip.video.width), dtype=np.uint16)
    for label, track in enumerate(clip.tracks, start=1):
        mask = track.visible[frame]
        if mask is not None:
            labels[mask.decode()] = label
    return labels


def _observe_objects(
    votes: SignVotes,
    labels: UInt16[np.ndarray, "h w"],
    values: Float[np.ndarray, "h w"],
    front: Float[np.ndarray, "m m"] | None,
) -> None:
    """Compare objects with each other and with their surroundings, close to their borders."""
    close = {label: _close_to(labels == label) for label in np.unique(labels[labels > 0]).tolist()}
    unlisted = labels == 0
    rest = _close_to(unlisted)
    for label, near in close.items():
        own = labels == label
        votes.add("surroundings", values[own & rest], values[unlisted & near])
        for other in (key for key in close if key > label):
            one, another = own & close[other], (labels == other) & near
            if min(np.count_nonzero(one), np.count_nonzero(another)) < LEAST_PIXELS:
                continue
            votes.touching += 1
            confidence = 0.0 if front is None else float(front[label - 1, other - 1])
            if abs(confidence) >= SURE:
                nearer, farther = (another, one) if confidence > 0 else (one, another)
                votes.add("order", values[nearer], values[farther])


def _close_to(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels at a distance from `NEAR` to `FAR` from a mask."""
    return np.asarray(binary_dilation(mask, iterations=FAR) & ~binary_dilation(mask, iterations=NEAR))
