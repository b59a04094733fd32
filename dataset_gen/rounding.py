"""Numbers as specs hold them: rounded, so that a spec is compact and its hash stable."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from vidamodal.worlds.spec import Vector

DECIMALS = 6
"""Every number of a spec is rounded to this many decimals."""


def vector(values: Float[np.ndarray, " 3"]) -> Vector:
    """Three numbers as a spec holds them."""
    x, y, z = np.round(np.asarray(values, dtype=np.float64), DECIMALS).tolist()
    return x, y, z
