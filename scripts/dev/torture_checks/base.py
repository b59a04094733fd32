"""The interface of a check, and the outcome of its attempts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Attempt:
    """One attempt of a check."""

    case: str
    """What reproduces it, together with the seed of the run."""
    lost: str | None = None
    """How the promise was broken, in one line; None if it was kept."""


class Check(Protocol):
    """The interface of a check's module."""

    NAME: str
    """Name on the command line."""
    TRIED: str
    """What an attempt is, for the table."""
    PROMISE: str
    """What must hold in each attempt, for the table."""
    COUNT: int
    """Attempts of a full run."""

    def run(self, folder: Path, seed: int, count: int) -> Iterator[Attempt]:
        """Make the attempts.

        Args:
            folder: An empty folder to work in.
            seed: Seed of everything random: a seed always gives the same attempts.
            count: Number of attempts; a longer run begins with the attempts of a shorter one.
        """
