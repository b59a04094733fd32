"""Checks of reliability: each module makes seeded attempts to break a promise; `scripts.dev.torture` runs them."""

from __future__ import annotations

from scripts.dev.torture_checks import (
    batch,
    conversion,
    determinism,
    disk,
    formats,
    generation,
    inference,
    long,
    metrics,
    models,
    names,
    numerics,
    training,
    videos,
)
from scripts.dev.torture_checks.base import Check

_ALL: tuple[Check, ...] = (
    training, disk, generation, inference, batch, conversion, videos, models, names, long, determinism, numerics,
    formats, metrics,
)  # fmt: skip
CHECKS: dict[str, Check] = {check.NAME: check for check in _ALL}
"""The checks by name, in the order of the page."""
