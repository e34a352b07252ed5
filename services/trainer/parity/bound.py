"""How far two correct sums of the same products can be apart."""

import numpy as np

from services.trainer.export.linear import Linear
from services.trainer.parity.reference import Matrix

UNIT_ROUNDOFF = 2.0**-53


def dot_bound(linear: Linear, transformed: Matrix) -> Matrix:
    """Return the largest |s - s'| per row and target, shape (n, T), of s = z·w + b summed in any two orders.

    Each sum is within (m + 2) u (Σ|w z| + |b|) of the exact value, with m the nonzero z of the row and u the unit
    roundoff (m products, m - 1 additions, the intercept, and the terms of second order); two sums, twice that.
    """
    magnitude = np.abs(transformed) @ np.abs(linear.weights) + np.abs(linear.intercept)
    nonzero = np.count_nonzero(transformed, axis=1)[:, np.newaxis]
    bound: Matrix = 2 * (nonzero + 2) * UNIT_ROUNDOFF * magnitude
    return bound
