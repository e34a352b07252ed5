"""What this process has counted since it started; read by `/metrics` and `/health`.

Plain counters, because they are on the path of every request: one costs about 0.3 µs, a labelled one of
prometheus_client ten times that. Predictions are counted many at a time. Only the event loop's thread touches them.
"""

import math
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shared import latency

Mode = Literal["single", "batch"]

_EDGES: list[float] = latency.EDGES.tolist()


class Durations:
    """Durations in the bins of `shared.latency`."""

    def __init__(self) -> None:
        self.counts = [0] * latency.BINS
        self.total = 0.0
        """Sum, in seconds."""

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(_EDGES, seconds)] += 1
        self.total += seconds

    def add_all(self, seconds: NDArray[np.float64]) -> None:
        for place, count in zip(*np.unique(latency.bins(seconds), return_counts=True), strict=True):
            self.counts[place] += int(count)
        self.total += float(seconds.sum())

    @property
    def n(self) -> int:
        return sum(self.counts)

    def array(self) -> NDArray[np.int64]:
        return np.array(self.counts, np.int64)


class Moments:
    """Mean and standard deviation of a stream of numbers, merged by Chan's formula."""

    def __init__(self, n: int = 0, mean: float = 0.0, squares: float = 0.0) -> None:
        self.n = n
        self.mean = mean
        self._squares = squares  # sum of squared differences from the mean

    def add(self, value: float) -> None:
        self.n += 1
        difference = value - self.mean
        self.mean += difference / self.n
        self._squares += difference * (value - self.mean)

    def add_all(self, values: NDArray[np.float64]) -> None:
        """Add at least one."""
        mean = float(values.mean())
        self.merge(len(values), mean, float(((values - mean) ** 2).sum()))

    def merge(self, n: int, mean: float, squares: float) -> None:
        """Add what others are made of."""
        if n:
            difference, total = mean - self.mean, self.n + n
            self._squares += squares + difference * difference * self.n * n / total
            self.mean += difference * n / total
            self.n = total

    @property
    def parts(self) -> tuple[int, float, float]:
        """Number, mean, and squared differences from it."""
        return self.n, self.mean, self._squares

    @property
    def std(self) -> float:
        """Sample standard deviation (n - 1); 0 for fewer than two."""
        return math.sqrt(self._squares / (self.n - 1)) if self.n > 1 else 0.0


class Predictions:
    """What was answered, in figures."""

    def __init__(self) -> None:
        self.rows: Counter[tuple[Mode, str]] = Counter()
        """By mode and version."""
        self.inference: dict[Mode, Durations] = {"single": Durations(), "batch": Durations()}
        """Engine time per row; a batch's is divided by its rows."""
        self.answers = Moments()

    def add(self, mode: Mode, version: str, seconds: float, prediction: float) -> None:
        self.rows[mode, version] += 1
        self.inference[mode].add(seconds)
        self.answers.add(prediction)

    def add_rows(
        self, mode: Mode, version: str, seconds: NDArray[np.float64], predictions: NDArray[np.float64]
    ) -> None:
        """Count many; both of shape (n,)."""
        if len(predictions):
            self.rows[mode, version] += len(predictions)
            self.inference[mode].add_all(seconds)
            self.answers.add_all(predictions)

    @property
    def total(self) -> int:
        return self.rows.total()


class Tally:
    """Of requests, whatever they ask."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.in_flight = 0
        self.waiting = 0
        """Of those in flight, long polls and event streams."""
        self.requests: Counter[tuple[str, str, int]] = Counter()
        """By route, method and status."""
        self.request_seconds: defaultdict[str, Durations] = defaultdict(Durations)
        """By route."""
        self.feedback_rows = 0
        """Actual values accepted."""

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        self.requests[route, method, status] += 1
        self.request_seconds[route].add(seconds)

    @property
    def uptime_hours(self) -> float:
        return (time.monotonic() - self._started) / 3600
