"""How far live rows are from the reference: mean shift and population stability index.

Everything is computed from counts in the profile's bins, so it is exact for any number of replicas and restarts, and
its only error is the binning. Nothing here does I/O.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.profile import ColumnProfile, Profile, column_counts, column_moments

SMOOTHING = 0.5
"""Added to every bin's count before it becomes a share, so that an empty bin does not make the index infinite.

Half a row is the Jeffreys prior of a multinomial (Krichevsky and Trofimov, 1981).
"""

_SAME_MEAN = 1e-6  # relative: what the fixed point of a summary can lose


@dataclass(frozen=True)
class Limits:
    """From where on a column has drifted: `drift` of params.yaml, as the artifact's manifest carries it."""

    mean_shift: float = 2.0
    psi: float = 0.2
    psi_min_rows: int = 200
    window_rows: int = 1000
    window: float = 3600.0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Limits":
        """Take what the manifest of a version says; what it leaves out is the default."""
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        return cls(**known)


@dataclass(frozen=True)
class ColumnDrift:
    """One feature, or the prediction, against its reference. What cannot be computed is null."""

    drifted: bool
    reasons: list[str] = field(default_factory=list)
    """Which limits were passed: `mean_shift`, `psi`."""
    kind: str = "numeric"
    n: int = 0
    """Rows in the window, nulls included."""
    mean_shift: float | None = None
    """|mean - reference mean| / reference standard deviation."""
    psi: float | None = None
    """Population stability index in nats."""
    mean: float | None = None
    std: float | None = None
    reference_mean: float | None = None
    reference_std: float | None = None
    null_rate: float | None = None
    reference_null_rate: float | None = None
    unknown_rate: float | None = None
    """Share of categories that training has not seen; of categorical features only."""


@dataclass(frozen=True)
class DriftReport:
    window: float
    """Seconds that the window covers."""
    n: int
    """Rows of the champion in the window."""
    since: datetime
    until: datetime
    model_name: str
    model_version: str
    drifted: list[str]
    """Names of the features, and `prediction`, that have drifted."""
    features: dict[str, ColumnDrift]
    prediction: ColumnDrift
    limits: dict[str, float] = field(default_factory=dict)


def evaluate(
    profile: Profile, summary: Mapping[str, int], limits: Limits
) -> tuple[dict[str, ColumnDrift], ColumnDrift]:
    """Compare every feature, by name, and the prediction with the reference."""
    features = {column.name: column_drift(column, str(i), summary, limits) for i, column in enumerate(profile.features)}
    return features, column_drift(profile.prediction, "p", summary, limits)


def column_drift(column: ColumnProfile, prefix: str, summary: Mapping[str, int], limits: Limits) -> ColumnDrift:
    """Compare one column of a summary with its reference."""
    counts, nulls = column_counts(summary, prefix, column)
    n = int(counts.sum()) + nulls
    moments = column_moments(summary, prefix, column)
    shift = None if moments is None else mean_shift(moments[0], column.mean, column.std)
    index = psi(_shares_of(column.counts, column.nulls), _shares_of(counts, nulls))
    reasons = []
    if shift is not None and shift > limits.mean_shift:
        reasons.append("mean_shift")
    if index is not None and index > limits.psi and n >= limits.psi_min_rows:
        reasons.append("psi")
    return ColumnDrift(
        drifted=bool(reasons),
        reasons=reasons,
        kind=column.kind,
        n=n,
        mean_shift=shift if shift is None or math.isfinite(shift) else None,
        psi=index,
        mean=moments[0] if moments else None,
        std=moments[1] if moments else None,
        reference_mean=column.mean,
        reference_std=column.std,
        null_rate=nulls / n if n else None,
        reference_null_rate=column.null_rate,
        unknown_rate=int(counts[-1]) / n if n and column.kind == "categorical" else None,
    )


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


def psi(reference: NDArray[np.int64], live: NDArray[np.int64]) -> float | None:
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


def _smoothed(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    raised = counts.astype(np.float64) + SMOOTHING
    shares: NDArray[np.float64] = raised / raised.sum()
    return shares


def _shares_of(counts: NDArray[np.int64] | tuple[int, ...], nulls: int) -> NDArray[np.int64]:
    """Return the bins of a column, nulls as the last of them."""
    return np.append(np.asarray(counts, np.int64), nulls)
