"""Draw a contact sheet of the silhouettes of actors: one row an actor and action, one column a moment.

Run it as `python -m scripts.dev.silhouettes dataset_gen.actors.people:People sheet.png [--split train] [--rows 8]
[--actions walk,run] [--seed 0]`.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from dataset_gen.actors.performances import Cast, GroundPath, Performance
from vidamodal.worlds.rasterize import project, rasterize
from vidamodal.worlds.spec import CameraSpec, Mesh, Pose, Vector, deform, place

TILE = 224
MOMENTS = 6


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cast", help="module:Class of a Cast")
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--actions", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=30, help="30 frames a second; every fifth is drawn")
    arguments = parser.parse_args()
    module, _, name = arguments.cast.partition(":")
    cast: Cast = getattr(importlib.import_module(module), name)()
    rng = np.random.default_rng(arguments.seed)
    ids = cast.ids(arguments.split)
    wanted = [action for action in arguments.actions.split(",") if action]
    rows: list[np.ndarray] = []
    while len(rows) < arguments.rows:
        asset = ids[int(rng.integers(len(ids)))]
        known = list(cast.actions(asset))
        action = wanted[len(rows) % len(wanted)] if wanted else known[rng.integers(len(known))]
        if action in known:
            rows.append(row(cast, asset, action, rng, arguments.frames))
    Image.fromarray(np.concatenate(rows)).save(arguments.out)


def row(cast: Cast, asset: str, action: str, rng: np.random.Generator, frames: int) -> np.ndarray:
    """Return a strip of one actor, seen by a camera that goes beside it."""
    path = random_path(cast.actions(asset)[action], rng, frames)
    performance = cast.perform(asset, action, path, rng)
    mesh = cast.load(asset).mesh
    size = float(np.ptp(mesh.vertices, axis=0).max())
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.35)
    tiles = [
        silhouette(mesh, performance, frame, azimuth, elevation, size)
        for frame in np.linspace(0, frames - 1, MOMENTS).round().astype(int)
    ]
    strip = Image.fromarray(np.concatenate(tiles, axis=1))
    ImageDraw.Draw(strip).text((4, 4), f"{asset} {action}", fill=(0, 0, 0))
    return np.asarray(strip)


def random_path(speeds: Vector | tuple[float, float], rng: np.random.Generator, frames: int) -> GroundPath:
    """Return a gently curved path at 30 frames a second."""
    fps = 30.0
    speed, turn = rng.uniform(speeds[0], speeds[1]), rng.normal(0, 0.3)
    headings = rng.uniform(0, 2 * np.pi) + turn * np.arange(frames) / fps
    steps = speed / fps * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    return GroundPath(np.cumsum(steps, axis=0) - steps[0], headings, fps)


def silhouette(
    mesh: Mesh, performance: Performance, frame: int, azimuth: float, elevation: float, size: float
) -> np.ndarray:
    """Return a tile: the actor shaded by its depth, and a line on the floor below it."""
    pose = performance.poses[min(frame, len(performance.poses) - 1)]
    vertices = mesh.vertices
    if performance.deformation is not None:
        vertices = deform(vertices, performance.deformation, frame, mesh.skeleton)
    points = place(Mesh(vertices.astype(np.float32), mesh.faces), (1.0, 1.0, 1.0), pose)
    camera = camera_beside(pose, azimuth, elevation, size)
    depth = rasterize([points], [mesh.faces], camera, 0, TILE)[0]
    inside = np.isfinite(depth)
    near = 4 * size - 0.5 * size
    shade = np.where(inside, 30 + 90 * np.clip((np.where(inside, depth, near) - near) / size, 0, 1), 255)
    tile = np.repeat(shade[..., None], 3, axis=2).astype(np.uint8)
    floor = floor_row(camera, pose)
    tile[floor] = np.where(inside[floor, :, None], tile[floor], 200)
    tile[:, -1] = 220
    return tile


def camera_beside(pose: Pose, azimuth: float, elevation: float, size: float) -> CameraSpec:
    """Return a camera at four times the size of the actor."""
    target = np.array([pose.position[0], pose.position[1], 0.45 * size])
    direction = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    position = target + 4 * size * direction
    return CameraSpec(105.0, 36.0, (tuple(position.tolist()),), (tuple(target.tolist()),))


def floor_row(camera: CameraSpec, pose: Pose) -> int:
    """Return the row of the image on which the floor below the actor lies."""
    xy, _ = project(np.array([[pose.position[0], pose.position[1], 0.0]]), camera, 0, TILE)
    return int(np.clip(round(float(xy[0, 1])), 0, TILE - 1))


if __name__ == "__main__":
    main()
