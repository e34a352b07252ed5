"""Drift and latency in the form that alerts take."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.monitor.conditions import LATENCY_ROWS, of_drift, of_latency
from services.monitor.drift import ColumnDrift, DriftReport
from services.monitor.layout import MODES
from services.monitor.stats import Figures, Latency, figures

NOW = datetime(2026, 2, 1, tzinfo=UTC)
MIN, HOUR, DAY = 300, 3600, 86_400


def a_report(**columns: ColumnDrift) -> DriftReport:
    limits = {"mean_shift": 2.0, "psi": 0.2, "psi_min_rows": 200, "effect": 0.1, "rate": 0.05}
    return DriftReport(60.0, 500, NOW, NOW, "model", "3", [], columns, ColumnDrift(False, n=500, psi=0.1), limits)


def test_a_column_is_bad_with_the_figure_that_says_so() -> None:
    report = a_report(
        moved=ColumnDrift(True, ["mean_shift", "psi"], n=500, mean_shift=2.5, psi=3.0),
        spread=ColumnDrift(True, ["psi"], n=500, mean_shift=0.5, psi=0.4),
        same=ColumnDrift(False, n=500, mean_shift=0.1, psi=0.05, effect=0.04),
        shape=ColumnDrift(True, ["ks"], suspect=True, n=500, effect=0.3),
        holes=ColumnDrift(True, ["null_rate"], suspect=True, n=500, effect=0.08),
        nearly=ColumnDrift(False, suspect=True, n=500, effect=0.09),
        few=ColumnDrift(False, n=199, mean_shift=0.1, psi=0.5),
        fixed=ColumnDrift(True, ["mean_shift"], n=500, mean_shift=None, psi=0.1),
    )
    found = {each.subject: each for each in of_drift(report)}
    assert {name: each.state for name, each in found.items()} == {
        "moved": "bad",
        "spread": "bad",
        "same": "good",
        "shape": "bad",
        "holes": "bad",
        "nearly": "unsure",
        "few": "unsure",
        "fixed": "bad",
        "prediction": "good",
    }
    assert (found["moved"].value, found["moved"].threshold) == (2.5, 2.0)
    assert (found["spread"].value, found["spread"].threshold) == (0.4, 0.2)
    assert found["spread"].reason == "psi 0.4, over 0.2, in 500 rows"
    assert found["shape"].reason == "ks 0.3, over 0.1, in 500 rows"
    assert found["holes"].reason == "null rate 0.08, over 0.05, in 500 rows"
    assert (found["same"].value, found["same"].threshold) == (0.04, 0.1)
    assert found["nearly"].reason == "nearly drifted, in 500 rows"
    assert found["few"].reason == "too few rows for a change to be found, in 199 rows"
    assert found["fixed"].reason == "mean shift beyond any, over 2, in 500 rows"
    assert {(each.rule, each.version) for each in found.values()} == {("drift", "3")}


def test_a_feature_with_the_name_of_the_prediction_stands_for_itself() -> None:
    (found,) = of_drift(a_report(prediction=ColumnDrift(True, ["psi"], n=500, psi=0.3)))
    assert found.state == "bad"


def some_figures(rows: int, p99: float | None, mode: str = "single") -> Figures:
    nothing = figures([], None)
    return replace(
        nothing,
        by_mode=nothing.by_mode | {mode: rows},
        latency_by_mode=nothing.latency_by_mode | {mode: Latency(p99, p99, p99, p99)},
    )


@pytest.mark.parametrize(
    ("every", "windows", "state", "value"),
    [
        (HOUR, {MIN: (500, 0.9), HOUR: (900, 0.01), DAY: (900, 0.9)}, "good", 0.01),  # five minutes leave a gap
        (60, {MIN: (500, 0.9), HOUR: (900, 0.01), DAY: (900, 0.01)}, "bad", 0.9),
        (60, {MIN: (LATENCY_ROWS - 1, 0.9), HOUR: (LATENCY_ROWS, 0.01), DAY: (900, 0.9)}, "good", 0.01),
        (60, {MIN: (1, 0.9), HOUR: (2, 0.9), DAY: (3, 0.9)}, "unsure", None),
        (2 * DAY, {MIN: (500, 0.01), HOUR: (500, 0.01), DAY: (500, 0.9)}, "bad", 0.9),
        (60, {MIN: (0, None), HOUR: (0, None), DAY: (0, None)}, "unsure", None),
        (60, {MIN: (500, 0.1), HOUR: (500, 0.9), DAY: (500, 0.9)}, "good", 0.1),  # at the limit is within
    ],
)
def test_latency_is_judged_by_the_shortest_window_that_has_rows_and_leaves_no_gap(
    every: float, windows: dict[int, tuple[int, float | None]], state: str, value: float | None
) -> None:
    found = of_latency({seconds: some_figures(*what) for seconds, what in windows.items()}, 0.1, every)
    assert [each.subject for each in found] == list(MODES)
    single, *others = found
    assert (single.state, single.value, single.threshold, single.version) == (state, value, 0.1, None)
    assert {each.state for each in others} == {"unsure"}
