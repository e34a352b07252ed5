"""What an evaluation found, rule by rule: the one form in which alerts hear of drift, latency and quality. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from services.monitor.drift import ColumnDrift, DriftReport
from services.monitor.layout import MODES
from services.monitor.live_quality import Verdict
from services.monitor.stats import Figures
from shared.profile import PREDICTION

LATENCY_ROWS = 100
"""Of fewer, the slowest one alone would decide what the 99th percentile is."""

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
    rmse, limit, n = verdict.rmse, verdict.limit, verdict.labelled.quality.n
    state: State = "bad" if verdict.bad else "good" if verdict.good else "unsure"
    if rmse is None or not verdict.enough:
        reason = f"{n} labelled rows, fewer than {verdict.version.quality.min_labels}"
    else:
        said = {"bad": "over", "unsure": "not surely within", "good": "within"}[state]
        interval = "" if rmse.low is None else f" ({_text(rmse.low)} to {_text(rmse.high)})"
        reason = f"live RMSE {_text(rmse.value)}{interval}, {said} {_text(limit)}, in {n} labelled rows"
    return Condition("quality", "rmse", state, reason, rmse.value if rmse else None, limit, verdict.version.version)


def _drift(name: str, column: ColumnDrift, report: DriftReport) -> Condition:
    value, limit, reason = column.effect, report.limits.get("effect"), "no change that is sure and large enough"
    state: State = "good"
    if column.drifted:
        state, measure = "bad", column.reasons[0]
        value, limit = _measured(column, measure, report.limits)
        reason = f"{measure.replace('_', ' ')} {_text(value)}, over {_text(limit)}"
    elif column.n < report.limits.get("psi_min_rows", 0):
        state, reason = "unsure", "too few rows for a change to be found"
    elif column.suspect:
        state, reason = "unsure", "nearly drifted"
    return Condition("drift", name, state, f"{reason}, in {column.n} rows", value, limit, report.model_version)


def _measured(column: ColumnDrift, measure: str, limits: Mapping[str, float]) -> tuple[float | None, float | None]:
    """Return what a reason is about, and its limit; None where it is beyond any number."""
    if measure in ("mean_shift", "psi"):
        return (column.mean_shift if measure == "mean_shift" else column.psi), limits.get(measure)
    return column.effect, limits.get("effect" if measure in ("ks", "chi2") else "rate")


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
