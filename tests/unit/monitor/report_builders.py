"""Builders of what a report shows."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from services.monitor.quality import Estimate
from services.monitor.quality import Quality as Scored
from services.monitor.report.data import (
    Column,
    Comparison,
    Condition,
    DriftHistory,
    Histogram,
    History,
    ModeHistory,
    Quality,
    Report,
)
from services.monitor.stats import Latency

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def scored(n: int, rmse: Estimate | None = None, mae: Estimate | None = None) -> Scored:
    return Scored(n, rmse, mae, None, None)


def an_estimate(value: float, low: float | None = None, high: float | None = None) -> Estimate:
    return Estimate(value, low, high)


def a_latency(p50: float | None) -> Latency:
    return Latency(p50, p50, p50 and 2 * p50, p50 and 4 * p50)


def a_mode(p50: Sequence[float | None], mode: str = "single") -> ModeHistory:
    rates = tuple(0.0 if value is None else 2.0 for value in p50)
    return ModeHistory(mode, 100, rates, tuple(a_latency(value) for value in p50))


def a_history(*modes: ModeHistory, steps: int = 4, drift: DriftHistory | None = None) -> History:
    starts = tuple(NOW - timedelta(hours=steps - i) for i in range(steps))
    return History(starts, NOW, modes, drift)


def a_column(name: str = "size", **fields: Any) -> Column:
    values: dict[str, Any] = {
        "state": "clear",
        "rows": 1000,
        "effect": 0.01,
        "facts": (("PSI", "0.01"),),
        "histogram": Histogram(0.0, 4.0, (0.1, 0.4, 0.4, 0.1), (0.4, 0.4, 0.1, 0.1), 2.0, 1.5),
    }
    return Column(name, **{**values, **fields})


def a_comparison(*columns: Column, rows: int = 1000) -> Comparison:
    return Comparison(NOW - timedelta(hours=1), NOW, rows, columns, a_column("prediction"))


def a_report(**fields: Any) -> Report:
    values: dict[str, Any] = {
        "model": "flats",
        "version": "7",
        "at": NOW,
        "asked": None,
        "condition": Condition("healthy", ()),
        "target": "price",
        "unit": "EUR",
        "total": 1234,
        "dropped": 0,
        "comparison": a_comparison(a_column()),
        "history": a_history(),
        "alerts": (),
        "quality": Quality((), {}),
    }
    return Report(**{**values, **fields})
