import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from services.scorer.metrics import Metrics
from shared.follower import ModelFollower, Serving
from shared.replica import Replica
from shared.settings import CommonSettings
from shared.store import Store
from tests.unit.gateway.fakes import a_model


def test_a_scorer_tells_what_it_holds_and_how_fast_it_was() -> None:
    metrics = Metrics(CollectorRegistry())
    with metrics.holding():
        metrics.committed(10_000, 10, 0, engine=1.5, took=2.0)
        assert metrics.speed() == {"in_flight": 1, "rows_per_second": 1000.0, "capacity": 5000.0}
    assert metrics.speed()["in_flight"] == 0


def test_an_idle_scorer_still_tells_how_fast_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics(CollectorRegistry())
    assert metrics.speed()["capacity"] == 0
    metrics.committed(10_000, 10, 0, engine=1.5, took=2.0)
    later = time.monotonic() + 3600
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert metrics.speed() == {"in_flight": 0, "rows_per_second": 0.0, "capacity": 5000.0}


def test_a_few_rows_do_not_make_a_scorer_slow() -> None:
    """A caller would be told to wait for a hundred times as long as it takes."""
    metrics = Metrics(CollectorRegistry())
    metrics.committed(6, 0, 0, engine=0.01, took=0.13)
    assert metrics.speed()["capacity"] == 0
    for _ in range(4):
        metrics.committed(1000, 0, 0, engine=0.2, took=0.25)
    assert metrics.speed()["capacity"] > 3000


def test_rows_are_counted_by_how_they_ended() -> None:
    registry = CollectorRegistry()
    Metrics(registry).committed(1000, 10, 5, engine=0.1, took=0.2)
    assert registry.get_sample_value("tasador_scorer_rows_total", {"outcome": "value"}) == 990
    assert registry.get_sample_value("tasador_scorer_rows_total", {"outcome": "error"}) == 10
    assert registry.get_sample_value("tasador_scorer_event_rows_dropped_total") == 5


@pytest.mark.parametrize("outcome", ["failed", "given_up", "error"])
def test_a_chunk_that_ended_badly_is_seen_the_first_time(outcome: str) -> None:
    """A counter that appears with its first increase has none that `increase` could see."""
    registry = CollectorRegistry()
    Metrics(registry)
    assert registry.get_sample_value("tasador_scorer_chunks_total", {"outcome": outcome}) == 0


def test_a_job_that_failed_is_seen_the_first_time() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    assert registry.get_sample_value("tasador_scorer_jobs_total", {"state": "failed"}) == 0


def test_a_scorer_tells_how_it_is_and_which_version_it_serves(tmp_path: Path) -> None:
    settings, redis = CommonSettings(state_dir=tmp_path), Redis()  # nothing connects
    replica = Replica("scorer", settings, redis)
    follower = ModelFollower(settings, redis, Store.open(tmp_path.as_uri()), replica)
    registry, ready = CollectorRegistry(), False
    Metrics(registry).show(replica, follower, lambda: ready)
    read = registry.get_sample_value
    assert (read("tasador_scorer_ready"), read("tasador_scorer_redis_up")) == (0, 0)
    assert read("tasador_scorer_model_epoch") is None

    ready = replica.redis_up = True
    follower.current = Serving(a_model("3"), 7)
    assert (read("tasador_scorer_ready"), read("tasador_scorer_redis_up")) == (1, 1)
    assert read("tasador_scorer_model_epoch") == 7
    labels = {"model": "model", "version": "3", "engine": "sum", "candidate": "ridge"}
    assert read("tasador_scorer_model_info", labels) == 1
