"""Columns as pictures show them: counts in the profile's bins, whose widths differ, become bars of one width. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.monitor.drift import ColumnDrift
from services.monitor.report.data import Bar, Column, Histogram
from services.monitor.report.measures import facts, state_of
from services.monitor.report.words import number
from shared.profile import ColumnProfile, column_counts, sums_outside

BARS: Final = 32
CATEGORIES: Final = 10
"""Shown one by one, those with the most rows on either side; the others as one."""

Counts = NDArray[np.int64]


def column_of(
    profile: ColumnProfile,
    prefix: str,
    summary: Mapping[str, int],
    drift: ColumnDrift,
    categories: Sequence[str] = (),
) -> Column:
    """Return what there is to show of a column.

    Args:
        prefix: of the column's counters.
        categories: their names by code.
    """
    counts, nulls = column_counts(summary, prefix, profile)
    rows = int(counts.sum()) + nulls
    reference = np.asarray(profile.counts, np.int64)
    lost = _bar("null", (profile.nulls, profile.n), (nulls, rows))
    return Column(
        name=profile.name,
        state=state_of(drift),
        rows=rows,
        effect=drift.effect,
        facts=facts(drift),
        histogram=_histogram(profile, reference, counts, rows, drift) if profile.edges else None,
        categories=_categories(reference, counts, profile.n, rows, categories) if categories else (),
        asides=tuple(bar for bar in (*_beside(profile, prefix, summary, counts, rows), lost) if _is_there(bar)),
    )


def rebinned(edges: NDArray[np.float64], counts: Counts, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many rows lie between the points of a grid, if those of each bin lie evenly in it.

    Args:
        edges: increasing, one more than counts.
    """
    below = np.concatenate(([0.0], np.cumsum(counts, dtype=np.float64)))
    found: NDArray[np.float64] = np.diff(np.interp(grid, edges, below))
    return found


def _histogram(
    profile: ColumnProfile, reference: Counts, current: Counts, rows: int, drift: ColumnDrift
) -> Histogram | None:
    edges = np.asarray(profile.edges, np.float64)
    if profile.outside:
        reference, current = reference[1:-1], current[1:-1]
    else:  # the first and last bin have no end: they are drawn as wide as the others are on average
        width = (edges[-1] - edges[0]) / max(len(edges) - 1, 1) or profile.std or 1.0
        edges = np.concatenate(([edges[0] - width], edges, [edges[-1] + width]))
    low, high = float(edges[0]), float(edges[-1])
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # one value, which is drawn in the middle
        low, high = low - max(abs(low) / 2, 0.5), high + max(abs(high) / 2, 0.5)
    grid = np.linspace(low, high, BARS + 1)
    return Histogram(
        low=float(np.nextafter(low, high)) if profile.outside else low,  # the first edge lies just below the minimum
        high=high,
        reference=_shares(rebinned(edges, reference, grid), profile.n),
        current=_shares(rebinned(edges, current, grid), rows),
        reference_mean=profile.mean,
        current_mean=drift.mean,
    )


def _shares(counts: NDArray[np.float64], rows: int) -> tuple[float, ...]:
    return tuple((counts / max(rows, 1)).tolist())


def _categories(reference: Counts, current: Counts, n: int, rows: int, names: Sequence[str]) -> tuple[Bar, ...]:
    bars = [_bar(name, (int(reference[i]), n), (int(current[i]), rows)) for i, name in enumerate(names)]
    if len(bars) <= CATEGORIES + 1:  # one that is left over has a name of its own
        return tuple(bars)
    largest = sorted(bars, key=lambda bar: -max(bar.reference, bar.current))[:CATEGORIES]
    shown = {bar.name for bar in largest}
    rest = [bar for bar in bars if bar.name not in shown]
    left = Bar(f"{len(rest)} others", sum(bar.reference for bar in rest), sum(bar.current for bar in rest))
    return (*(bar for bar in bars if bar.name in shown), left)


def _beside(
    profile: ColumnProfile, prefix: str, summary: Mapping[str, int], counts: Counts, rows: int
) -> tuple[Bar, ...]:
    if profile.kind == "categorical":
        return (_bar("unknown", (profile.counts[-1], profile.n), (int(counts[-1]), rows)),)
    if not profile.outside:
        return ()
    return tuple(
        _bar(name, (0, profile.n), (int(count), rows), note=_mean(profile, total, int(count)))
        for name, count, total in zip(
            ("below", "above"), (counts[0], counts[-1]), sums_outside(summary, prefix), strict=True
        )
    )


def _mean(profile: ColumnProfile, total: float, count: int) -> str:
    if not count:
        return ""
    return f"mean {number((profile.mean or 0.0) + total / count * (profile.std or 1.0))}"


def _bar(name: str, reference: tuple[int, int], current: tuple[int, int], note: str = "") -> Bar:
    """Return the shares of (rows, of all rows)."""
    before, now = (part / whole if whole else 0.0 for part, whole in (reference, current))
    return Bar(name, before, now, note)


def _is_there(bar: Bar) -> bool:
    return bar.reference > 0 or bar.current > 0
