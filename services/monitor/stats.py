"""What counters say about predictions: how many, how fast, how large. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.monitor.layout import MODES
from shared import latency
from shared.error_estimate import EstimatedError
from shared.profile import PREDICTION, ColumnProfile, Profile, Summary, column_counts, column_moments, merge


@dataclass(frozen=True)
class Latency:
    """Engine time per prediction in seconds. Quantiles are off by at most 4.4 % (`shared.latency`)."""

    avg: float | None
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True)
class Moments:
    """Mean and sample standard deviation of `n` values."""

    n: int
    mean: float
    std: float


@dataclass(frozen=True)
class Figures:
    """Predictions of one version, or of all."""

    total_predictions: int
    by_mode: dict[str, int]
    failed_rows: int
    """Rows that ended in an error; they are no predictions."""
    failed_by_mode: dict[str, int]
    error_rate: float | None
    """Share of the rows that ended in an error; null without rows."""
    error_rate_by_mode: dict[str, float | None]
    throughput: float | None
    """Predictions per second; null for the lifetime."""
    throughput_by_mode: dict[str, float | None]
    latency: Latency
    latency_by_mode: dict[str, Latency]
    avg_prediction: float | None
    std_prediction: float | None
    estimated_error: EstimatedError | None
    """What the rows' features suggest, without the truth; null where no version has an error model."""


def figures(
    parts: Sequence[tuple[Summary, Profile | None]], seconds: float | None, error: EstimatedError | None = None
) -> Figures:
    """Describe the counters of several versions together.

    Args:
        parts: counters of each version with its profile; None leaves its predictions' moments out.
        seconds: length of the window; None for ever.
        error: estimated for them.
    """
    counters = merge(summary for summary, _ in parts)
    by_mode = {mode: counters.get(f"rows:{mode}", 0) for mode in MODES}
    failed = {mode: counters.get(f"failed:{mode}", 0) for mode in MODES}
    total = sum(by_mode.values())
    moments = pooled(_moments(summary, profile.prediction) for summary, profile in parts if profile is not None)
    return Figures(
        total_predictions=total,
        by_mode=by_mode,
        failed_rows=sum(failed.values()),
        failed_by_mode=failed,
        error_rate=_share(sum(failed.values()), total),
        error_rate_by_mode={mode: _share(failed[mode], rows) for mode, rows in by_mode.items()},
        throughput=_rate(total, seconds),
        throughput_by_mode={mode: _rate(rows, seconds) for mode, rows in by_mode.items()},
        latency=_latency(counters, MODES),
        latency_by_mode={mode: _latency(counters, (mode,)) for mode in MODES},
        avg_prediction=moments.mean if moments else None,
        std_prediction=moments.std if moments else None,
        estimated_error=error,
    )


def _share(failed: int, answered: int) -> float | None:
    return failed / (failed + answered) if failed + answered else None


def _rate(rows: int, seconds: float | None) -> float | None:
    return None if seconds is None else rows / seconds


def pooled(parts: Iterable[Moments | None]) -> Moments | None:
    """Return the moments of all values together (Chan, Golub and LeVeque, 1979); None without values."""
    n, mean, squares = 0, 0.0, 0.0
    for part in parts:
        if part is None or part.n == 0:
            continue
        total, delta = n + part.n, part.mean - mean
        squares += part.std**2 * (part.n - 1) + delta**2 * n * part.n / total
        mean += delta * part.n / total
        n = total
    return Moments(n, mean, math.sqrt(squares / (n - 1)) if n > 1 else 0.0) if n else None


def latency_counts(counters: Mapping[str, int], mode: str) -> NDArray[np.int64]:
    """Return the predictions of a mode per bin of `shared.latency`."""
    return np.array([counters.get(f"t:{mode}:{i}", 0) for i in range(latency.BINS)], np.int64)


def _latency(counters: Mapping[str, int], modes: Sequence[str]) -> Latency:
    counts = np.sum([latency_counts(counters, mode) for mode in modes], axis=0)
    total = int(counts.sum())
    nanoseconds = sum(counters.get(f"ns:{mode}", 0) for mode in modes)
    return Latency(
        avg=nanoseconds / 1e9 / total if total else None,
        p50=latency.quantile(counts, 0.50),
        p95=latency.quantile(counts, 0.95),
        p99=latency.quantile(counts, 0.99),
    )


def _moments(summary: Summary, column: ColumnProfile) -> Moments | None:
    assert column.name == PREDICTION
    found = column_moments(summary, "p", column)
    counts, _ = column_counts(summary, "p", column)
    return None if found is None else Moments(int(counts.sum()), *found)
