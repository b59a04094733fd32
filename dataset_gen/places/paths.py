"""Paths on the ground: curves through points, walked with a given progress."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline

from dataset_gen.actors.performances import GroundPath

_SAMPLES = 240
"""Points at which the length of a curve is measured."""


def walk(points: Sequence[Float[np.ndarray, " 2"]], travelled: Float[np.ndarray, " t"], fps: float) -> GroundPath:
    """Return the path along a smooth curve through at least two points.

    Args:
        points: Places in metres. The curve goes on straight before the first and after the last.
        travelled: Distance from the first point along the curve in each frame, in metres.
        fps: Frames per second.
    """
    knots = np.asarray(points, dtype=np.float64)
    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    along = np.linspace(0.0, chord[-1], _SAMPLES)
    curve = CubicSpline(chord, knots)(along) if len(knots) > 2 else np.linspace(knots[0], knots[1], _SAMPLES)
    steps = np.diff(curve, axis=0)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(steps, axis=1))])
    angles = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    headings = np.interp(travelled, (length[1:] + length[:-1]) / 2, angles)
    inside = np.clip(travelled, 0.0, length[-1])
    positions = np.stack([np.interp(inside, length, curve[:, k]) for k in (0, 1)], axis=1)
    beyond = (travelled - inside)[:, None] * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    return GroundPath(positions + beyond, headings, fps)


def stand(place: Float[np.ndarray, " 2"], heading: float, frames: int, fps: float) -> GroundPath:
    """Return the path of a thing that stays where it is."""
    return GroundPath(np.repeat(place[None], frames, axis=0), np.full(frames, heading), fps)


def beside(path: GroundPath, ahead: float, left: float) -> GroundPath:
    """Return the path of a thing that keeps its place beside another, given in the other's axes in metres."""
    cos, sin = np.cos(path.headings), np.sin(path.headings)
    offset = np.stack([ahead * cos - left * sin, ahead * sin + left * cos], axis=1)
    return GroundPath(path.positions + offset, path.headings, path.fps)


def delayed(path: GroundPath, distance: float) -> GroundPath:
    """Return the path of a thing that follows another at a distance, where the other went."""
    travelled = path.travelled
    pace = max(float(travelled[-1]) / max(len(travelled) - 1, 1), 1e-6)
    before = path.positions[0] - pace * np.arange(1, 400)[::-1, None] * _direction(path.headings[0])
    places = np.concatenate([before, path.positions])
    reach = np.concatenate([-pace * np.arange(1, 400)[::-1], travelled])
    headings = np.concatenate([np.full(399, path.headings[0]), path.headings])
    wanted = travelled - distance
    positions = np.stack([np.interp(wanted, reach, places[:, k]) for k in (0, 1)], axis=1)
    return GroundPath(positions, np.interp(wanted, reach, headings), path.fps)


def _direction(heading: float) -> Float[np.ndarray, " 2"]:
    return np.array([np.cos(heading), np.sin(heading)])
