"""What this process has counted since it started; read by `/metrics` and `/health`.

Plain counters, because they are on the path of every prediction: one costs about 0.3 µs, a labelled one of
prometheus_client ten times that. Only the event loop's thread touches them.
"""

import math
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
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

    def add(self, seconds: float, times: int = 1) -> None:
        self.counts[bisect_left(_EDGES, seconds)] += times
        self.total += seconds * times

    @property
    def n(self) -> int:
        return sum(self.counts)

    def array(self) -> NDArray[np.int64]:
        return np.array(self.counts, np.int64)


class Moments:
    """Mean and standard deviation of a stream of numbers, merged by Chan's formula."""

    def __init__(self) -> None:
        self.n = 0
        self.mean = 0.0
        self._squares = 0.0  # sum of squared differences from the mean

    def add(self, value: float) -> None:
        self.n += 1
        difference = value - self.mean
        self.mean += difference / self.n
        self._squares += difference * (value - self.mean)

    def add_all(self, values: Sequence[float]) -> None:
        if not values:
            return
        array = np.asarray(values)
        n, mean = len(array), float(array.mean())
        difference, total = mean - self.mean, self.n + n
        self._squares += float(((array - mean) ** 2).sum()) + difference * difference * self.n * n / total
        self.mean += difference * n / total
        self.n = total

    @property
    def std(self) -> float:
        """Sample standard deviation (n - 1); 0 for fewer than two."""
        return math.sqrt(self._squares / (self.n - 1)) if self.n > 1 else 0.0


class Tally:
    def __init__(self) -> None:
        self._started = time.monotonic()
        self.in_flight = 0
        self.waiting = 0
        """Of those in flight, long polls and event streams."""
        self.requests: Counter[tuple[str, str, int]] = Counter()
        """By route, method and status."""
        self.request_seconds: defaultdict[str, Durations] = defaultdict(Durations)
        """By route."""
        self.predictions: Counter[tuple[Mode, str]] = Counter()
        """Rows answered, by mode and version."""
        self.inference: dict[Mode, Durations] = {"single": Durations(), "batch": Durations()}
        """Engine time per row; a batch's is divided by its rows."""
        self.answers = Moments()

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        self.requests[route, method, status] += 1
        self.request_seconds[route].add(seconds)

    def single(self, version: str, seconds: float, prediction: float) -> None:
        self.predictions["single", version] += 1
        self.inference["single"].add(seconds)
        self.answers.add(prediction)

    def batch(self, version: str, seconds: float, predictions: Sequence[float]) -> None:
        """Count the rows of a batch that were scored; `seconds` is for all of them."""
        if predictions:
            self.predictions["batch", version] += len(predictions)
            self.inference["batch"].add(seconds / len(predictions), len(predictions))
            self.answers.add_all(predictions)

    @property
    def total_predictions(self) -> int:
        return self.predictions.total()

    @property
    def uptime_hours(self) -> float:
        return (time.monotonic() - self._started) / 3600
