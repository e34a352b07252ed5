"""What Prometheus scrapes: figures of the shared counters as they are now, and counters of this process.

Gauges and totals that come from Redis are the same on every monitor; a query over several takes `max`. Quantiles are
computed here as well as in the histogram, because ours are finer than its buckets.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from services.monitor.drift import ColumnDrift, DriftReport
from services.monitor.flow import Memory
from services.monitor.layout import MODES
from services.monitor.live_quality import QualityReport
from services.monitor.monitor import Stats
from services.monitor.quality_metrics import PREFIX, of_quality
from services.monitor.stats import Figures, latency_counts
from services.monitor.watch import Watched
from shared import latency
from shared.profile import PREDICTION, Summary

LAGS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
OUTCOMES = ("delivered", "retried", "failed", "disabled", "lost")
"""Of attempts to deliver a webhook."""
_BUCKETS = range(7, len(latency.EDGES), 16)  # every second octave from 1.8 µs: 14 buckets


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
        yield _gauge("redis_up", "1 if Redis answers.", [((), float(found.redis_up))])
        yield _gauge("consuming", "1 if every consumer reads its stream.", [((), float(found.consuming))])
        if found.stats is not None:
            yield from _of_stats(found.stats)
        if found.memory is not None:
            yield from _of_memory(found.memory)
        if found.watched is not None:
            yield from _of_watched(found.watched)
        if found.quality is not None:
            yield from of_quality(found.quality)
        if found.totals is not None:
            yield _histogram(found.totals)
        if found.drift is not None:
            yield from _of_drift(found.drift)


def _gauge(
    name: str, text: str, values: Iterable[tuple[tuple[str, ...], float | None]], labels: tuple[str, ...] = ()
) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for labelled, value in values:
        if value is not None:
            family.add_metric(labelled, value)
    return family


def _counter(
    name: str, text: str, values: Iterable[tuple[tuple[str, ...], float]], labels: tuple[str, ...] = ()
) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for labelled, value in values:
        family.add_metric(labelled, value)
    return family


def _of_stats(stats: Stats) -> Iterator[Metric]:
    ever = stats.lifetime.by_version.items()
    yield _counter(
        "predictions",
        "Predictions counted, by version and mode.",
        [((version, mode), n) for version, f in ever for mode, n in f.by_mode.items()],
        ("version", "mode"),
    )
    yield _counter(
        "failed_rows",
        "Rows that ended in an error, by version and mode.",
        [((version, mode), n) for version, f in ever for mode, n in f.failed_by_mode.items()],
        ("version", "mode"),
    )
    yield _counter("received_predictions", "Predictions of gateways received.", [((), stats.received)])
    # A gauge: an event that arrives late lowers it.
    yield _gauge(
        "dropped_predictions",
        "Predictions answered that no figure here contains, by kind of event.",
        [((kind,), rows) for kind, rows in stats.dropped.items()],
        ("stream",),
    )
    yield _gauge("invalid_events", "Events that could not be read, since ever.", [((), stats.invalid_events)])
    yield _gauge(
        "finished_jobs",
        "Jobs that reached a terminal state, since ever.",
        [((state,), n) for state, n in stats.finished_jobs.items() if not state.endswith("rows")],
        ("state",),
    )
    recent = [(name, w.all) for name, w in stats.windows.items()]
    yield _gauge(
        "throughput_per_second", "Predictions per second.", [((w,), f.throughput) for w, f in recent], ("window",)
    )
    yield _gauge("prediction_mean", "Mean prediction.", [((w,), f.avg_prediction) for w, f in recent], ("window",))
    yield _gauge(
        "prediction_std",
        "Standard deviation of predictions.",
        [((w,), f.std_prediction) for w, f in recent],
        ("window",),
    )
    yield _gauge(
        "estimated_mae",
        "Mean absolute error that the rows' features suggest, without the truth, in the target's unit.",
        [((w,), f.estimated_error.mae if f.estimated_error else None) for w, f in recent],
        ("window",),
    )
    yield _gauge(
        "inference_quantile_seconds",
        f"Engine time per prediction; relative error {latency.RELATIVE_ERROR:.1%}.",
        _quantiles(recent),
        ("window", "mode", "quantile"),
    )
    yield from _of_flow(stats)


def _quantiles(recent: Iterable[tuple[str, Figures]]) -> Iterator[tuple[tuple[str, ...], float | None]]:
    for window, found in recent:
        for mode, times in found.latency_by_mode.items():
            yield (window, mode, "0.5"), times.p50
            yield (window, mode, "0.95"), times.p95
            yield (window, mode, "0.99"), times.p99


def _of_flow(stats: Stats) -> Iterator[Metric]:
    flow = stats.flow
    lags = [((kind, group), lag) for kind, groups in flow.lag.items() for group, lag in groups.items()]
    labels = ("stream", "group")
    yield _gauge("backlog_rows", "Rows of jobs accepted and not yet finished.", [((), flow.backlog_rows)])
    yield _gauge(
        "backlog_seconds",
        "How long they take at the pace of late; +Inf while rows wait and none were finished lately.",
        [((), math.inf if flow.backlog_seconds is None else flow.backlog_seconds)],
    )
    yield _gauge(
        "heartbeat_lag_seconds",
        "Seconds from the queue of chunks through a scorer to here: of the newest heartbeat that came, or since when "
        "none has.",
        [((), flow.heartbeat.lag)],
    )
    yield _gauge(
        "heartbeat_timestamp_seconds",
        "When the newest heartbeat that came through was sent.",
        [((), flow.heartbeat.passed)],
    )
    yield _gauge("dead_letters", "Dead letters that are kept.", [((), flow.dead_letters)])
    yield _gauge(
        "stream_entries", "Length of a stream.", [((k,), n) for k, n in flow.stream_entries.items()], ("stream",)
    )
    yield _gauge(
        "lag_entries", "Entries not acknowledged by a group.", [(names, lag.entries) for names, lag in lags], labels
    )
    yield _gauge("lag_seconds", "Age of the oldest of them.", [(names, lag.seconds) for names, lag in lags], labels)


def _of_memory(memory: Memory) -> Iterator[Metric]:
    yield _gauge("redis_memory_used_bytes", "Memory that Redis uses.", [((), memory.used)])
    yield _gauge("redis_memory_max_bytes", "Its maxmemory; absent where that is not set.", [((), memory.limit)])


def _of_watched(watched: Watched) -> Iterator[Metric]:
    firing = [alert for alert in watched.alerts if alert.firing]
    labels = ("rule", "subject")
    yield _gauge("alerts_firing", "1 for each alert that fires.", [((a.rule, a.subject), 1.0) for a in firing], labels)
    yield _gauge(
        "alerts_acknowledged",
        "1 for each of them that somebody has seen.",
        [((a.rule, a.subject), 1.0) for a in firing if a.acknowledged],
        labels,
    )
    at = watched.memory.evaluated_at
    yield _gauge(
        "last_evaluation_timestamp_seconds",
        "When the leading monitor evaluated last.",
        [((), at.timestamp() if at else None)],
    )


def _histogram(totals: Summary) -> Metric:
    family = HistogramMetricFamily(
        f"{PREFIX}_inference_seconds", "Engine time per prediction, by mode.", labels=("mode",)
    )
    for mode in MODES:
        cumulative = np.cumsum(latency_counts(totals, mode))
        buckets = [(f"{latency.EDGES[i]:.6g}", float(cumulative[i])) for i in _BUCKETS]
        family.add_metric(
            (mode,), [*buckets, ("+Inf", float(cumulative[-1]))], sum_value=totals.get(f"ns:{mode}", 0) / 1e9
        )
    return family


def _of_drift(report: DriftReport) -> Iterator[Metric]:
    columns: list[tuple[tuple[str, ...], ColumnDrift]] = [((name,), c) for name, c in report.features.items()]
    if PREDICTION not in report.features:  # a feature of that name has the label; two of one would break the scrape
        columns.append(((PREDICTION,), report.prediction))
    labels = ("feature",)
    yield _gauge("drift_window_rows", "Rows that drift is computed from.", [((), report.n)])
    yield _gauge("drift_reference_rows", "Rows of the reference.", [((), report.m)])
    yield _gauge("drift_psi", "Population stability index in nats.", [(n, c.psi) for n, c in columns], labels)
    yield _gauge(
        "drift_mean_shift",
        "Shift of the mean in standard deviations of the reference.",
        [(n, c.mean_shift) for n, c in columns],
        labels,
    )
    yield _gauge("drift_ks", "Largest distance of the distribution functions.", [(n, c.ks) for n, c in columns], labels)
    yield _gauge(
        "drift_wasserstein",
        "Area between the distribution functions in standard deviations of the reference.",
        [(n, c.wasserstein) for n, c in columns],
        labels,
    )
    yield _gauge(
        "drift_effect", "Largest change in the probability of an event.", [(n, c.effect) for n, c in columns], labels
    )
    yield _gauge(
        "drift_p_value",
        "Smallest p-value, adjusted for all tests of all features.",
        [(n, c.p_value) for n, c in columns],
        labels,
    )
    yield _gauge("drifted", "1 if it has drifted.", [(n, float(c.drifted)) for n, c in columns], labels)
    yield _gauge("null_ratio", "Share of nulls.", [(n, c.null_rate) for n, c in columns], labels)
    yield _gauge(
        "out_of_range_ratio",
        "Share of values outside the range of the reference.",
        [(n, c.out_of_range_rate) for n, c in columns],
        labels,
    )
    yield _gauge(
        "unknown_ratio",
        "Share of categories that training has not seen.",
        [(n, c.unknown_rate) for n, c in columns],
        labels,
    )
