"""Quality in Redis: sums of errors per version, by the hour and the day of the prediction."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from redis.asyncio import Redis

from services.monitor.buckets import Target
from services.monitor.layout import total
from services.monitor.quality import COUNTERS, Quality
from services.monitor.windows import DAY, HOUR, Window
from shared.keys import Keys
from shared.profile import Summary, merge

_PLACES: Final = {name: place for place, name in enumerate(COUNTERS)}


@dataclass(frozen=True)
class Labelled:
    """The predictions of a window whose actual value is known."""

    window: float | None
    """Seconds; null since ever."""
    since: datetime | None
    quality: Quality


class Scorecard:
    """Sums of one tenant.

    Args:
        hours_days: days that hours are kept; longer windows are read from days.
        days: days that days are kept.
    """

    def __init__(self, redis: Redis, keys: Keys, hours_days: int, days: int) -> None:
        self._redis = redis
        self._keys = keys
        self._lifetimes = {HOUR: hours_days * DAY + 2 * HOUR, DAY: days * DAY + 2 * DAY}
        self._hours = float(hours_days * DAY)
        self.longest = float(days * DAY)

    def targets(self, model: str, version: str, hours: Mapping[int, Summary]) -> list[Target]:
        """Return what to add to which buckets.

        Args:
            hours: sums by the hour of the prediction (Unix time // 3600).
        """
        found: list[Target] = []
        for span in (HOUR, DAY):
            numbers: dict[int, list[Summary]] = {}
            for hour, summary in hours.items():
                numbers.setdefault(hour * HOUR // span, []).append(summary)
            for number, summaries in numbers.items():
                name = self._keys.quality(model, version, span, number)
                found.append((_packed(merge(summaries)), [(name, number * span + self._lifetimes[span])]))
        return [*found, (_packed(merge(hours.values())), [(self._keys.quality_totals(model, version), 0)])]

    async def read(
        self, model: str, version: str, of_sums: Callable[[Summary], Quality], windows: Sequence[float], now: float
    ) -> list[Labelled]:
        """Return the figures of each window, and then of all that was ever labelled.

        Args:
            of_sums: the version's.
        """
        spans = [self.window(seconds, now) for seconds in windows]
        names = {(w.span, n): self._keys.quality(model, version, w.span, n) for w in spans for n in w.numbers}
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in (*names.values(), self._keys.quality_totals(model, version)):
                pipe.execute_command("GET", name, NEVER_DECODE=True)
            *strings, ever = await pipe.execute()
        found = dict(zip(names, strings, strict=True))
        sums = [total([found[w.span, n] for n in w.numbers]) for w in spans]
        labelled = [
            Labelled(w.seconds, datetime.fromtimestamp(w.start, UTC), of_sums(_named(s)))
            for w, s in zip(spans, sums, strict=True)
        ]
        return [*labelled, Labelled(None, None, of_sums(_named(total([ever]))))]

    def window(self, seconds: float, now: float) -> Window:
        """Return the hours, or days if there are none for so long, that cover the last `seconds`."""
        span = HOUR if seconds <= self._hours else DAY
        return Window(span, math.floor((now - seconds) / span), math.floor(now / span), now)


def _packed(summary: Summary) -> tuple[tuple[int, int], ...]:
    return tuple((_PLACES[name], count) for name, count in summary.items() if count)


def _named(values: np.ndarray) -> Summary:
    return dict(zip(COUNTERS, values.tolist(), strict=False))
