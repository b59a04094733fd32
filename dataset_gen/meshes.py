"""Triangle meshes: OBJ text, convex hulls, normalisation and closedness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull

from vidamodal.worlds.spec import Mesh

Points = Float[np.ndarray, "p 3"]


def read_obj(text: str) -> list[Mesh]:
    """Read the meshes of an OBJ file.

    Args:
        text: Content of the file. Polygons are split into triangle fans.

    Returns:
        One mesh per non-empty group, in the file's units.

    Raises:
        ValueError: A coordinate is not finite or a face refers to a missing vertex.
        IndexError: A face refers to a vertex beyond the end of the list.
    """
    vertices: list[list[float]] = []
    groups: list[list[list[int]]] = [[]]
    for words in map(str.split, text.splitlines()):
        match words:
            case ["o" | "g", *_]:
                groups.append([])
            case ["v", x, y, z, *_]:
                vertices.append([float(x), float(y), float(z)])
            case ["f", *corners]:
                numbers = (int(corner.split("/")[0]) for corner in corners)
                first, *rest = (number - 1 if number > 0 else len(vertices) + number for number in numbers)
                groups[-1] += [[first, *pair] for pair in pairwise(rest)]
    points = np.array(vertices).reshape(-1, 3)
    if not np.isfinite(points).all() or min((min(face) for faces in groups for face in faces), default=0) < 0:
        raise ValueError("a coordinate is not finite or a face refers to a missing vertex")
    return [drop_unused_points(points, np.array(faces)) for faces in groups if faces]


def dump_obj(meshes: Mapping[str, Mesh]) -> str:
    """Return the text of an OBJ file with one group per mesh; coordinates are rounded to 1e-6."""
    lines: list[str] = []
    count = 1
    for name, mesh in meshes.items():
        lines.append(f"o {name}")
        lines += ["v {:.6f} {:.6f} {:.6f}".format(*vertex) for vertex in mesh.vertices]
        lines += ["f {} {} {}".format(*face) for face in mesh.faces + count]
        count += len(mesh.vertices)
    return "\n".join(lines) + "\n"


def drop_unused_points(points: Points, faces: Int[np.ndarray, "f 3"]) -> Mesh:
    """Return a mesh with only the points that its faces use."""
    used, index = np.unique(faces, return_inverse=True)
    return Mesh(points[used], index.reshape(faces.shape).astype(np.int32))


def join(meshes: Sequence[Mesh]) -> Mesh:
    """Join meshes into one."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces).astype(np.int32))


def convex_hull(points: Points) -> Mesh:
    """Return the convex hull of points, with faces counter-clockwise seen from outside."""
    hull = ConvexHull(points)
    corners = points[hull.simplices]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inward = np.einsum("fc,fc->f", normals, hull.equations[:, :3]) < 0
    return drop_unused_points(points, np.where(inward[:, None], hull.simplices[:, ::-1], hull.simplices))


def normalize_parts(parts: Sequence[Mesh]) -> tuple[Mesh, ...]:
    """Move parts to their common centroid, scale them to a longest side of 1 m and round to micrometres."""
    corners = np.concatenate([part.vertices[part.faces] for part in parts])
    volumes = np.einsum("fc,fc->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    centre = volumes @ corners.sum(axis=1) / 4 / volumes.sum()
    longest = float(np.ptp(corners.reshape(-1, 3), axis=0).max())
    return tuple(Mesh(to_metres(part.vertices, centre, longest), part.faces) for part in parts)


def to_metres(points: Points, centre: Float[np.ndarray, " 3"], longest: float) -> Float[np.ndarray, "p 3"]:
    """Return (points - centre) / longest, rounded to micrometres."""
    rounded: Float[np.ndarray, "p 3"] = np.round((points - centre) / longest, 6).astype(np.float32)
    return rounded


def centroid(parts: Sequence[Mesh]) -> Float[np.ndarray, " 3"]:
    """Return the centroid of closed parts of either winding; it is not finite if they have no volume."""
    weights, centres = [], []
    for part in parts:
        corners = part.vertices[part.faces] - part.vertices[0]
        volumes = np.einsum("fc,fc->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
        weights.append(abs(volumes.sum()))
        with np.errstate(all="ignore"):
            centres.append(part.vertices[0] + volumes @ corners.sum(axis=1) / 4 / volumes.sum())
    solid = np.array(weights) > 0
    with np.errstate(all="ignore"):
        centre: Float[np.ndarray, " 3"] = np.array(weights)[solid] @ np.array(centres)[solid] / sum(weights)
    return centre


def is_closed(mesh: Mesh) -> bool:
    """Return True if every ray from outside meets a front face first.

    Each edge must be used equally often in both directions, and each connected piece must enclose a positive volume.
    Unlike in a watertight mesh, an edge may belong to four faces, as where two closed parts touch.
    """
    _, index = np.unique(mesh.vertices, axis=0, return_inverse=True)
    faces = index.reshape(-1)[mesh.faces].astype(np.int64)
    start, stop = faces.T.reshape(-1), np.roll(faces, -1, axis=1).T.reshape(-1)
    count = int(faces.max()) + 1
    if not np.array_equal(np.sort(start * count + stop), np.sort(stop * count + start)):
        return False
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    volumes = np.einsum("fc,fc->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    return bool(np.all(np.bincount(_connected_pieces(faces, count), volumes) > 0))


def _connected_pieces(faces: Int[np.ndarray, "f 3"], count: int) -> Int[np.ndarray, " f"]:
    """Return the index of each face's connected piece."""
    start, stop = faces[:, [0, 1]].T.reshape(-1), faces[:, [1, 2]].T.reshape(-1)
    links = coo_array((np.ones(len(start)), (start, stop)), shape=(count, count))
    _, pieces = connected_components(links, directed=False)
    return np.unique(pieces[faces[:, 0]], return_inverse=True)[1]
