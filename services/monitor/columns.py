"""Compares a column of a summary with its reference: figures, and tests of each thing that may have changed."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.monitor import distances, significance
from services.monitor.distances import Counts
from services.monitor.drift import ColumnDrift
from shared.profile import ColumnProfile, column_counts, column_moments, sums_outside

KS, CHI2 = "ks", "chi2"
SHAPES = (KS, CHI2)
"""Tests of the distribution; the others are of a rate."""
NULL_RATE, OUT_OF_RANGE, NEW_CATEGORIES = "null_rate", "out_of_range", "new_categories"

Figures = dict[str, Any]
"""Fields of `ColumnDrift`."""


@dataclass(frozen=True)
class Outcome:
    """Of a test of one hypothesis: that this has not changed."""

    name: str
    p: float
    effect: float
    """Change of the probability of an event: the one that has changed most, where there are many."""


@dataclass(frozen=True)
class Comparison:
    figures: ColumnDrift
    """Without a verdict."""
    tests: tuple[Outcome, ...]
    shift: float | None
    """The mean shift, infinite where the reference did not vary."""
    constant: bool = False
    """Every number of the reference is the same."""


def compare(column: ColumnProfile, prefix: str, summary: Mapping[str, int]) -> Comparison:
    """Compare one column, whose counters have this prefix."""
    live, nulls = column_counts(summary, prefix, column)
    present, n = int(live.sum()), int(live.sum()) + nulls
    moments = column_moments(summary, prefix, column)
    shift = None if moments is None else distances.mean_shift(moments[0], column.mean, column.std)
    tests = list(_of_nulls(column, nulls, n)) if n and column.n else []
    figures: Figures = {}
    if present and column.n > column.nulls:
        numeric = column.kind == "numeric"
        more, figures = _numbers(column, live) if numeric else _categories(column, live)
        tests += more
        area = distances.wasserstein(column, live, sums_outside(summary, prefix), shift) if numeric else None
        figures["wasserstein"], figures["wasserstein_error"] = area or (None, None)
    found = ColumnDrift(
        drifted=False,
        kind=column.kind,
        n=n,
        m=column.n,
        effect=max((test.effect for test in tests), default=None),
        mean_shift=shift if shift is None or math.isfinite(shift) else None,
        psi=_psi(column, live, nulls),
        mean=moments[0] if moments else None,
        std=moments[1] if moments else None,
        reference_mean=column.mean,
        reference_std=column.std,
        null_rate=nulls / n if n else None,
        reference_null_rate=column.null_rate,
        unknown_rate=int(live[-1]) / n if n and column.kind == "categorical" else None,
        reference_unknown_rate=column.counts[-1] / column.n if column.n and column.kind == "categorical" else None,
        **figures,
    )
    return Comparison(found, tuple(tests), shift, constant=column.mean is not None and not column.std)


def _of_nulls(column: ColumnProfile, nulls: int, n: int) -> Iterator[Outcome]:
    if nulls or column.nulls:  # else there is nothing to test
        p = significance.rate_p(nulls, n, column.nulls, column.n)
        yield Outcome(NULL_RATE, p, abs(nulls / n - column.nulls / column.n))


def _numbers(column: ColumnProfile, live: Counts) -> tuple[list[Outcome], Figures]:
    tests: list[Outcome] = []
    figures: Figures = {}
    if len(column.counts) > 1:
        distance, figures["ks_error"] = distances.ks(column, live)
        figures["ks"] = distance
        tests.append(Outcome(KS, significance.ks_p(_reference(column), live), distance))
    if column.outside:
        outside, present = int(live[0] + live[-1]), int(live.sum())
        p = significance.outside_p(outside, present, column.n - column.nulls)
        figures["out_of_range_rate"] = outside / present
        tests.append(Outcome(OUT_OF_RANGE, p, outside / present))
    return tests, figures


def _categories(column: ColumnProfile, live: Counts) -> tuple[list[Outcome], Figures]:
    tests: list[Outcome] = []
    figures: Figures = {}
    reference = _reference(column)
    found = significance.homogeneity(reference, live)
    if found is not None:
        figures["chi2"] = found.chi2
        tests.append(Outcome(CHI2, found.p, found.effect))
    m, n, unknown = int(reference.sum()), int(live.sum()), int(live[-1])
    singles = int(reference[-1]) + int(np.count_nonzero(reference[:-1] == 1))
    p = significance.new_categories_p(unknown, n, singles, m)
    tests.append(Outcome(NEW_CATEGORIES, p, max(0.0, unknown / n - singles / m)))
    return tests, figures


def _psi(column: ColumnProfile, live: Counts, nulls: int) -> float | None:
    """Return the index over groups of bins; nulls are one of their own."""
    groups = distances.psi_groups(column)
    before, now = (np.bincount(groups, weights=counts).astype(np.int64) for counts in (_reference(column), live))
    return distances.psi(np.append(before, column.nulls), np.append(now, nulls))


def _reference(column: ColumnProfile) -> Counts:
    return np.asarray(column.counts, np.int64)
