"""Named protocols: scores of other projects, computed exactly as their code does, beside our own.

A protocol is one module of this package, discovered by scanning, with

- ``ID``: its key in metrics.json,
- ``HIDES``: one line that names what its numbers do not show,
- ``score(videos)``: numbers by name, from the counts of all videos.

``full`` and ``occ`` are the pair that most papers print; all other numbers are reported separately.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, cast

from vidamodal.metrics.counts import VideoCounts
from vidamodal.registry import find_modules


class ScoringRule(Protocol):
    """Interface of a protocol's module."""

    ID: str
    HIDES: str

    def score(self, videos: Sequence[VideoCounts]) -> dict[str, Any]:
        """Return numbers by name: fractions, None for a mean over nothing, or nested groups of them."""


@dataclass(frozen=True)
class ProtocolScores:
    """Scores of one protocol, and those of a perfect prediction on the same data; fractions.

    ``full`` and ``occ`` are None for a mean over nothing, and in protocols that have no such pair.
    """

    full: float | None
    occ: float | None
    ceiling_full: float | None
    ceiling_occ: float | None
    hides: str
    """What the numbers do not show."""
    is_pair: bool
    """True if the protocol has the pair ``full`` and ``occ``."""
    more: Mapping[str, Any]
    """The protocol's other numbers, with the perfect prediction's under "ceiling"; empty if it has none."""


@cache
def load_protocols() -> dict[str, ScoringRule]:
    """Return all protocols by id: the primary one, then the others in alphabetical order."""
    protocols = cast(dict[str, ScoringRule], find_modules(__name__))
    return {key: protocols[key] for key in sorted(protocols, key=lambda key: (key != "primary", key))}


def score_protocols(videos: Sequence[VideoCounts]) -> dict[str, ProtocolScores]:
    """Score the videos, and a perfect prediction of them, under every protocol."""
    perfect = [video.with_perfect_prediction() for video in videos]
    return {key: _score_with_ceiling(rule, videos, perfect) for key, rule in load_protocols().items()}


def _score_with_ceiling(
    rule: ScoringRule, videos: Sequence[VideoCounts], perfect: Sequence[VideoCounts]
) -> ProtocolScores:
    scores, ceiling = rule.score(videos), rule.score(perfect)
    is_pair = "full" in scores
    pairs = [(numbers.pop("full", None), numbers.pop("occ", None)) for numbers in (scores, ceiling)]
    more = {**scores, "ceiling": ceiling} if scores else {}
    return ProtocolScores(*pairs[0], *pairs[1], rule.HIDES, is_pair, more)
