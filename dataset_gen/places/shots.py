"""Cameras as people hold them: the shape of the image, the lens, where the camera stands, and how it moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from dataset_gen.actors.performances import GroundPath
from dataset_gen.rounding import round_vector
from vidamodal.worlds.place_views import shake
from vidamodal.worlds.spec import CameraSpec

CameraMove = Literal["fixed", "handheld", "pan", "dolly", "follow"]

MOVES: tuple[tuple[CameraMove, float], ...] = (
    ("fixed", 0.25),
    ("handheld", 0.28),
    ("pan", 0.14),
    ("dolly", 0.11),
    ("follow", 0.22),
)
"""Kinds of camera with their probabilities."""

ASPECTS = ((16 / 9, 0.4), (3 / 2, 0.1), (4 / 3, 0.14), (1.0, 0.08), (3 / 4, 0.07), (9 / 16, 0.13), (2.35, 0.08))
"""Width over height of an image, with probabilities."""

RATES = ((10.0, 0.12), (12.0, 0.14), (15.0, 0.2), (24.0, 0.2), (25.0, 0.14), (30.0, 0.2))
"""Frames per second, with probabilities."""

LENSES = (((23.0, 28.0), 0.4), ((30.0, 55.0), 0.38), ((60.0, 120.0), 0.22))
"""Ranges of focal lengths in millimetres, for an image whose longer side is 36 mm on the sensor."""

SENSOR = 36.0


@dataclass(frozen=True)
class Shot:
    """A camera before it moves: it stands ``distance`` metres before the origin and looks along +y."""

    aspect: float
    """Width over height of the image."""
    focal_length: float
    """In millimetres, for a sensor of ``SENSOR``."""
    distance: float
    height: float
    """Metres above the ground."""
    aim: float
    """Height in metres of the point above the origin that the camera looks at."""
    frames: int
    fps: float

    @property
    def across(self) -> float:
        """Half the width of what the image shows, in metres per metre of distance."""
        return SENSOR / self.focal_length / 2 * min(self.aspect, 1.0)

    @property
    def seconds(self) -> float:
        """Duration of the clip."""
        return self.frames / self.fps

    @property
    def times(self) -> Float[np.ndarray, " t"]:
        """Time of each frame in seconds."""
        return np.arange(self.frames) / self.fps

    def half_width(self, depth: float) -> float:
        """Return half the width in metres of what the image shows at a distance from the camera."""
        return self.across * depth

    def place(self, x: float, depth: float) -> Float[np.ndarray, " 2"]:
        """Return the place on the ground x metres to the right at a distance from the camera."""
        return np.array([x, depth - self.distance])


def pick(rng: np.random.Generator, choices: Sequence[tuple[object, float]]) -> int:
    """Return the number of one of some choices with weights."""
    weights = np.array([weight for _, weight in choices])
    return int(rng.choice(len(choices), p=weights / weights.sum()))


def sample_aspect(rng: np.random.Generator) -> float:
    """Return the width of an image over its height."""
    return ASPECTS[pick(rng, ASPECTS)][0]


def distance_for(extent: float, share: float, focal_length: float, aspect: float) -> float:
    """Return the distance in metres at which a thing of some metres fills a share of the image's height."""
    return focal_length / SENSOR * max(aspect, 1.0) * extent / share


def film(rng: np.random.Generator, shot: Shot, move: CameraMove, subject: GroundPath) -> CameraSpec:
    """Return the path of a camera.

    Args:
        rng: Source of its movement.
        shot: Where it stands.
        move: How it moves.
        subject: Path of what it films.
    """
    frames = shot.frames
    position = np.repeat(np.array([[0.0, -shot.distance, shot.height]]), frames, axis=0)
    target = np.repeat(np.array([[0.0, 0.0, shot.aim]]), frames, axis=0)
    way = gaussian_filter1d(subject.positions, rng.uniform(0.15, 0.5) * shot.fps, axis=0, mode="nearest")
    if move == "pan":
        target[:, :2] += way * rng.uniform(0.7, 1.0)
    elif move == "follow":
        way = way - way[frames // 2]
        position[:, :2] += way
        target[:, :2] += way
    elif move == "dolly":
        _dolly(rng, shot, position, target)
    hand = 0.0 if move == "fixed" else rng.choice((0.003, 0.008, 0.02))
    target += shake(rng, frames, hand) * shot.distance
    position += shake(rng, frames, min(2 * hand, 0.02) * min(shot.distance, 3.0))
    position[:, 2] = np.maximum(position[:, 2], 0.2)
    return CameraSpec(
        focal_length=round(shot.focal_length, 3),
        sensor_width=SENSOR,
        positions=tuple(map(_millimetres, position)),
        targets=tuple(map(_millimetres, target)),
    )


def _dolly(
    rng: np.random.Generator, shot: Shot, position: Float[np.ndarray, "t 3"], target: Float[np.ndarray, "t 3"]
) -> None:
    """Move a camera sideways, or nearer or away, in place; half of the time it keeps its direction."""
    along = np.linspace(-0.5, 0.5, shot.frames)[:, None]
    if rng.random() < 0.6:
        way = np.array([rng.choice((-1, 1)) * rng.uniform(0.2, 0.7) * shot.distance, 0.0, 0.0])
    else:
        way = np.array([0.0, rng.uniform(-0.5, 0.5) * shot.distance, 0.0])
    position += along * way
    if rng.random() < 0.5:
        target += along * way


def _millimetres(point: Float[np.ndarray, " 3"]) -> tuple[float, float, float]:
    return round_vector(np.round(point, 3))
