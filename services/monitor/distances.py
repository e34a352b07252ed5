"""How far a window lies from the reference, from counts in the profile's bins: measures, without a word on chance.

What happens inside a bin is not known; where that matters the largest possible error is returned beside the value.
"""

import math

import numpy as np
from numpy.typing import NDArray

from shared.profile import ColumnProfile

Counts = NDArray[np.int64]

SMOOTHING = 0.5
"""Added to every bin's count before it becomes a share, so that an empty bin does not make the index infinite.

Half a row is the Jeffreys prior of a multinomial (Krichevsky and Trofimov, 1981).
"""

PSI_GROUPS = 10
"""Limits of the index are customary for deciles: it grows with the number of bins, whatever happens."""

_SAME_MEAN = 1e-6  # relative: what the fixed point of a summary can lose


def ks(column: ColumnProfile, live: Counts) -> tuple[float, float]:
    """Return the largest distance of the two distribution functions, |F - G|, at an edge, and by how much it can be
    larger between edges.

    F rises by p and G by q within a bin at whose lower edge F - G is d. There F - G is never above d + p nor below
    d - q, whatever the order of the values. A bin of one value has no inside.
    """
    counts = np.asarray(column.counts, np.int64)
    gaps = np.cumsum(counts) / counts.sum() - np.cumsum(live) / live.sum()
    found = float(np.abs(gaps).max())
    before = np.append(0.0, gaps[:-1])
    inside = np.maximum(before + _shares(counts), _shares(live) - before)[~_of_one_value(column)]
    return found, max(0.0, float(inside.max(initial=0.0)) - found)


def wasserstein(
    column: ColumnProfile, live: Counts, sums: tuple[float, float], shift: float | None
) -> tuple[float, float] | None:
    """Return the area between the two distribution functions in standard deviations of the reference, and by how much
    the true one can differ.

    Values are taken to be spread evenly within a bin. A distribution function that rises by p over a bin of width w
    encloses at most wp/2 with the straight line, so the error is at most the sum of w(p + q)/2. Outside the
    reference's range one of the functions is constant, and the area is exact: sums of distances. It is never less than
    the shift of the mean, which is known exactly.

    Args:
        sums: of the standardised live values below and above the range.
        shift: `mean_shift`.

    Returns:
        None where the reference does not vary, or its profile does not know its range.
    """
    if not (column.outside and column.std and column.mean is not None):
        return None
    edges = (np.asarray(column.edges) - column.mean) / column.std
    p, q, n = _shares(np.asarray(column.counts, np.int64)), _shares(live), int(live.sum())
    gaps = np.cumsum(p - q)[:-1]  # F - G at every edge
    below = max(0.0, int(live[0]) * float(edges[0]) - sums[0]) / n
    above = max(0.0, sums[1] - int(live[-1]) * float(edges[-1])) / n
    widths = np.diff(edges)
    area = below + above + float(np.sum(widths * _mean_height(gaps[:-1], gaps[1:])))
    error = float(np.sum(widths * (p + q)[1:-1])) / 2
    unit = math.sqrt(1 - 1 / _present(column))  # the standard deviation with n instead of n - 1, as is usual here
    return max(area, shift or 0.0) / unit, error / unit


def psi(reference: Counts, live: Counts) -> float | None:
    """Return the population stability index, in nats: sum over bins of (q - p) ln(q / p).

    p and q are the shares of a bin in the reference and live, after `SMOOTHING` was added to both counts; a bin that is
    empty in both is left out. It is symmetric and 0 for equal shares (N. Siddiqi, *Credit Risk Scorecards*, 2006; it is
    the J-divergence of Jeffreys, 1946). Without any drift its mean is near (bins - 1)(1/n + 1/m) for n and m rows
    (B. Yurdakul, *Statistical Properties of Population Stability Index*, 2018), hence the least number of rows.

    Args:
        reference: rows per bin, shape (b,).
        live: rows per bin, shape (b,).

    Returns:
        The index, or None when either side has no rows.
    """
    if reference.sum() == 0 or live.sum() == 0:
        return None
    used = (reference > 0) | (live > 0)
    p, q = _smoothed(reference[used]), _smoothed(live[used])
    return float(np.sum((q - p) * np.log(q / p)))


def psi_groups(column: ColumnProfile) -> Counts:
    """Return for each bin the number of the group it belongs to in the index: the decile that its middle lies in.

    What is outside the range belongs to the outermost groups. Categories, and bins that are few, stay as they are.
    """
    if column.kind == "categorical" or not column.outside:
        return np.arange(len(column.counts))
    inner = np.asarray(column.counts[1:-1], np.int64)
    groups = np.arange(len(inner))
    if len(inner) > PSI_GROUPS:
        middles = (np.cumsum(inner) - inner / 2) / inner.sum()
        groups = np.floor(PSI_GROUPS * middles).astype(np.int64)
    return np.concatenate((groups[:1], groups, groups[-1:]))


def total_variation(reference: Counts, live: Counts) -> float:
    """Return the largest difference in probability of any set of bins."""
    return float(np.abs(_shares(reference) - _shares(live)).sum()) / 2


def mean_shift(mean: float, reference_mean: float | None, reference_std: float | None) -> float | None:
    """Return how many of the reference's standard deviations the mean has moved.

    A reference that does not vary gives 0 where the mean is the same, else infinity. None without a reference.
    """
    if reference_mean is None:
        return None
    distance = abs(mean - reference_mean)
    if not reference_std:
        return 0.0 if distance <= _SAME_MEAN * max(1.0, abs(reference_mean)) else math.inf
    return distance / reference_std


def _mean_height(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of |x| along a straight line between two heights, which may lie on two sides of 0."""
    sizes = np.abs(left) + np.abs(right)
    crossing = left * right < 0
    triangles = (left**2 + right**2) / np.where(crossing, sizes, 1.0)
    heights: NDArray[np.float64] = np.where(crossing, triangles, sizes) / 2
    return heights


def _of_one_value(column: ColumnProfile) -> NDArray[np.bool_]:
    edges = np.asarray(column.edges)
    single = np.nextafter(edges[:-1], np.inf) == edges[1:]
    return np.concatenate(([False], single, [False])) if len(edges) else np.array([False])


def _present(column: ColumnProfile) -> int:
    return column.n - column.nulls


def _shares(counts: Counts) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def _smoothed(counts: Counts) -> NDArray[np.float64]:
    raised = counts.astype(np.float64) + SMOOTHING
    shares: NDArray[np.float64] = raised / raised.sum()
    return shares
