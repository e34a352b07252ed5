"""Every metric that our services can show, asked of their own registries; nothing connects."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from redis.asyncio import Redis

from services.gateway.__main__ import build as build_gateway
from services.gateway.metrics import GatewayCollector
from services.gateway.metrics import registry as gateway_registry
from services.gateway.settings import GatewaySettings
from services.gateway.watch import Surroundings
from services.monitor.__main__ import build as build_monitor
from services.monitor.drift import ColumnDrift, DriftReport
from services.monitor.flow import Flow, Memory
from services.monitor.heartbeats import Heartbeat
from services.monitor.live_quality import FeedbackCounts, QualityReport, VersionQuality
from services.monitor.metrics import Snapshot
from services.monitor.monitor import Stats, WindowFigures
from services.monitor.quality import Estimate, Quality
from services.monitor.scorecard import Labelled
from services.monitor.settings import MonitorSettings
from services.monitor.stats import figures
from services.monitor.versions import Training
from services.monitor.watch import Memory as Remembered
from services.monitor.watch import Watched
from services.scorer.handlers import create_broker
from services.scorer.metrics import Metrics as ScorerMetrics
from services.scorer.settings import ScorerSettings
from services.trainer.metrics import Metrics as TrainerMetrics
from services.trainer.settings import TrainerSettings
from shared.clock import utc_now
from shared.follower import ModelFollower, Serving
from shared.replica import Replica
from shared.store import Store
from tests.unit.gateway.fakes import a_model

Declared = dict[str, frozenset[str]]
"""Names of samples, and the labels that each has of its own."""


def declared(directory: Path) -> dict[str, Declared]:
    """Return by service what it can show.

    Args:
        directory: an empty one, in which the services would keep their state.
    """
    return {
        "gateway": _samples(_gateway(directory)),
        "scorer": _samples(_scorer(directory)),
        "trainer": _samples(_trainer(directory)),
        "monitor": of_monitor(directory),
    }


def of_monitor(directory: Path) -> Declared:
    """As `declared`, of the monitor alone."""
    return _samples(_monitor(directory))


def _gateway(directory: Path) -> CollectorRegistry:
    settings, redis = GatewaySettings(state_dir=directory), Redis()
    parts = build_gateway(settings, redis, _store(directory), Replica("gateway", settings, redis))
    parts.follower.current = Serving(a_model(), 1)
    parts.watch.seen = Surroundings(redis_up=True, scorers=1, backlog_rows=0, desired_epoch=1)
    return gateway_registry(GatewayCollector(parts.tally, parts.follower, parts.logger, parts.watch))


def _scorer(directory: Path) -> CollectorRegistry:
    settings, redis, registry = ScorerSettings(state_dir=directory), Redis(), CollectorRegistry()
    replica = Replica("scorer", settings, redis)
    follower = ModelFollower(settings, redis, _store(directory), replica)
    ScorerMetrics(registry).show(replica, follower, lambda: True)
    create_broker(settings, registry)
    return registry


def _trainer(directory: Path) -> CollectorRegistry:
    metrics = TrainerMetrics()
    metrics.show(Replica("trainer", TrainerSettings(state_dir=directory), Redis()))
    return metrics.registry


def _monitor(directory: Path) -> CollectorRegistry:
    metrics = build_monitor(MonitorSettings(state_dir=directory, store_url=directory.as_uri())).metrics
    metrics.expose(
        Snapshot(
            redis_up=True,
            consuming=True,
            stats=declared_stats(),
            drift=_drift(),
            totals={},
            memory=Memory(1, 2),
            watched=_watched(),
            quality=_quality(),
        ),
        "text/plain",
    )
    return metrics.registry


def declared_stats() -> Stats:
    nothing = WindowFigures(window=None, since=None, all=figures([], None), by_version={})
    return Stats(
        model_name="model",
        model_version="1",
        at=utc_now(),
        lifetime=nothing,
        windows=dict.fromkeys(("5m", "1h", "24h"), nothing),
        received=0,
        dropped={},
        invalid_events=0,
        finished_jobs={},
        flow=Flow(
            backlog_rows=0,
            backlog_seconds=0.0,
            dead_letters=0,
            stream_entries={},
            lag={},
            heartbeat=Heartbeat(0.1, 1.0),
        ),
    )


def _drift() -> DriftReport:
    now = utc_now()
    return DriftReport(
        window=60.0,
        n=0,
        since=now - timedelta(minutes=1),
        until=now,
        model_name="model",
        model_version="1",
        drifted=[],
        features={},
        prediction=ColumnDrift(drifted=False),
        limits={},
    )


def _quality() -> QualityReport:
    scores = {"rmse": 1.0, "mae": 1.0, "r2": 0.5}
    known = Estimate(1.0, 0.9, 1.1)
    labelled = Labelled(60.0, utc_now(), Quality(100, known, known, known, known))
    version = VersionQuality(Training("ridge", scores, scores), {"24h": labelled}, labelled)
    return QualityReport("model", "1", utc_now(), {"1": version}, FeedbackCounts(1, 0, 0, 0, 0, 0, 0))


def _watched() -> Watched:
    return Watched(revision=0, memory=Remembered(), alerts=(), serving=None, training=False, at=utc_now())


def _store(directory: Path) -> Store:
    return Store.open(directory.as_uri())


def _samples(registry: CollectorRegistry) -> Declared:
    """Return what can be shown, also of metrics that have no sample yet: they know their labels all the same."""
    found: dict[str, set[str]] = {}
    collectors: list[Any] = list(registry._collector_to_names)
    for collector in collectors:
        own = getattr(collector, "_labelnames", ())
        for family in collector.collect():
            labels = {*own, *getattr(family, "_labelnames", ()), *(name for s in family.samples for name in s.labels)}
            for name, more in _names(family):
                found.setdefault(name, set()).update(labels - {"le"}, more)
    return {name: frozenset(labels) for name, labels in found.items()}


def _names(family: Metric) -> Iterator[tuple[str, set[str]]]:
    if family.type == "counter":
        yield f"{family.name}_total", set()
    elif family.type == "histogram":
        yield f"{family.name}_bucket", {"le"}
        yield from ((f"{family.name}_{part}", set()) for part in ("sum", "count"))
    else:
        yield family.name, set()
