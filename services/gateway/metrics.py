"""`/metrics`: the process's own counters for Prometheus. Everything is read at scrape time."""

from collections.abc import Iterator

from prometheus_client import GC_COLLECTOR, CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from services.gateway.predict import Follows
from services.gateway.tally import Durations, Tally
from services.gateway.telemetry import PredictionLogger
from services.gateway.watch import Watch
from shared import latency
from shared.metrics import model_metrics

PREFIX = "tasador_gateway"

_STEP = 8  # bins to an octave: Prometheus gets every power of two
_BUCKETS = range(0, 25 * _STEP, _STEP)  # 1 µs to 17 s


class GatewayCollector(Collector):
    """Each metric is declared here, once."""

    def __init__(self, tally: Tally, follower: Follows, logger: PredictionLogger, watch: Watch) -> None:
        self._tally = tally
        self._follower = follower
        self._logger = logger
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        yield from self._requests()
        yield from self._predictions()
        yield from self._telemetry()
        yield CounterMetricFamily(f"{PREFIX}_feedback_rows", "Actual values accepted.", self._tally.feedback_rows)
        yield from model_metrics(PREFIX, self._follower.current)
        yield from self._surroundings()

    def _requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(f"{PREFIX}_requests", "Requests answered.", labels=["route", "method", "code"])
        for (route, method, status), n in self._tally.requests.items():
            requests.add_metric([route, method, str(status)], n)
        yield requests
        seconds = HistogramMetricFamily(
            f"{PREFIX}_request_duration_seconds", "From the request's head to the answer's end.", labels=["route"]
        )
        for route, durations in self._tally.request_seconds.items():
            seconds.add_metric([route], *_buckets(durations))
        yield seconds
        yield GaugeMetricFamily(f"{PREFIX}_requests_in_flight", "Requests being answered.", self._tally.in_flight)
        yield GaugeMetricFamily(
            f"{PREFIX}_requests_waiting", "Of those, long polls and event streams.", self._tally.waiting
        )

    def _predictions(self) -> Iterator[Metric]:
        predictions = self._logger.counted()
        rows = CounterMetricFamily(f"{PREFIX}_predictions", "Rows answered with a value.", labels=["mode", "version"])
        for (mode, version), n in predictions.rows.items():
            rows.add_metric([mode, version], n)
        yield rows
        seconds = HistogramMetricFamily(
            f"{PREFIX}_predict_duration_seconds", "Engine time per row; a batch's is shared.", labels=["mode"]
        )
        for mode, durations in predictions.inference.items():
            seconds.add_metric([mode], *_buckets(durations))
        yield seconds

    def _telemetry(self) -> Iterator[Metric]:
        buffer = self._logger.buffer
        for name, help_text, value in (
            ("answered", "Predictions answered.", buffer.answered),
            ("sent", "Predictions sent to the monitor.", buffer.sent),
            ("dropped", "Predictions answered that will not be logged.", buffer.dropped),
        ):
            yield CounterMetricFamily(f"{PREFIX}_telemetry_{name}_rows", help_text, value)
        yield GaugeMetricFamily(f"{PREFIX}_telemetry_waiting_rows", "Predictions not sent yet.", self._logger.waiting)

    def _surroundings(self) -> Iterator[Metric]:
        seen = self._watch.seen
        yield GaugeMetricFamily(f"{PREFIX}_ready", "1 if requests should be sent here.", self._watch.ready)
        yield GaugeMetricFamily(f"{PREFIX}_redis_up", "1 if Redis answered last time.", seen.redis_up)
        if seen.redis_up:
            yield GaugeMetricFamily(f"{PREFIX}_scorers", "Live scorers.", seen.scorers)
            yield GaugeMetricFamily(f"{PREFIX}_backlog_rows", "Rows of jobs not finished yet.", seen.backlog_rows)
            if seen.desired_epoch is not None:
                yield GaugeMetricFamily(
                    f"{PREFIX}_desired_epoch", "Epoch that every replica should serve.", seen.desired_epoch
                )


def _buckets(durations: Durations) -> tuple[list[tuple[str, float]], float]:
    """Return cumulative counts up to every power of two, and the sum."""
    cumulative = durations.array().cumsum()
    buckets = [(f"{latency.EDGES[i]:.6g}", float(cumulative[i])) for i in _BUCKETS]
    return [*buckets, ("+Inf", float(cumulative[-1]))], durations.total


def registry(collector: Collector) -> CollectorRegistry:
    own = CollectorRegistry()
    own.register(collector)
    own.register(GC_COLLECTOR)
    ProcessCollector(registry=own)
    return own
