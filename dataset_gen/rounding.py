"""Rounding of the numbers in a spec, which keeps specs compact and their hashes stable."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from vidamodal.worlds.spec import Vector

DECIMALS = 6
"""Decimal places of every number in a spec."""


def round_vector(values: Float[np.ndarray, " 3"]) -> Vector:
    """Round three numbers and return them as a tuple of floats."""
    x, y, z = np.round(np.asarray(values, dtype=np.float64), DECIMALS).tolist()
    return x, y, z
