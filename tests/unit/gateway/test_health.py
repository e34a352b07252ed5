"""What `/health` says of which facts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.gateway.health import Facts, report
from services.gateway.watch import Surroundings
from shared.follower import Serving
from tests.unit.gateway.fakes import a_model

NOW = datetime(2026, 1, 31, tzinfo=UTC)
WELL = Facts(
    serving=Serving(a_model(created_at=NOW - timedelta(days=1)), 3),
    model_error=None,
    fresh=True,
    seen=Surroundings(redis_up=True, scorers=2, backlog_rows=0, desired_epoch=3),
    refusal="",
    telemetry_dropped=0,
    uptime_hours=1.5,
    total_predictions=7,
    now=NOW,
    max_age=timedelta(days=30),
)
OLD = Serving(a_model(created_at=NOW - timedelta(days=31)), 3)


def test_nothing_to_say_is_healthy() -> None:
    assert report(WELL).model_dump() == {
        "status": "healthy",
        "model_loaded": True,
        "model_version": "1",
        "uptime_hours": 1.5,
        "total_predictions": 7,
        "warnings": [],
    }


@pytest.mark.parametrize(
    ("facts", "status", "code"),
    [
        (replace(WELL, serving=None), "degraded", "no_model"),
        (replace(WELL, model_error="altered"), "degraded", "model_refused"),
        (replace(WELL, fresh=False), "degraded", "model_unchecked"),
        (replace(WELL, seen=Surroundings()), "degraded", "redis_unavailable"),
        (replace(WELL, seen=Surroundings(), refusal="Redis wants a password"), "degraded", "redis_refused"),
        (replace(WELL, seen=replace(WELL.seen, scorers=0)), "degraded", "no_scorer"),
        (replace(WELL, seen=replace(WELL.seen, desired_epoch=4)), "warning", "model_behind"),
        (replace(WELL, seen=replace(WELL.seen, server_problems=["maxmemory is 0"])), "warning", "redis_configuration"),
        (replace(WELL, serving=OLD), "warning", "model_old"),
        (replace(WELL, telemetry_dropped=3), "warning", "telemetry_dropped"),
        (replace(WELL, fast_path_refused="no such attribute"), "warning", "fast_path_off"),
    ],
)
def test_each_fault_is_named(facts: Facts, status: str, code: str) -> None:
    health = report(facts)
    assert (health.status, [warning.code for warning in health.warnings]) == (status, [code])


def test_the_worst_decides() -> None:
    assert report(replace(WELL, serving=OLD, seen=Surroundings())).status == "degraded"
