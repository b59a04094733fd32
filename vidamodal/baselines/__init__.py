"""Baselines: they complete visible masks without a model and are reported beside every result.

A baseline is one module of this package, discovered by scanning, with

- ``ID``: its name in metrics.json,
- ``ADDS_ONLY_UNDER_OCCLUDERS``: True if everything it adds lies where other objects are visible,
- ``complete(visible, covered)``: the amodal masks of one track.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Protocol, cast

from vidamodal.registry import find_modules
from vidamodal.rle import union
from vidamodal.types import ClipTracks, InputError, Rle, Track


class Baseline(Protocol):
    """Interface of a baseline's module."""

    ID: str
    ADDS_ONLY_UNDER_OCCLUDERS: bool

    def complete(self, visible: Sequence[Rle | None], covered: Sequence[Rle]) -> list[Rle]:
        """Return the amodal masks of one track in every frame.

        Masks before the first and after the last known visible mask are discarded.

        Args:
            visible: Visible masks of the track; None where they are not known. At least one is not empty.
            covered: Union of the visible masks of all objects, this one included, in every frame.
        """


@cache
def load_baselines() -> dict[str, Baseline]:
    """Return all baselines by id, in alphabetical order."""
    return cast(dict[str, Baseline], find_modules(__name__))


def predict_baseline(baseline_id: str, clip: ClipTracks) -> ClipTracks:
    """Complete every track of a clip with a baseline.

    The confidence is 1: the expected IoU under the mask's own probabilities, which are 0 or 1.

    Args:
        baseline_id: Id of the baseline, such as ``"copy-visible"``.
        clip: Tracks with visible masks; amodal masks are ignored.

    Returns:
        The completed tracks.

    Raises:
        InputError: If there is no such baseline.
    """
    if baseline_id not in load_baselines():
        raise InputError(f"no baseline is called {baseline_id!r}. Choose one of {', '.join(load_baselines())}.")
    baseline = load_baselines()[baseline_id]
    covered = [_union_of_visible(clip, t) for t in range(clip.video.frames)]
    return replace(
        clip,
        tracks=tuple(_complete_track(baseline, track, covered) for track in clip.tracks),
        exhaustive=clip.exhaustive and baseline.ADDS_ONLY_UNDER_OCCLUDERS,
        order=None,
        provenance={"baseline": baseline_id},
    )


def _complete_track(baseline: Baseline, track: Track, covered: Sequence[Rle]) -> Track:
    amodal: list[Rle | None] = [None] * len(covered)
    if track.ever_visible and track.span is not None:
        first, past = track.span
        amodal[first:past] = baseline.complete(track.visible, covered)[first:past]
    confidence = tuple(None if mask is None else 1.0 for mask in amodal)
    return Track(track.id, track.visible, tuple(amodal), confidence, label=track.label)


def _union_of_visible(clip: ClipTracks, t: int) -> Rle:
    empty = Rle.empty(clip.video.height, clip.video.width)
    return union([empty, *(mask for track in clip.tracks if (mask := track.visible[t]) is not None)])
