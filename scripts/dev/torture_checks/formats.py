"""Written formats read back as they were, for random clips."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from hypothesis import strategies as st

from scripts.dev.torture_checks.base import Attempt
from scripts.dev.torture_checks.examples import search
from scripts.dev.torture_checks.sandbox import renew
from tests.formats.video_data import BOTH, ONE, check_round_trip, clips
from vidamodal.formats import MaskKind
from vidamodal.types import ClipTracks

NAME = "formats"
TRIED = "random clips, in each written format, as visible and as amodal masks"
PROMISE = "read back as they were, also after a second conversion, or refused in one line where the format lacks room"
COUNT = 10_000


def run(folder: Path, seed: int, count: int) -> Iterator[Attempt]:
    """Draw clips for each format and kind of mask; see `base.Check`."""
    kinds: tuple[MaskKind, ...] = ("visible", "amodal")
    pairs = list(itertools.product((*ONE, *BOTH), kinds))
    with mock.patch.object(os, "fsync"), mock.patch.object(os, "sync"):  # nothing is lost here by a crash
        for number, (form, kind) in enumerate(pairs):
            share = (count - number - 1) // len(pairs) + 1

            def check(found: list[ClipTracks], form: str = form, kind: MaskKind = kind) -> None:
                check_round_trip(renew(folder / "clips"), form, kind, found)

            if share > 0:
                yield from search(f"{form}, {kind}", check, st.lists(clips(), min_size=1, max_size=2), seed, share)
