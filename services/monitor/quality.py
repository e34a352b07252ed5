"""How good predictions were, once it is known what really happened: from sums that add up. Pure.

Errors and actual values are counted in standard deviations of the reference's predictions, in fixed point, so that any
grouping of rows gives the same figures. A value that is corrected is taken out again by adding its negative.

Confidence intervals are asymptotic ones, of means by the central limit theorem, and of what follows from means by the
delta method (G. Casella and R. Berger, *Statistical Inference*, 2002, 5.5.4).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.profile import ColumnProfile, Summary

MIN_ROWS: Final = 30
"""With fewer labelled rows, an interval by the central limit theorem means nothing; there is none."""
Z95: Final = 1.959963984540054

_FARTHEST = 100.0  # standard deviations; beyond, values count as this far: one slip of a comma must not fill a counter
_SMALLEST = 1e-4  # standard deviations: of a model that errs less, the square of an error is rounding
# Of each sum, its fixed point: even of a million rows at the farthest, none fills 63 bits.
_SCALES: Final[Mapping[str, int]] = {
    "e": 1 << 24,
    "a": 1 << 24,
    "e2": 1 << 28,
    "e4": 1 << 16,
    "z": 1 << 24,
    "z2": 1 << 20,
    "z3": 1 << 16,
    "z4": 1 << 12,
    "e2z": 1 << 22,
    "e2z2": 1 << 16,
}
COUNTERS: Final = ("q:n", *(f"q:{name}" for name in _SCALES))
"""Rows; sums of the error e = prediction - actual, its size a, the actual value z, and e², e⁴, z² … z⁴, e²z, e²z².

e⁴ alone is in units of the error at training, up to a hundred of them: in standard deviations, it would vanish in fixed
point for every model that explains 99.9 % of the variance, and with it the interval."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % confidence interval; null where there are too few rows for one."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Quality:
    """Of predictions whose actual value is known. In the target's unit, R² apart."""

    n: int
    rmse: Estimate | None
    mae: Estimate | None
    r2: Estimate | None
    """Null where all actual values are equal."""
    bias: Estimate | None
    """Mean of prediction - actual: above 0 the model predicts too much."""


@dataclass(frozen=True)
class Verdict:
    """A version's labelled rows against what its training promised."""

    version: str
    quality: Quality
    min_labels: int
    """Fewer rows say nothing."""
    limit: float
    """RMSE that is bad."""

    @property
    def enough(self) -> bool:
        return self.quality.n >= self.min_labels

    @property
    def bad(self) -> bool:
        """Whether it is beyond the limit, and not only by chance."""
        rmse = self.quality.rmse
        return self.enough and rmse is not None and rmse.low is not None and rmse.low > self.limit

    @property
    def good(self) -> bool:
        rmse = self.quality.rmse
        return self.enough and rmse is not None and rmse.value <= self.limit


def summarise_quality(
    reference: ColumnProfile, rmse: float, predictions: NDArray[np.float64], actual: NDArray[np.float64]
) -> Summary:
    """Sum up predictions and what really happened, shape (n,) each, none of them null.

    Args:
        reference: the profile of the version's predictions.
        rmse: on the test rows of its training.
    """
    mean, scale = _unit(reference)
    e = np.clip((predictions - actual) / scale, -_FARTHEST, _FARTHEST)
    z = np.clip((actual - mean) / scale, -_FARTHEST, _FARTHEST)
    e2, z2 = e * e, z * z
    e4 = np.clip(e / _typical(rmse, scale), -_FARTHEST, _FARTHEST) ** 4
    values = {
        **{"e": e, "a": np.abs(e), "e2": e2, "e4": e4, "z": z, "z2": z2, "z3": z2 * z, "z4": z2 * z2},
        **{"e2z": e2 * z, "e2z2": e2 * z2},
    }
    # Each row is rounded by itself: what is taken out again later leaves nothing behind.
    sums = {f"q:{name}": int(np.rint(values[name] * scale).astype(np.int64).sum()) for name, scale in _SCALES.items()}
    return {"q:n": len(e), **sums}


def negative(summary: Mapping[str, int]) -> Summary:
    """Return what takes rows out again."""
    return {name: -count for name, count in summary.items()}


def quality(summary: Mapping[str, int], reference: ColumnProfile, rmse: float) -> Quality:
    """Return the figures of a sum of summaries, which were made with the same reference and RMSE of training."""
    n = summary.get("q:n", 0)
    if n <= 0:
        return Quality(0, None, None, None, None)
    _, scale = _unit(reference)
    m = {name: summary.get(f"q:{name}", 0) / fixed / n for name, fixed in _SCALES.items()}
    m["e4"] *= _typical(rmse, scale) ** 4
    mse = max(m["e2"], 0.0)
    spread = _half(max(m["e4"] - mse * mse, 0.0), n)
    absolute, bias = _half(max(mse - m["a"] ** 2, 0.0), n), _half(max(mse - m["e"] ** 2, 0.0), n)
    return Quality(
        n=n,
        rmse=_root(mse, spread, scale),
        mae=_around(m["a"], absolute, scale, least=0.0),
        r2=_r2(m, n),
        bias=_around(m["e"], bias, scale),
    )


def _unit(reference: ColumnProfile) -> tuple[float, float]:
    return reference.mean or 0.0, reference.std or 1.0


def _typical(rmse: float, scale: float) -> float:
    """Return how large errors usually are, in standard deviations of the reference."""
    return min(max(rmse / scale, _SMALLEST), 1.0)


def _half(variance: float, n: int) -> float | None:
    """Return half the width of the interval of a mean of n values."""
    return Z95 * math.sqrt(variance / n) if n >= MIN_ROWS else None


def _around(value: float, half: float | None, scale: float = 1.0, least: float = -math.inf) -> Estimate:
    if half is None:
        return Estimate(value * scale, None, None)
    return Estimate(value * scale, max(value - half, least) * scale, (value + half) * scale)


def _root(mse: float, half: float | None, scale: float) -> Estimate:
    square = _around(mse, half, least=0.0)
    low, high = (None if end is None else math.sqrt(end) * scale for end in (square.low, square.high))
    return Estimate(math.sqrt(mse) * scale, low, high)


def _r2(m: Mapping[str, float], n: int) -> Estimate | None:
    """1 - mean(u) / mean(v), with u = e² and v = (z - mean z)²; its variance follows from those of u and v."""
    u, v = m["e2"], m["z2"] - m["z"] ** 2
    if n < 2 or v <= 1e-9:
        return None
    center = m["z"]
    fourth = m["z4"] - 4 * center * m["z3"] + 6 * center**2 * m["z2"] - 3 * center**4
    var_u, var_v = m["e4"] - u * u, fourth - v * v
    both = m["e2z2"] - 2 * center * m["e2z"] + center**2 * u - u * v
    variance = (var_u - 2 * (u / v) * both + (u / v) ** 2 * var_v) / v**2
    found = _around(1 - u / v, _half(max(variance, 0.0), n))
    return found if found.high is None else Estimate(found.value, found.low, min(found.high, 1.0))
