"""What predictors without a model score, beside which every result is read. They see the visible masks only.

A baseline is one file in this package, found by being there: its name, with hyphens, is the baseline's. It has
``complete(visible, covered)``, and ``UNDER_OCCLUDERS``, whether what it adds always
lies where other objects are visible.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Protocol

from pycocotools import mask as coco

from vidamodal.rle import pack
from vidamodal.types import ClipTracks, InputError, Rle, Track


class Baseline(Protocol):
    """What the file of a baseline holds."""

    UNDER_OCCLUDERS: bool

    def complete(self, visible: Sequence[Rle | None], covered: Sequence[Rle]) -> list[Rle]:
        """One track's amodal masks in every frame, from its visible ones and the pixels where any object is visible.

        Nowhere is a mask needed before the first or after the last known visible one, nor is it used there.
        """


@cache
def load_baselines() -> dict[str, Baseline]:
    """All baselines by name, in the order of their names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return {name.replace("_", "-"): importlib.import_module(f"{__name__}.{name}") for name in names}


def predict_baseline(name: str, clip: ClipTracks) -> ClipTracks:
    """Completes every track of a clip from its visible masks alone, under the rules that hold for every prediction.

    The confidence is 1: the mask's expected IoU under its own probabilities, which are 0 or 1. InputError for an
    unknown name.
    """
    if name not in load_baselines():
        raise InputError(f"no baseline is called {name!r}; choose one of {', '.join(load_baselines())}")
    baseline = load_baselines()[name]
    covered = [_union(clip, t) for t in range(clip.video.frames)]
    return replace(
        clip,
        tracks=tuple(_predict(baseline, track, covered) for track in clip.tracks),
        exhaustive=clip.exhaustive and baseline.UNDER_OCCLUDERS,
        order=None,
        provenance={"baseline": name},
    )


def _predict(baseline: Baseline, track: Track, covered: Sequence[Rle]) -> Track:
    amodal: list[Rle | None] = [None] * len(covered)
    if track.ever_visible and track.span is not None:
        first, past = track.span
        amodal[first:past] = baseline.complete(track.visible, covered)[first:past]
    confidence = tuple(None if mask is None else 1.0 for mask in amodal)
    return Track(track.id, track.visible, tuple(amodal), confidence, label=track.label)


def _union(clip: ClipTracks, t: int) -> Rle:
    """The pixels of frame t where any object is visible."""
    empty = Rle.empty(clip.video.height, clip.video.width)
    masks = [pack(mask) for track in clip.tracks if (mask := track.visible[t]) is not None]
    return Rle(empty.height, empty.width, coco.merge([pack(empty), *masks])["counts"].decode("ascii"))
