"""What people do, as postures over time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from dataset_gen.actors.gaits import running, walk, walking
from dataset_gen.actors.outfits import Dressed
from dataset_gen.actors.performances import GroundPath
from dataset_gen.actors.rig import Posture, Vectors


@dataclass(frozen=True)
class Act:
    """Postures over time and where the body is."""

    posture: Posture
    hips: Vectors
    """Place of the pelvis in metres in the axes of the path; its height does not count."""
    height: Float[np.ndarray, " t"]
    """Height of the lowest vertex above the floor in metres."""
    level: bool = False
    """True to put the lowest vertex of the whole clip on the floor, in place of that of each frame."""


Action = Callable[[Dressed, GroundPath, np.random.Generator], Act]


def _speed(path: GroundPath) -> float:
    return float(path.travelled[-1]) * path.fps / max(len(path.positions) - 1, 1)


def _walk(person: Dressed, path: GroundPath, rng: np.random.Generator) -> Act:
    posture, hips = walk(person.naked, path, walking(person.naked, _speed(path), rng))
    return Act(posture, hips, np.zeros(len(hips)))


def _run(person: Dressed, path: GroundPath, rng: np.random.Generator) -> Act:
    posture, hips = walk(person.naked, path, running(person.naked, _speed(path), rng))
    return Act(posture, hips, np.zeros(len(hips)))


ACTIONS: dict[str, tuple[Action, tuple[float, float]]] = {
    "run": (_run, (2.2, 5.0)),
    "walk": (_walk, (0.6, 1.9)),
}
"""Actions by name, each with the speeds in metres per second of a person of 1.7 m."""
