"""Whether one model errs less than another on the same rows: a paired bootstrap of the difference."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from services.trainer.comparison import Metric, Paired

CONFIDENCE = 0.95  # two-sided
RESAMPLES = 10_000
MAX_GROUPS = 1000
"""More rows are resampled in groups of about equal size: as good where there are so many, and much faster."""
SEED = 0
_AT_ONCE = 1000  # resamples


def compare(
    actual: NDArray[np.float64],
    challenger: NDArray[np.float64],
    champion: NDArray[np.float64],
    metric: Metric,
    distinct: NDArray[np.intp] | None = None,
) -> Paired:
    """Compare predictions for the same rows, at least one.

    Args:
        distinct: which row each of them is, from 0 on, where rows repeat: copies say nothing new, so they are drawn
            together.

    The ends of the interval are quantiles of the difference over resampled rows, moved outwards as far as Student's t
    is wider than the normal distribution: without that the interval of few rows is too narrow.
    """
    new, old = (_losses(actual, predicted, metric) for predicted in (challenger, champion))
    distinct = np.arange(len(actual)) if distinct is None else distinct
    differences = _resampled(new, old, metric, distinct)
    tail = _tail(min(int(distinct.max()) + 1, MAX_GROUPS))
    low, high = np.quantile(differences, [tail, 1 - tail])
    return Paired(
        rows=len(actual),
        metric=metric,
        challenger=float(_error(new.mean(), metric)),
        champion=float(_error(old.mean(), metric)),
        difference=float(_error(new.mean(), metric) - _error(old.mean(), metric)),
        low=float(low),
        high=float(high),
        equal=bool(np.array_equal(challenger, champion)),
    )


def _losses(actual: NDArray[np.float64], predicted: NDArray[np.float64], metric: Metric) -> NDArray[np.float64]:
    errors = np.abs(actual - predicted)
    return errors**2 if metric == "rmse" else errors


def _error(loss: NDArray[np.float64], metric: Metric) -> NDArray[np.float64]:
    return np.sqrt(loss) if metric == "rmse" else loss


def _resampled(
    new: NDArray[np.float64], old: NDArray[np.float64], metric: Metric, distinct: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the difference of the errors for each resample of the rows."""
    rng = np.random.default_rng(SEED)
    copies, *losses = (np.bincount(distinct, weights) for weights in (None, new, old))
    groups = np.array_split(rng.permutation(len(copies)), min(len(copies), MAX_GROUPS))
    size, *sums = (np.array([each[group].sum() for group in groups], np.float64) for each in (copies, *losses))
    found = []
    for _ in range(RESAMPLES // _AT_ONCE):
        drawn = rng.integers(0, len(groups), (_AT_ONCE, len(groups)))
        rows = size[drawn].sum(axis=1)
        mean_new, mean_old = (total[drawn].sum(axis=1) / rows for total in sums)
        found.append(_error(mean_new, metric) - _error(mean_old, metric))
    return np.concatenate(found)


def _tail(n: int) -> float:
    """Return the share of resamples outside each end of the interval."""
    if n < 2:
        return 0.0
    quantile = t.ppf((1 - CONFIDENCE) / 2, n - 1) * math.sqrt(n / (n - 1))
    return float(norm.cdf(quantile))
