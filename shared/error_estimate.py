"""How wrong predictions probably are, before anybody knows the truth (direct loss estimation).

A second model, trained with the champion, maps a row to the champion's expected |error|. Its estimates for live rows
are summed up as everything else is (`shared.profile`), so that merging is addition.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from shared.profile import Summary

MOST_ROWS = 1000
"""Estimated of one chunk or event: what it costs is bounded, and their mean is off by 3 % or so."""
COUNTERS = ("e:n", "e:s1", "e:s2")

_SCALE, _SQUARE_SCALE = 1 << 20, 1 << 16
_LARGEST = 1000.0  # in units of the error at training: 1e5 rows of a chunk stay below 2**53, squared too
_NORMAL_95 = 1.959964


class ErrorFigures(BaseModel):
    """How good the estimate was at training, by models that had not seen the rows; errors in the target's unit.

    `off_*` is the root mean square of (mean estimated - true mean) over subsets, each a quarter of the rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: str
    """Which one gave scikit-learn's bits."""
    rows: int
    """Training rows behind all of these figures."""
    mae: float
    """The true mean of |actual - out-of-fold prediction|; also the unit of live sums."""
    estimated: float
    """The mean of the estimates for the same rows."""
    spread: float
    """Of |error| around its estimate, as a multiple of that: 0.76 where errors are normal and their size is known."""
    off_random: float
    """Over subsets drawn at random."""
    off_shifted: float
    """Over the rows with the lowest, and with the highest, values of each feature."""
    off_constant: float
    """Over the same ones, had `mae` been the estimate for each: what there was to find."""


@dataclass(frozen=True)
class EstimatedError:
    """Mean absolute error as the rows' features suggest, in the target's unit."""

    mae: float
    ci: tuple[float, float]
    """95 % for what labels of these rows would show: their luck, and how far shifted rows were off at training."""
    n: int
    """Rows that it speaks for."""
    training_mae: float
    """Of the out-of-fold predictions at training."""


def evenly_spaced(rows: int, most: int = MOST_ROWS) -> NDArray[np.intp]:
    """Return the positions of at most `most` of `rows` rows, from the first to the last."""
    return np.linspace(0, rows - 1, min(rows, most)).astype(np.intp)


def summarise_errors(figures: ErrorFigures, estimates: NDArray[np.float64], rows: int) -> Summary:
    """Sum up the estimates for a sample of `rows` rows, each standing for as many as the others.

    Counters: `e:n` rows, `e:s1` and `e:s2` sums of their estimates and of the squares, in units of the error at
    training, in fixed point.
    """
    if not len(estimates) or not np.isfinite(estimates).all():
        return {}
    units = np.clip(estimates / figures.mae, 0.0, _LARGEST)  # no error is negative, but a sum of trees may be
    return {
        "e:n": rows,
        "e:s1": round(float(units.mean()) * rows * _SCALE),
        "e:s2": round(float((units * units).mean()) * rows * _SQUARE_SCALE),
    }


def estimated_error(summary: Mapping[str, int], figures: ErrorFigures | None) -> EstimatedError | None:
    """Return what the sums say; None without rows, or for a version without an error model."""
    n = summary.get("e:n", 0)
    if figures is None or n <= 0:
        return None
    mean, square = summary.get("e:s1", 0) / _SCALE / n, summary.get("e:s2", 0) / _SQUARE_SCALE / n
    variance = max(0.0, (1 + figures.spread**2) * square - mean**2)  # of |error|, not of its estimate
    # Not all rows were estimated, and which ones were is not known here: at least so many count in any mixture.
    sampling = variance / min(n, MOST_ROWS)
    half = _NORMAL_95 * math.sqrt(sampling + (mean * figures.off_shifted / figures.mae) ** 2)
    interval = (max(0.0, mean - half) * figures.mae, (mean + half) * figures.mae)
    return EstimatedError(mean * figures.mae, interval, n, figures.mae)


def pooled(parts: Iterable[EstimatedError | None]) -> EstimatedError | None:
    """Return the estimate for the rows of several versions together, as if they were off in the same direction."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    n = sum(part.n for part in known)

    def mean(values: Iterable[float]) -> float:
        return sum(value * part.n for value, part in zip(values, known, strict=True)) / n

    interval = (mean(part.ci[0] for part in known), mean(part.ci[1] for part in known))
    return EstimatedError(mean(part.mae for part in known), interval, n, mean(part.training_mae for part in known))
