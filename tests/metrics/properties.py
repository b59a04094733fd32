"""Properties that the metrics have for any prediction and ground truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tests.metrics.helpers import Masks, Object, close, count, everything, numbers, score
from vidamodal.metrics.protocols import score_protocols

BEST = {"full": 1, "occ": 1, "hidden": 1, "track_iou": 1, "false_completion": 0, "ghosts": 0, "flicker": 0}
"""Primary scores of a perfect prediction."""


def check_bounds(objects: Sequence[Object]) -> None:
    """Check that no score is negative, and that those that are fractions are at most 1."""
    for name, value in numbers(score(objects)).items():
        assert value is None or value >= 0
        assert value is None or value <= 1 or name in ("false_completion", "flicker")


def check_perfect_scores(objects: Sequence[Object]) -> None:
    """Check that the ground truth as prediction has the best scores, and that no prediction exceeds its ceiling."""
    perfect = [(a, a, v) for _, a, v in objects]
    scores, own = score(perfect), score_protocols([count(perfect)])
    assert all(value in (None, BEST[name]) for name, value in numbers(scores).items())
    for name, other in score_protocols([count(objects)]).items():
        ceiling = own[name]
        assert (other.ceiling_full, other.ceiling_occ) == (ceiling.full, ceiling.occ)
        assert (ceiling.full, ceiling.occ) == (ceiling.ceiling_full, ceiling.ceiling_occ)
        if name in ("eoras", "diffusion-vas"):  # what they drop depends on the prediction: a worse one may score more
            continue
        for value, bound in ((other.full, other.ceiling_full), (other.occ, other.ceiling_occ)):
            assert (value is None) == (bound is None)
            assert value is None or bound is None or 0 <= value <= bound + 1e-12 <= 1 + 1e-9


def check_invariance(objects: Sequence[Object]) -> None:
    """Check that flips, padding at the side and the order of the objects change no score."""
    expected, expected_protocols = everything(objects)
    changes: list[Callable[[np.ndarray], np.ndarray]] = [
        np.fliplr,
        np.flipud,
        lambda mask: np.pad(mask, ((0, 0), (3, 8))),
    ]
    del expected_protocols["diffusion-vas"]  # whose erosion knows where the image ends
    del expected_protocols["mosev2"]  # whose outlines look to the right and down
    for change in changes:
        found, others = everything(mapped(objects, change))
        assert found == expected and close({name: others[name] for name in expected_protocols}, expected_protocols)
    assert close(everything(objects[::-1])[0], expected)


def mapped(objects: Sequence[Object], change: Callable[[np.ndarray], np.ndarray]) -> list[Object]:
    """Return objects with a change of each mask."""

    def each(masks: Masks) -> Masks:
        return [None if mask is None else change(mask) for mask in masks]

    return [(each(p), each(a), each(v)) for p, a, v in objects]
