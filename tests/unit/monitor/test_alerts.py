"""A change is said once."""

from datetime import UTC, datetime

from services.monitor.alerts import DriftWatch
from services.monitor.drift import ColumnDrift, DriftReport


def a_report(*drifted: str, version: str = "1") -> DriftReport:
    columns = {name: ColumnDrift(name in drifted, ["psi"] if name in drifted else []) for name in ("size", "grade")}
    now = datetime.now(UTC)
    prediction = ColumnDrift("prediction" in drifted)
    return DriftReport(60.0, 100, now, now, "model", version, list(drifted), columns, prediction)


def test_a_feature_that_drifts_is_said_once_and_once_when_it_is_over() -> None:
    watch = DriftWatch()
    seen = [watch.look(a_report(*drifted)) for drifted in ((), ("size",), ("size",), ("size", "prediction"), ())]
    said = [[(change.state, change.feature) for change in changes] for changes in seen]
    assert said == [
        [],
        [("firing", "size")],
        [],
        [("firing", "prediction")],
        [("resolved", "size"), ("resolved", "prediction")],
    ]


def test_another_version_starts_afresh() -> None:
    watch = DriftWatch()
    watch.look(a_report("size"))
    assert watch.look(a_report(version="2")) == []
    assert [change.feature for change in watch.look(a_report("size", version="2"))] == ["size"]
