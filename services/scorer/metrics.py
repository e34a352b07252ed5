"""What a scorer counts, and how it is, each figure declared once."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.follower import ModelFollower
from shared.metrics import model_metrics
from shared.replica import Replica

PREFIX = "tasador_scorer"

_RATE_SECONDS = 10.0
_BUSY_CHUNKS = 20  # whose speed counts, however long ago they were scored
_BUSY_SECONDS = 1.0  # of work that says something: a single chunk may be a handful of rows, and the first one is slow


class Metrics:
    """Figures of one scorer, and its speed over the last ten seconds."""

    def __init__(self, registry: CollectorRegistry) -> None:
        ProcessCollector(registry=registry)
        self.registry = registry
        self.chunks = Counter(
            f"{PREFIX}_chunks",
            "Entries by what became of them: ok, duplicate, lost, gone, given_up, released, failed, expired, "
            "passed (a heartbeat) or error.",
            ["outcome"],
            registry=registry,
        )
        self.rows = Counter(f"{PREFIX}_rows", "Rows committed: value or error.", ["outcome"], registry=registry)
        self.seconds = Histogram(
            f"{PREFIX}_chunk_seconds",
            "From taking a chunk to its commit.",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=registry,
        )
        self.engine_seconds = Counter(f"{PREFIX}_engine_seconds", "Time in the engine.", registry=registry)
        self.reclaimed = Counter(f"{PREFIX}_reclaimed", "Entries taken over from a silent scorer.", registry=registry)
        self.isolated = Counter(
            f"{PREFIX}_isolated_chunks", "Chunks scored in the disposable process.", registry=registry
        )
        self.condemned = Counter(
            f"{PREFIX}_condemned_rows", "Rows found there that the engine cannot take.", registry=registry
        )
        self.dropped = Counter(
            f"{PREFIX}_event_rows_dropped",
            "Rows whose chunk.scored event was dropped to keep Redis's memory bounded.",
            registry=registry,
        )
        self.jobs = Counter(f"{PREFIX}_jobs", "Jobs ended by this scorer, by state.", ["state"], registry=registry)
        self.healed = Counter(f"{PREFIX}_healed", "Times the watchdog restarted the subscriber.", registry=registry)
        self.mended = Counter(f"{PREFIX}_mended", "What the janitor put right, by kind.", ["kind"], registry=registry)
        self.removed = Counter(
            f"{PREFIX}_removed",
            "What the janitor removed from the store: jobs, parts and input that no record refers to, leftovers.",
            ["kind"],
            registry=registry,
        )
        self.in_flight = Gauge(f"{PREFIX}_in_flight", "Entries held now.", registry=registry)
        self.leader = Gauge(f"{PREFIX}_janitor", "1 while this scorer is the janitor.", registry=registry)
        # From the start: a counter that appears with its first increase has none that `increase` could see.
        for outcome in ("failed", "given_up", "error"):
            self.chunks.labels(outcome)
        for outcome in ("value", "error"):
            self.rows.labels(outcome)
        for state in ("completed", "failed", "expired"):
            self.jobs.labels(state)
        self._recent: deque[tuple[float, int]] = deque()
        self._busy: deque[tuple[float, int]] = deque(maxlen=_BUSY_CHUNKS)
        self._held = 0

    def show(self, replica: Replica, follower: ModelFollower, ready: Callable[[], bool]) -> None:
        """Show how this scorer is, too."""
        self.registry.register(_Condition(replica, follower, ready))

    @contextmanager
    def holding(self) -> Iterator[None]:
        self.in_flight.inc()
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self.in_flight.dec()

    def committed(self, rows: int, failed: int, dropped: int, *, engine: float, took: float) -> None:
        self.rows.labels("value").inc(rows - failed)
        self.rows.labels("error").inc(failed)
        self.dropped.inc(dropped)
        self.engine_seconds.inc(engine)
        self.seconds.observe(took)
        self._recent.append((time.monotonic(), rows))
        self._busy.append((took, rows))

    def speed(self) -> dict[str, float]:
        """Return what the replica announces: entries in flight, and rows per second.

        `rows_per_second` of late, which is little where little was to be done; `capacity` while there was work,
        0 as long as there was too little to tell.
        """
        horizon = time.monotonic() - _RATE_SECONDS
        while self._recent and self._recent[0][0] < horizon:
            self._recent.popleft()
        rows = sum(rows for _, rows in self._recent)
        took, scored = sum(took for took, _ in self._busy), sum(rows for _, rows in self._busy)
        capacity = scored / took if took >= _BUSY_SECONDS else 0.0
        return {
            "in_flight": self._held,
            "rows_per_second": round(rows / _RATE_SECONDS, 1),
            "capacity": round(capacity, 1),
        }


class _Condition(Collector):
    def __init__(self, replica: Replica, follower: ModelFollower, ready: Callable[[], bool]) -> None:
        self._replica = replica
        self._follower = follower
        self._ready = ready

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(f"{PREFIX}_ready", "1 if it reads chunks and has a model.", self._ready())
        yield GaugeMetricFamily(f"{PREFIX}_redis_up", "1 if Redis took the last announcement.", self._replica.redis_up)
        yield from model_metrics(PREFIX, self._follower.current)
