"""What Prometheus scrapes: figures of the shared counters as they are now, and counters of this process.

Gauges and totals that come from Redis are the same on every monitor; a query over several takes `max`. Quantiles are
computed here as well as in the histogram, because ours are finer than its buckets.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from services.monitor.drift import DriftReport
from services.monitor.drift_metrics import of_drift
from services.monitor.families import PREFIX, gauge
from services.monitor.figure_metrics import latency_histogram, of_memory, of_stats, of_watched
from services.monitor.flow import Memory
from services.monitor.live_quality import QualityReport
from services.monitor.monitor import Stats
from services.monitor.quality_metrics import of_quality
from services.monitor.watch import Watched
from shared.profile import Summary

LAGS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
OUTCOMES = ("delivered", "retried", "failed", "disabled", "lost")
"""Of attempts to deliver a webhook."""


@dataclass(frozen=True)
class Snapshot:
    """What was found at a scrape; None where Redis or the store could not answer."""

    redis_up: bool
    consuming: bool
    stats: Stats | None = None
    drift: DriftReport | None = None
    totals: Summary | None = None
    """Counters of all versions since ever."""
    memory: Memory | None = None
    watched: Watched | None = None
    quality: QualityReport | None = None


class Metrics:
    """Every metric of the monitor. `snapshot` is replaced before each scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.events = Counter(
            f"{PREFIX}_events",
            "Events handled by this process: applied, duplicate, invalid, lost (taken over by another), failed or "
            "waiting (both come again).",
            ["stream", "outcome"],
            registry=self.registry,
        )
        self.event_lag = Histogram(
            f"{PREFIX}_event_lag_seconds",
            "From what an event tells, its oldest row, to its being counted by this process.",
            ["stream"],
            buckets=LAGS,
            registry=self.registry,
        )
        self.log = Counter(
            f"{PREFIX}_log",
            "Prediction log: rows_written, files_written, entries_refused, files_compacted, rows_deleted, days_removed "
            "by this process.",
            ["what"],
            registry=self.registry,
        )
        self.webhooks = Counter(
            f"{PREFIX}_webhooks",
            "Attempts of this process to deliver a webhook: delivered, retried (it comes again), failed (given up), "
            "disabled (the receiver wants no more) or lost (taken over by another).",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in OUTCOMES:  # from the start: the first increase of a new one is seen by nobody
            self.webhooks.labels(outcome)
        self.leading = Gauge(f"{PREFIX}_leading", "1 if this process evaluates and alerts.", registry=self.registry)
        self.evaluation_interval = Gauge(
            f"{PREFIX}_evaluation_interval_seconds", "How often it is evaluated.", registry=self.registry
        )
        self.webhooks_waiting = Gauge(
            f"{PREFIX}_webhooks_waiting",
            "Webhooks neither received nor given up, when this process last looked.",
            registry=self.registry,
        )
        self._snapshots = _Snapshots()
        self.registry.register(self._snapshots)

    def count_events(self, stream: str, outcome: str, number: int) -> None:
        self.events.labels(stream, outcome).inc(number)

    def count_lag(self, stream: str, seconds: float) -> None:
        self.event_lag.labels(stream).observe(seconds)

    def count_webhook(self, outcome: str) -> None:
        self.webhooks.labels(outcome).inc()

    def count_log(self, what: str, number: int) -> None:
        self.log.labels(what).inc(number)

    def expose(self, snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
        """Return the exposition and its content type."""
        self._snapshots.snapshot = snapshot
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class _Snapshots(Collector):
    def __init__(self) -> None:
        self.snapshot = Snapshot(redis_up=False, consuming=False)

    def collect(self) -> Iterator[Metric]:
        found = self.snapshot
        yield gauge("redis_up", "1 if Redis answers.", [((), float(found.redis_up))])
        yield gauge("consuming", "1 if every consumer reads its stream.", [((), float(found.consuming))])
        if found.stats is not None:
            yield from of_stats(found.stats)
        if found.memory is not None:
            yield from of_memory(found.memory)
        if found.watched is not None:
            yield from of_watched(found.watched)
        if found.quality is not None:
            yield from of_quality(found.quality)
        if found.totals is not None:
            yield latency_histogram(found.totals)
        if found.drift is not None:
            yield from of_drift(found.drift)
