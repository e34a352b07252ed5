"""When to evaluate, and what is kept of it. Pure."""

import math
from dataclasses import dataclass
from datetime import datetime

from services.monitor.conditions import Condition, State, columns_of
from services.monitor.drift import DriftReport

KEPT = 750
"""Evaluations: a month of hours."""


@dataclass(frozen=True)
class ColumnFigures:
    state: State
    psi: float | None
    mean_shift: float | None
    effect: float | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class Evaluation:
    at: datetime
    scheduled_at: datetime
    """The full period of the clock that it was due at."""
    model_name: str
    model_version: str
    rows: int
    """Rows in the window that drift was computed from."""
    columns: dict[str, ColumnFigures]
    """By feature, and `prediction`."""
    p99: dict[str, float | None]
    """Seconds of engine time by mode; null with too few rows."""


def period(now: float, every: float) -> float:
    """Return the start of the period that a time (Unix seconds) lies in; periods are aligned to the clock, UTC."""
    return math.floor(now / every) * every


def is_due(scheduled: float, last: float, every: float) -> bool:
    """Whether to evaluate in a period that begins at `scheduled`, when that of `last` was evaluated last.

    One beyond the next period was evaluated by a clock that was wrong; nobody would evaluate until then.
    """
    return scheduled > last or last > scheduled + every


def evaluation_of(report: DriftReport, conditions: list[Condition], at: datetime, scheduled_at: datetime) -> Evaluation:
    """Return what is kept of an evaluation."""
    found = {(each.rule, each.subject): each for each in conditions}
    return Evaluation(
        at=at,
        scheduled_at=scheduled_at,
        model_name=report.model_name,
        model_version=report.model_version,
        rows=report.n,
        columns={
            name: ColumnFigures(
                found["drift", name].state, column.psi, column.mean_shift, column.effect, column.p_value
            )
            for name, column in columns_of(report).items()
        },
        p99={each.subject: each.value for each in conditions if each.rule == "latency"},
    )
