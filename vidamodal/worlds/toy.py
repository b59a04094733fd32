"""Toy worlds for smoke runs and tests: boxes and balls at random positions, without physics or assets."""

from __future__ import annotations

import numpy as np

from vidamodal.worlds.sample import WorldBank
from vidamodal.worlds.spec import CameraSpec, LightSpec, Material, Mesh, ObjectSpec, Pose, SceneSpec

_PLAIN = Material((0.5, 0.5, 0.5), 0.5, 0.0, "plain", (0.5, 0.5, 0.5), 1.0)


def toy_bank(seed: int, worlds: int = 16) -> WorldBank:
    """Create worlds of 4 to 8 boxes and balls each, which overlap in most views."""
    rng = np.random.default_rng(seed)
    return WorldBank(tuple(_world(rng, k) for k in range(worlds)), {"box": _box(), "ball": _ball()})


def _world(rng: np.random.Generator, seed: int) -> SceneSpec:
    objects = []
    for k in range(int(rng.integers(4, 9))):
        asset = str(rng.choice(["box", "ball"]))
        turn = rng.normal(size=4)
        pose = Pose(tuple((rng.normal(0, 0.9, 3) * (1, 1, 0.3) + (0, 0, 0.6)).tolist()), tuple(
            (turn / np.linalg.norm(turn)).tolist()))  # fmt: skip
        scale = tuple(rng.uniform(0.25, 0.7, 3).tolist())
        objects.append(ObjectSpec(k + 1, asset, asset, "CC0", scale, 1.0, _PLAIN, (pose,)))
    camera = CameraSpec(35.0, 32.0, ((6.0, 0.0, 3.0),), ((0.0, 0.0, 0.5),))
    light = LightSpec((0.0, 0.0, 1.0), 1.0, "none", 0.0, 1.0, _PLAIN)
    return SceneSpec(seed, "train", "toy", 256, 1, 12.0, tuple(objects), camera, light)


def _box() -> Mesh:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float32)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return Mesh(corners, np.array([f for a, b, c, d in quads for f in ((a, b, c), (a, c, d))], dtype=np.int32))


def _ball(rings: int = 8, sectors: int = 12) -> Mesh:
    polar = np.linspace(0, np.pi, rings + 1)[1:-1]
    around = np.linspace(0, 2 * np.pi, sectors, endpoint=False)
    points = [(0.0, 0.0, 1.0), (0.0, 0.0, -1.0)]
    points += [(np.sin(p) * np.cos(a), np.sin(p) * np.sin(a), np.cos(p)) for p in polar for a in around]
    faces = []
    for s in range(sectors):
        n = (s + 1) % sectors
        faces.append((0, 2 + s, 2 + n))
        last = 2 + (rings - 2) * sectors
        faces.append((1, last + n, last + s))
        for r in range(rings - 2):
            up, low = 2 + r * sectors, 2 + (r + 1) * sectors
            faces += [(up + s, low + s, low + n), (up + s, low + n, up + n)]
    return Mesh(np.array(points, dtype=np.float32), np.array(faces, dtype=np.int32))
