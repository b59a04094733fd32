"""Scenes, depth by ray casting, and folders of worlds for the tests of worlds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from scipy.spatial import ConvexHull

from vidamodal.worlds.mesh_arrays import mesh_to_arrays
from vidamodal.worlds.rasterize import rasterize
from vidamodal.worlds.sample import WorldBank, WorldConfig, random_camera
from vidamodal.worlds.spec import (
    CameraSpec,
    Deformation,
    Mesh,
    Pose,
    SceneSpec,
    Skeleton,
    place,
)
from vidamodal.worlds.toy import toy_bank

SIZE = 40
CAMERA = CameraSpec(35.0, 32.0, ((5.0, -2.0, 3.0),), ((0.0, 0.0, 0.3),))
SMALL = WorldConfig(size=48, frames=5)


def blob(rng: np.random.Generator) -> Mesh:
    """A random convex body at the origin."""
    points = rng.normal(size=(rng.integers(5, 14), 3))
    hull = ConvexHull(points)
    faces = hull.simplices.copy()
    corners = points[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inward = np.einsum("fc,fc->f", normals, hull.equations[:, :3]) < 0
    faces[inward] = faces[inward][:, ::-1]
    return Mesh(points.astype(np.float32), faces.astype(np.int32))


def scene(rng: np.random.Generator, count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """World vertices and faces of some bodies that overlap in most views."""
    meshes = [blob(rng) for _ in range(count)]
    turns = [turn / np.linalg.norm(turn) for turn in rng.normal(size=(count, 4))]
    vertices = [
        place(mesh, tuple(rng.uniform(0.3, 0.8, 3)), Pose(tuple(rng.normal(0, 0.4, 3)), tuple(turn)))
        for mesh, turn in zip(meshes, turns, strict=True)
    ]
    return vertices, [mesh.faces for mesh in meshes]


def cast(vertices: list[np.ndarray], faces: list[np.ndarray], camera: CameraSpec, frame: int, size: int) -> np.ndarray:
    """Depth of each object along the optical axis by Moeller and Trumbore's test of every ray with every triangle."""
    eye = np.array(camera.positions[frame])
    forward = np.array(camera.targets[frame]) - eye
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1])
    right = right / np.linalg.norm(right)
    up = np.cross(right, forward)
    across = (np.arange(size) + 0.5 - size / 2) / size * camera.sensor_width / camera.focal_length
    rays = (forward + across[None, :, None] * right - across[:, None, None] * up).reshape(-1, 1, 3)
    depth = np.full((len(vertices), size * size), np.inf)
    for k, (points, triangles) in enumerate(zip(vertices, faces, strict=True)):
        a, b, c = (points[triangles[:, i]] for i in range(3))
        edge1, edge2 = b - a, c - a
        normal = np.cross(rays, edge2)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = 1 / np.einsum("fc,pfc->pf", edge1, normal)
            from_a = eye - a
            u = np.einsum("fc,pfc->pf", from_a, normal) * scale
            turned = np.cross(from_a, edge1)
            v = np.einsum("pqc,fc->pf", rays, turned) * scale
            along = np.einsum("fc,fc->f", edge2, turned) * scale
            hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (along > 0)
        depth[k] = np.where(hit, along, np.inf).min(axis=1)
    return depth.reshape(-1, size, size)


def random_depth(seed: int, count: int = 3, frame: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Depth by the rasteriser and by the ray caster of one random scene, seen by a random camera."""
    rng = np.random.default_rng(seed)
    vertices, faces = scene(rng, count)
    camera = random_camera(rng, 3, "orbit")
    return rasterize(vertices, faces, camera, frame, SIZE), cast(vertices, faces, camera, frame, SIZE)


def write_bank(folder: Path, bank: WorldBank) -> None:
    folder.mkdir()
    (folder / "worlds.jsonl").write_text("".join(json.dumps(w.to_json()) + "\n" for w in bank.worlds))
    arrays = {key: array for name, mesh in bank.meshes.items() for key, array in mesh_to_arrays(name, mesh).items()}
    save_file(arrays, folder / "meshes.safetensors")


def moving_world(frames: int) -> SceneSpec:
    """One object that walks, one that is bent more and more, one that stands still; seen by a still camera."""
    world = toy_bank(0).worlds[0]
    poses = tuple(Pose((0.1 * t - 0.3, 0.0, 0.6), (1.0, 0.0, 0.0, 0.0)) for t in range(frames))
    bent = Deformation(bend=tuple(0.2 * t for t in range(frames)))
    first, second, third = world.objects[:3]
    objects = (replace(first, poses=poses), replace(second, deformation=bent), third)
    return replace(world, objects=objects, frames=frames)


def limb() -> Mesh:
    """A bar along z from 0 to 3 with joints at z = 0, 1 and 2; the vertices at z = 1 and 2 follow two joints each."""
    corners = [(x, y, z) for z in range(4) for x, y in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
    vertices = np.array(corners, dtype=np.float32) * (0.1, 0.1, 1)
    sides = [(4 * z + k, 4 * z + (k + 1) % 4, 4 * z + 4 + k) for z in range(3) for k in range(4)]
    sides += [(4 * z + (k + 1) % 4, 4 * z + 4 + (k + 1) % 4, 4 * z + 4 + k) for z in range(3) for k in range(4)]
    faces = [*sides, (0, 3, 2), (0, 2, 1), (12, 13, 14), (12, 14, 15)]
    rings = np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0, 1]])
    pivots = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 2]], dtype=np.float64)
    skeleton = Skeleton(np.array([-1, 0, 1]), pivots, np.repeat(rings, 4, axis=0))
    return Mesh(vertices.astype(np.float32), np.array(faces, dtype=np.int32), skeleton)
