"""Named protocols: other people's scores, exactly as their code computes them, and our own beside them.

A protocol is one file in this package, found by being there: its name, with hyphens, is the protocol's. It has
``HIDES``, one line that says what its numbers do not show, and ``score(videos)``, which turns the counts of all videos
into numbers by name. ``full`` and ``occ`` are the pair that most papers print; whatever else it returns is kept apart.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from vidamodal.metrics.counts import VideoCounts


class ScoringRule(Protocol):
    """What the file of a protocol holds."""

    HIDES: str

    def score(self, videos: Sequence[VideoCounts]) -> dict[str, Any]:
        """Numbers by name: fractions, None for a mean over nothing, or groups of them by name."""


@dataclass(frozen=True)
class ProtocolScores:
    """A named protocol, and what a perfect prediction scores in it on the same data; fractions.

    None for a mean over nothing, and in protocols that have no such pair. ``more`` holds a protocol's other numbers,
    and under "ceiling" the perfect prediction's.
    """

    full: float | None
    occ: float | None
    ceiling_full: float | None
    ceiling_occ: float | None
    hides: str
    more: Mapping[str, Any]


@cache
def load_protocols() -> dict[str, ScoringRule]:
    """All protocols by name, the primary one first."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    return {
        name.replace("_", "-"): importlib.import_module(f"{__name__}.{name}")
        for name in sorted(names, key=lambda name: (name != "primary", name))
    }


def score_protocols(videos: Sequence[VideoCounts]) -> dict[str, ProtocolScores]:
    """Every protocol with its ceiling."""
    perfect = [video.perfected() for video in videos]
    return {name: _both(rule, videos, perfect) for name, rule in load_protocols().items()}


def _both(rule: ScoringRule, videos: Sequence[VideoCounts], perfect: Sequence[VideoCounts]) -> ProtocolScores:
    scores, ceiling = rule.score(videos), rule.score(perfect)
    pairs = [(numbers.pop("full", None), numbers.pop("occ", None)) for numbers in (scores, ceiling)]
    return ProtocolScores(*pairs[0], *pairs[1], rule.HIDES, {**scores, "ceiling": ceiling} if scores else {})
