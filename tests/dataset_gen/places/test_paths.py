"""Paths on the ground."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_gen.places.paths import beside, delayed, stand, walk


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 5), st.floats(0.1, 5.0))
def test_a_walk_covers_the_given_distance_and_looks_where_it_goes(seed: int, count: int, speed: float) -> None:
    rng = np.random.default_rng(seed)
    points = np.cumsum(rng.uniform(0.5, 3.0, (count, 2)), axis=0)
    path = walk(list(points), speed * np.arange(40) / 12.0, 12.0)
    steps = np.diff(path.positions, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    assert (lengths <= speed / 12 * 1.01 + 1e-6).all() and np.median(lengths) > 0.9 * speed / 12
    ways = np.arctan2(steps[:, 1], steps[:, 0])
    turn = np.angle(np.exp(1j * (ways - (path.headings[1:] + path.headings[:-1]) / 2)))
    assert np.median(np.abs(turn)) < 0.1


def test_a_straight_walk_goes_on_beyond_its_points() -> None:
    path = walk([np.zeros(2), np.array([0.0, 1.0])], np.array([-2.0, 0.0, 0.5, 3.0]), 10.0)
    np.testing.assert_allclose(path.positions, np.array([[0, -2], [0, 0], [0, 0.5], [0, 3]]), atol=1e-9)
    np.testing.assert_allclose(path.headings, np.pi / 2)


def test_companions_keep_their_distance() -> None:
    leader = walk([np.zeros(2), np.array([3.0, 0.0]), np.array([4.0, 3.0])], np.linspace(0, 6, 50), 10.0)
    apart = np.linalg.norm(beside(leader, 0.0, 0.5).positions - leader.positions, axis=1)
    np.testing.assert_allclose(apart, 0.5)
    follower = delayed(leader, 1.0)
    gap = np.linalg.norm(follower.positions - leader.positions, axis=1)
    assert (gap > 0.85).all() and (gap < 1.01).all()
    assert not stand(np.ones(2), 0.3, 5, 10.0).travelled.any()
