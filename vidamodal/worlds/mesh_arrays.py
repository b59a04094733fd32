"""Meshes as named arrays, as ``meshes.safetensors`` stores them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Shaped

from vidamodal.worlds.spec import Mesh, Skeleton

Arrays = Mapping[str, Shaped[np.ndarray, "..."]]


def mesh_to_arrays(name: str, mesh: Mesh) -> dict[str, Shaped[np.ndarray, ...]]:
    """Return the arrays of a mesh: ``name/vertices`` and ``name/faces``, and those of its skeleton if it has one."""
    arrays = {f"{name}/vertices": mesh.vertices, f"{name}/faces": mesh.faces}
    if mesh.skeleton is not None:
        arrays |= {
            f"{name}/parents": mesh.skeleton.parents.astype(np.int32),
            f"{name}/pivots": mesh.skeleton.pivots.astype(np.float32),
            f"{name}/weights": mesh.skeleton.weights.astype(np.float32),
        }
    return {key: np.ascontiguousarray(array) for key, array in arrays.items()}


def mesh_from_arrays(name: str, arrays: Arrays) -> Mesh:
    """Restore a mesh from the arrays of ``mesh_to_arrays``.

    Raises:
        KeyError: An array is missing.
    """
    skeleton = None
    if f"{name}/parents" in arrays:
        skeleton = Skeleton(arrays[f"{name}/parents"], arrays[f"{name}/pivots"], arrays[f"{name}/weights"])
    return Mesh(arrays[f"{name}/vertices"], arrays[f"{name}/faces"], skeleton)
