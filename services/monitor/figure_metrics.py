"""What was predicted, how fast, and how the pipeline is, as Prometheus is told of it. Pure."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from prometheus_client.core import HistogramMetricFamily, Metric

from services.monitor.families import PREFIX, counter, gauge
from services.monitor.flow import Memory
from services.monitor.layout import MODES
from services.monitor.monitor import Stats
from services.monitor.stats import Figures, latency_counts
from services.monitor.watch import Watched
from shared import latency
from shared.profile import Summary

_BUCKETS = range(7, len(latency.EDGES), 16)  # every second octave from 1.8 µs: 14 buckets


def of_stats(stats: Stats) -> Iterator[Metric]:
    ever = stats.lifetime.by_version.items()
    yield counter(
        "predictions",
        "Predictions counted, by version and mode.",
        [((version, mode), n) for version, f in ever for mode, n in f.by_mode.items()],
        ("version", "mode"),
    )
    yield counter(
        "failed_rows",
        "Rows that ended in an error, by version and mode.",
        [((version, mode), n) for version, f in ever for mode, n in f.failed_by_mode.items()],
        ("version", "mode"),
    )
    yield counter("received_predictions", "Predictions of gateways received.", [((), stats.received)])
    # A gauge: an event that arrives late lowers it.
    yield gauge(
        "dropped_predictions",
        "Predictions answered that no figure here contains, by kind of event.",
        [((kind,), rows) for kind, rows in stats.dropped.items()],
        ("stream",),
    )
    yield gauge("invalid_events", "Events that could not be read, since ever.", [((), stats.invalid_events)])
    yield gauge(
        "finished_jobs",
        "Jobs that reached a terminal state, since ever.",
        [((state,), n) for state, n in stats.finished_jobs.items() if not state.endswith("rows")],
        ("state",),
    )
    recent = [(name, w.all) for name, w in stats.windows.items()]
    yield gauge(
        "throughput_per_second", "Predictions per second.", [((w,), f.throughput) for w, f in recent], ("window",)
    )
    yield gauge("prediction_mean", "Mean prediction.", [((w,), f.avg_prediction) for w, f in recent], ("window",))
    yield gauge(
        "prediction_std",
        "Standard deviation of predictions.",
        [((w,), f.std_prediction) for w, f in recent],
        ("window",),
    )
    yield gauge(
        "estimated_mae",
        "Mean absolute error that the rows' features suggest, without the truth, in the target's unit.",
        [((w,), f.estimated_error.mae if f.estimated_error else None) for w, f in recent],
        ("window",),
    )
    yield gauge(
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
    yield gauge("backlog_rows", "Rows of jobs accepted and not yet finished.", [((), flow.backlog_rows)])
    yield gauge(
        "backlog_seconds",
        "How long they take at the pace of late; +Inf while rows wait and none were finished lately.",
        [((), math.inf if flow.backlog_seconds is None else flow.backlog_seconds)],
    )
    yield gauge(
        "heartbeat_lag_seconds",
        "Seconds from the queue of chunks through a scorer to here: of the newest heartbeat that came, or since when "
        "none has.",
        [((), flow.heartbeat.lag)],
    )
    yield gauge(
        "heartbeat_timestamp_seconds",
        "When the newest heartbeat that came through was sent.",
        [((), flow.heartbeat.passed)],
    )
    yield gauge("dead_letters", "Dead letters that are kept.", [((), flow.dead_letters)])
    yield gauge(
        "stream_entries", "Length of a stream.", [((k,), n) for k, n in flow.stream_entries.items()], ("stream",)
    )
    yield gauge(
        "lag_entries", "Entries not acknowledged by a group.", [(names, lag.entries) for names, lag in lags], labels
    )
    yield gauge("lag_seconds", "Age of the oldest of them.", [(names, lag.seconds) for names, lag in lags], labels)


def of_memory(memory: Memory) -> Iterator[Metric]:
    yield gauge("redis_memory_used_bytes", "Memory that Redis uses.", [((), memory.used)])
    yield gauge("redis_memory_max_bytes", "Its maxmemory; absent where that is not set.", [((), memory.limit)])


def of_watched(watched: Watched) -> Iterator[Metric]:
    firing = [alert for alert in watched.alerts if alert.firing]
    labels = ("rule", "subject")
    yield gauge("alerts_firing", "1 for each alert that fires.", [((a.rule, a.subject), 1.0) for a in firing], labels)
    yield gauge(
        "alerts_acknowledged",
        "1 for each of them that somebody has seen.",
        [((a.rule, a.subject), 1.0) for a in firing if a.state == "acknowledged"],
        labels,
    )
    at = watched.memory.evaluated_at
    yield gauge(
        "last_evaluation_timestamp_seconds",
        "When the leading monitor evaluated last.",
        [((), at.timestamp() if at else None)],
    )


def latency_histogram(totals: Summary) -> Metric:
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
