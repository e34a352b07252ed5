"""The rows that engines take."""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def checked(x: Matrix, inputs: int) -> Matrix:
    """Return the rows as C reads them. Raises ValueError."""
    if x.ndim != 2 or x.shape[1] != inputs:
        raise ValueError(f"rows of shape {x.shape}, expected (n, {inputs})")
    return np.require(x, np.float64, ["C_CONTIGUOUS", "ALIGNED"])
