"""Drift and latency in the form that alerts take."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.monitor.conditions import LATENCY_ROWS, of_drift, of_latency, of_quality
from services.monitor.drift import ColumnDrift, DriftReport
from services.monitor.layout import MODES
from services.monitor.quality import Estimate, Quality, Verdict
from services.monitor.stats import Figures, Latency, figures

NOW = datetime(2026, 2, 1, tzinfo=UTC)
MIN, HOUR, DAY = 300, 3600, 86_400


def a_report(**columns: ColumnDrift) -> DriftReport:
    limits = {"mean_shift": 2.0, "psi": 0.2, "psi_min_rows": 200}
    return DriftReport(60.0, 500, NOW, NOW, "model", "3", [], columns, ColumnDrift(False, n=500, psi=0.1), limits)


def test_a_column_is_bad_with_the_figure_that_says_so() -> None:
    report = a_report(
        moved=ColumnDrift(True, ["mean_shift", "psi"], n=500, mean_shift=2.5, psi=3.0),
        spread=ColumnDrift(True, ["psi"], n=500, mean_shift=0.5, psi=0.4),
        same=ColumnDrift(False, n=500, mean_shift=0.1, psi=0.05),
        few=ColumnDrift(False, n=199, mean_shift=0.1, psi=0.5),
        fixed=ColumnDrift(True, ["mean_shift"], n=500, mean_shift=None, psi=0.1),
    )
    found = {each.subject: each for each in of_drift(report)}
    assert {name: each.state for name, each in found.items()} == {
        "moved": "bad",
        "spread": "bad",
        "same": "good",
        "few": "unsure",
        "fixed": "bad",
        "prediction": "good",
    }
    assert (found["moved"].value, found["moved"].threshold) == (2.5, 2.0)
    assert (found["spread"].value, found["spread"].threshold) == (0.4, 0.2)
    assert found["spread"].reason == "psi 0.4, over 0.2, in 500 rows"
    assert found["fixed"].reason == "mean shift beyond any, over 2, in 500 rows"
    assert {(each.rule, each.version) for each in found.values()} == {("drift", "3")}


def test_each_reason_is_told_by_its_own_figure_and_limit() -> None:
    column = ColumnDrift(
        True,
        n=500,
        p_value=0.00012,
        effect=0.5,
        ks=0.4,
        null_rate=0.3,
        reference_null_rate=0.1,
        unknown_rate=0.25,
        reference_unknown_rate=0.05,
        out_of_range_rate=0.6,
    )
    limits = {"effect": 0.1, "rate": 0.05, "psi_min_rows": 200}
    for reason, value, limit in (
        ("ks", 0.4, 0.1),
        ("chi2", 0.5, 0.1),
        ("null_rate", 0.2, 0.05),
        ("new_categories", 0.2, 0.05),
        ("out_of_range", 0.6, 0.05),
    ):
        report = replace(a_report(x=replace(column, reasons=[reason, "psi"])), limits=limits)
        found = next(each for each in of_drift(report) if each.subject == "x")
        assert found.value == pytest.approx(value)
        assert found.threshold == limit
        assert found.reason.startswith(reason.replace("_", " "))
        assert found.reason.endswith("(also psi), p 0.00012, in 500 rows")


def test_a_suspect_column_is_neither_bad_nor_good() -> None:
    (found, _) = sorted(of_drift(a_report(x=ColumnDrift(False, suspect=True, n=500))), key=lambda c: c.subject != "x")
    assert found.state == "unsure"
    assert "too few" not in found.reason
    few = next(c for c in of_drift(a_report(x=ColumnDrift(False, n=5))) if c.subject == "x")
    assert (few.state, few.reason.endswith("too few rows to be sure")) == ("unsure", True)


@pytest.mark.parametrize(
    ("rmse", "n", "state", "said"),
    [
        (Estimate(4.0, 3.7, 4.3), 500, "bad", "live RMSE 4 (3.7 to 4.3), over 3.6, in 500 labelled rows"),
        (
            Estimate(3.8, 3.5, 4.1),
            500,
            "unsure",
            "live RMSE 3.8 (3.5 to 4.1), not surely within 3.6, in 500 labelled rows",
        ),
        (Estimate(3.0, 2.7, 3.3), 500, "good", "live RMSE 3 (2.7 to 3.3), within 3.6, in 500 labelled rows"),
        (Estimate(9.0, 8.7, 9.3), 99, "unsure", "99 labelled rows, fewer than 100"),
        (None, 0, "unsure", "0 labelled rows, fewer than 100"),
    ],
)
def test_quality_is_bad_when_its_interval_is(rmse: Estimate | None, n: int, state: str, said: str) -> None:
    found = of_quality(Verdict("3", Quality(n, rmse, None, None, None), min_labels=100, limit=3.6))
    assert (found.state, found.reason) == (state, said)
    assert (found.rule, found.subject, found.threshold, found.version) == ("quality", "rmse", 3.6, "3")


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
