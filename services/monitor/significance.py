"""How likely a window is that lies so far from the reference, if nothing has drifted: p-values, from counts.

Each holds for rows that are drawn independently, takes the reference's own size into account, and errs towards
"nothing has drifted" if at all. Importing scipy takes a second and 80 MB.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from services.monitor.distances import Counts, total_variation

EXACT_PAIRS = 10_000_000
"""Rows of the reference times rows of the window up to which the law of the KS distance is computed exactly, as
`scipy.stats.ks_2samp` does. That takes 20 ms then; the asymptotic law is off by less than 4 %."""

LIMIT_SIZE = 5_000
"""Of mn/(m + n), beyond which Kolmogorov's limit is taken: p is too large by less than 4 %, and the law for so many
rows would take seconds at a million."""

NEGLIGIBLE = 1e-12
"""No decision depends on which p-value below it is, and the exact law takes a second there."""

LEAST_EXPECTED = 5.0
"""Rows of a category, on either side, below which it is put together with others (Cochran, 1954)."""

UNSUSPICIOUS = 0.05
"""A larger p-value of chi² needs no second opinion: it is sound there, and nothing hangs on it."""

_remembered = lru_cache(maxsize=1 << 14)  # a window is looked at more than once, and columns of few events are alike


def ks_p(reference: Counts, live: Counts) -> float:
    """Return the p-value of the largest distance of the distribution functions at the bins' edges (Smirnov, 1939).

    The law is that of continuous values, compared everywhere. At a few edges, and with ties, the distance is smaller,
    so the p-value is too large if anything, also where the edges were chosen by the reference.
    """
    m, n = int(reference.sum()), int(live.sum())
    gap = int(np.abs(np.cumsum(reference) * n - np.cumsum(live) * m).max())
    return _smirnov(m, n, gap)


@_remembered
def _smirnov(m: int, n: int, gap: int) -> float:
    """Return the p-value of samples whose distribution functions are gap/(mn) apart.

    The exact one is asked of scipy with samples of zeros and ones that are so far apart: nothing else matters.
    """
    if gap <= min(m, n):  # the smallest of all pooled values alone sets them that far apart
        return 1.0
    size, distance = m * n / (m + n), gap / (m * n)
    if m * n > EXACT_PAIRS or 2 * math.exp(-2 * size * distance**2) < NEGLIGIBLE:
        return _asymptotic_ks_p(size, distance)
    ones = np.arange(m + 1)
    i = int(ones[((ones * n - gap) % m == 0) & (ones * n >= gap)][0])
    j = (i * n - gap) // m
    a, b = np.repeat([0, 1], [i, m - i]), np.repeat([0, 1], [j, n - j])
    return float(stats.ks_2samp(a, b).pvalue)


def _asymptotic_ks_p(size: float, distance: float) -> float:
    if size > LIMIT_SIZE:
        return float(stats.kstwobign.sf(math.sqrt(size) * distance))
    return float(stats.kstwo.sf(distance, round(size)))


@dataclass(frozen=True)
class Homogeneity:
    chi2: float
    p: float
    effect: float
    """Largest difference in probability of a set of the categories that were compared."""


def homogeneity(reference: Counts, live: Counts) -> Homogeneity | None:
    """Compare two rows of counts per category, unknown ones last.

    Categories that are expected less than `LEAST_EXPECTED` times on either side are put together, rarest first, and
    unknown ones belong to them: which are known was chosen by the reference. Far out, chi² is too optimistic all the
    same: where 5 are expected, 15 come thirty times as often as it says. So an exact test has to agree: given the
    totals, the counts of the categories, commonest first, follow one hypergeometric law after the other, and Fisher's
    method combines their p-values. The larger of both p-values is returned, unless chi² finds nothing. That categories
    are put together by their totals changes neither.

    Returns:
        None where less than two categories are left, as with fewer than ten rows.
    """
    first, second = _pooled(reference, live)
    if len(first) < 2:
        return None
    chi2, p, *_ = stats.chi2_contingency([first, second], correction=False)
    p = float(p) if p > UNSUSPICIOUS else max(float(p), _exact_p(first, second))
    return Homogeneity(float(chi2), p, total_variation(first, second))


def _pooled(reference: Counts, live: Counts) -> tuple[Counts, Counts]:
    totals = reference + live
    m, n, rows = int(reference.sum()), int(live.sum()), int(totals.sum())
    least = LEAST_EXPECTED * rows / min(m, n) if m and n else math.inf
    commonest = np.argsort(-totals[:-1], kind="stable")
    kept = commonest[: np.count_nonzero(totals[:-1] >= least)]
    if 0 < rows - totals[kept].sum() < least:
        kept = kept[:-1]
    first, second = (np.append(counts[kept], counts.sum() - counts[kept].sum()) for counts in (reference, live))
    used = first + second > 0
    return first[used], second[used]


def _exact_p(reference: Counts, live: Counts) -> float:
    totals = reference + live
    rows, drawn = (np.cumsum(counts[::-1])[:0:-1] for counts in (totals, live))  # from each category on
    found = live[:-1]
    law = (rows, totals[:-1], drawn)
    tails = np.minimum(stats.hypergeom.cdf(found, *law), stats.hypergeom.sf(found - 1, *law))
    p = np.minimum(1.0, 2 * tails)
    logs = np.log(np.maximum(p, np.finfo(float).tiny))
    return float(stats.chi2.sf(-2 * logs.sum(), 2 * len(p)))


@_remembered
def rate_p(found: int, n: int, before: int, m: int, *, only_more: bool = False) -> float:
    """Return the p-value of a rate, `found` of n rows in the window and `before` of m in the reference.

    Fisher's exact test; two-sided it is twice the smaller tail. `only_more`: just an increase counts.
    """
    law = (m + n, before + found, n)
    more = float(stats.hypergeom.sf(found - 1, *law))
    return more if only_more else min(1.0, 2 * min(more, float(stats.hypergeom.cdf(found, *law))))


@_remembered
def outside_p(outside: int, n: int, m: int) -> float:
    """Return the probability that `outside` or more of n rows lie outside the range of m other ones.

    Of m + n values in order, those outside are in the first and the last of the m + 1 gaps that the reference leaves.
    Any two gaps are alike, so they are as many as come before the second value of the reference: at least k do if the
    first k + 1 values hold at most one of the reference, which a hypergeometric law says. A plain comparison of rates
    would be wrong, as the reference has chosen its range. Ties make the number smaller.
    """
    return float(stats.hypergeom.cdf(1, m + n, m, outside + 1))


def new_categories_p(unknown: int, n: int, singles: int, m: int) -> float:
    """Return the p-value of the number of rows whose category the reference does not have.

    The reference has chosen its categories as well: of each of its own rows that is alone in its category, a reference
    without it would have said the same. So these are compared (Good, 1953), and only an increase counts. A window that
    is larger than the reference counts as one of its size, as each rare category comes often in it; and where there
    are such rows, half of each side counts, as their number varies up to twice as much as one of independent rows.

    Args:
        singles: rows of the reference that are alone in their category, or of a category without a code.
    """
    part = 2 if singles else 1
    rows, others = min(n, m) // part, m // part
    if not rows:  # half of a single row says nothing
        return 1.0
    return rate_p(unknown * rows // n, rows, min(-(-singles // part), others), others, only_more=True)


def adjusted(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Return p-values that can be compared with the budget of all together (Benjamini and Hochberg, 1995)."""
    found: NDArray[np.float64] = stats.false_discovery_control(p_values, method="bh") if p_values else np.empty(0)
    return found
