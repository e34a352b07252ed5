"""Latency as counts in fixed log-spaced bins: mergeable by addition, with a stated error."""

import numpy as np
from numpy.typing import NDArray

_PER_OCTAVE = 8
_OCTAVES = 27  # 1 µs to 134 s
EDGES: NDArray[np.float64] = 1e-6 * 2.0 ** (np.arange(_OCTAVES * _PER_OCTAVE + 1) / _PER_OCTAVE)
"""Upper edges in seconds. Bin i holds EDGES[i-1] < t <= EDGES[i]; the last bin everything longer."""

BINS = len(EDGES) + 1
RELATIVE_ERROR = 2 ** (1 / (2 * _PER_OCTAVE)) - 1
"""A quantile is off by at most this share (4.4 %) between 1 µs and 134 s."""


def bins(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each duration."""
    return np.searchsorted(EDGES, seconds, side="left").astype(np.int64)


def quantile(counts: NDArray[np.int64], q: float) -> float | None:
    """Return the q-quantile in seconds of durations counted in our bins; None when there are none."""
    total = int(counts.sum())
    if total == 0:
        return None
    rank = max(1, int(np.ceil(q * total)))
    index = int(np.searchsorted(np.cumsum(counts), rank, side="left"))
    if index == 0:
        return float(EDGES[0])
    if index >= len(EDGES):
        return float(EDGES[-1])
    return float(np.sqrt(EDGES[index - 1] * EDGES[index]))
