"""Properties of the metrics, for random predictions and ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from scripts.dev.torture_checks.base import Attempt
from scripts.dev.torture_checks.examples import search
from tests.metrics.helpers import Object, random_objects, seeds
from tests.metrics.properties import check_bounds, check_invariance, check_perfect_scores

NAME = "metrics"
TRIED = "random predictions and ground truth, in the primary protocol and all named ones"
PROMISE = (
    "scores within their bounds and ceilings, unchanged by padding, flips and the order of objects; a perfect "
    "prediction has the perfect score"
)
COUNT = 10_000
Property = Callable[[Sequence[Object]], None]
PROPERTIES: tuple[Property, ...] = (check_bounds, check_perfect_scores, check_invariance)


def run(folder: Path, seed: int, count: int) -> Iterator[Attempt]:  # noqa: ARG001 (writes no files)
    """Draw objects for each property; see `base.Check`."""
    for number, check in enumerate(PROPERTIES):

        def of_seed(value: int, check: Property = check) -> None:
            check(random_objects(value))

        share = (count - number - 1) // len(PROPERTIES) + 1
        if share > 0:
            yield from search(check.__name__, of_seed, seeds, seed, share)
