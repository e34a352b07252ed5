"""What an evaluation found, rule by rule: the one form in which alerts hear of drift, latency and quality. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from services.monitor.drift import ColumnDrift, DriftReport
from services.monitor.layout import MODES
from services.monitor.quality import Verdict
from services.monitor.stats import Figures
from shared.profile import PREDICTION

LATENCY_ROWS = 100
"""Of fewer, the slowest one alone would decide what the 99th percentile is."""

_LIMITS = {
    "ks": "effect",
    "chi2": "effect",
    "null_rate": "rate",
    "out_of_range": "rate",
    "new_categories": "rate",
}
"""The limit of each reason, where it has not its name."""

Rule = Literal["drift", "latency", "quality"]
State = Literal["bad", "unsure", "good"]


@dataclass(frozen=True)
class Condition:
    """One rule about one subject, as it is now."""

    rule: Rule
    subject: str
    """A feature or `prediction`; a mode; or what else the rule is about. Part of an alert's identity."""
    state: State
    """unsure: too little is known to say either; what was so goes on."""
    reason: str
    value: float | None = None
    threshold: float | None = None
    version: str | None = None
    """The version it is about; None where it is about none in particular."""


def of_drift(report: DriftReport) -> list[Condition]:
    """Return a condition for each feature and the prediction."""
    return [_drift(name, column, report) for name, column in columns_of(report).items()]


def columns_of(report: DriftReport) -> dict[str, ColumnDrift]:
    """Return the features by name, and the prediction, unless a feature has its name."""
    return {PREDICTION: report.prediction} | report.features


def of_latency(windows: Mapping[float, Figures], limit: float, every: float) -> list[Condition]:
    """Return a condition for each mode: is the 99th percentile of engine time over the limit?

    Args:
        windows: figures of the last so many seconds. The shortest one decides that has enough rows and reaches back to
            the evaluation before.
        limit: seconds.
        every: seconds between evaluations.
    """
    reaching = sorted(seconds for seconds in windows if seconds >= min(every, max(windows)))
    return [_latency({seconds: windows[seconds] for seconds in reaching}, mode, limit) for mode in MODES]


def of_quality(verdict: Verdict) -> Condition:
    """Return the condition of the champion's labelled rows: are its errors larger than its training promised?"""
    rmse, limit, n = verdict.quality.rmse, verdict.limit, verdict.quality.n
    state: State = "bad" if verdict.bad else "good" if verdict.good else "unsure"
    if rmse is None or not verdict.enough:
        reason = f"{n} labelled rows, fewer than {verdict.min_labels}"
    else:
        said = {"bad": "over", "unsure": "not surely within", "good": "within"}[state]
        interval = "" if rmse.low is None else f" ({_text(rmse.low)} to {_text(rmse.high)})"
        reason = f"live RMSE {_text(rmse.value)}{interval}, {said} {_text(limit)}, in {n} labelled rows"
    return Condition("quality", "rmse", state, reason, rmse.value if rmse else None, limit, verdict.version)


def _drift(name: str, column: ColumnDrift, report: DriftReport) -> Condition:
    measure = column.reasons[0] if column.reasons else "effect"
    value, limit = _measured(column, measure), report.limits.get(_LIMITS.get(measure, measure))
    state: State = "bad" if column.drifted else "unsure" if column.suspect else "good"
    if state == "good" and column.n < report.limits.get("psi_min_rows", 0):
        state = "unsure"
    also = f" (also {', '.join(column.reasons[1:])})" if column.reasons[1:] else ""
    sure = "" if column.p_value is None else f", p {_text(column.p_value)}"
    few = ", too few rows to be sure" if state == "unsure" and not column.suspect else ""
    said = "over" if state == "bad" else "limit"
    reason = f"{measure.replace('_', ' ')} {_text(value)}, {said} {_text(limit)}{also}{sure}, in {column.n} rows{few}"
    return Condition("drift", name, state, reason, value, limit, report.model_version)


def _measured(column: ColumnDrift, reason: str) -> float | None:
    """Return the figure that a limit is compared with."""
    match reason:
        case "null_rate":
            return _change(column.null_rate, column.reference_null_rate)
        case "new_categories":
            return _change(column.unknown_rate, column.reference_unknown_rate)
        case "out_of_range":
            return column.out_of_range_rate
        case "mean_shift" | "psi" | "ks":
            return getattr(column, reason)  # type: ignore[no-any-return]  # all of them numbers or nothing
        case _:
            return column.effect


def _change(now: float | None, before: float | None) -> float | None:
    return None if now is None else abs(now - (before or 0.0))


def _latency(windows: Mapping[float, Figures], mode: str, limit: float) -> Condition:
    for seconds, found in windows.items():
        p99, rows = found.latency_by_mode[mode].p99, found.by_mode[mode]
        if p99 is not None and rows >= LATENCY_ROWS:
            state: State = "bad" if p99 > limit else "good"
            said = "over" if state == "bad" else "within"
            reason = (
                f"p99 of engine time {_text(p99)} s, {said} {_text(limit)} s, in {rows} rows of {seconds / 60:g} min"
            )
            return Condition("latency", mode, state, reason, p99, limit)
    return Condition("latency", mode, "unsure", f"fewer than {LATENCY_ROWS} rows", None, limit)


def _text(value: float | None) -> str:
    return "beyond any" if value is None else f"{value:.3g}"
