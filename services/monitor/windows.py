"""Windows of time as whole buckets: minutes for up to three hours, hours beyond.

A window reaches back at least as far as asked, to the start of its first bucket; its end is now.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MINUTE, HOUR, DAY = 60, 3600, 86_400
MINUTES_KEPT = 3 * HOUR
"""Longer windows are read from hours: a week of minutes would be ten thousand hashes per version."""

_UNITS = {"": 1, "s": 1, "m": MINUTE, "h": HOUR, "d": DAY}
_LENGTH = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(s|m|h|d|)", re.ASCII)


class InvalidWindow(ValueError):
    """The text is no length of time, or one that is not kept."""


@dataclass(frozen=True)
class Window:
    """The buckets `first` to `last` (Unix time // `span`), both included; the last one is still filling."""

    span: int
    first: int
    last: int
    now: float

    @property
    def start(self) -> float:
        return float(self.first * self.span)

    @property
    def seconds(self) -> float:
        """How long it really is: what a rate is divided by."""
        return max(self.now - self.start, 1.0)

    @property
    def numbers(self) -> range:
        return range(self.first, self.last + 1)


def parse_length(text: str, longest: float) -> float:
    """Read `90`, `90s`, `5m`, `1.5h` or `7d` as seconds.

    Raises:
        InvalidWindow: it is none of these, zero, or over `longest` seconds.
    """
    match = _LENGTH.fullmatch(text.strip())
    if match is None:
        raise InvalidWindow(f"{text[:50]!r} is no length of time; write 5m, 1h, 24h or a number of seconds")
    seconds = float(match[1]) * _UNITS[match[2]]
    if not 0 < seconds <= longest:
        raise InvalidWindow(f"{text!r} is not between 1 second and {longest / DAY:g} days, the time that is kept")
    return seconds


def last_seconds(seconds: float, now: float) -> Window:
    """Return the window that covers the last `seconds`."""
    span = MINUTE if seconds <= MINUTES_KEPT else HOUR
    return Window(span, math.floor((now - seconds) / span), math.floor(now / span), now)


def at_most(seconds: float, now: float) -> Window:
    """Return the whole buckets, and the current one, that fit into the last `seconds`."""
    span = MINUTE if seconds <= MINUTES_KEPT else HOUR
    last = math.floor(now / span)
    return Window(span, min(last, math.ceil((now - seconds) / span)), last, now)


def longest_of(seconds: float, reaching: float, now: float) -> Window:
    """Return the window that fits into the last `seconds`, or if that is shorter, the one that covers `reaching`."""
    fitting = at_most(seconds, now)
    if now - fitting.start >= reaching:
        return fitting
    return last_seconds(reaching, now)


def newest(longest: Window, rows: Mapping[int, int], wanted: int, reaching: float = 0.0) -> Window:
    """Return the fewest newest buckets of a window that hold at least `wanted` rows; all of them if they do not.

    Args:
        rows: rows per bucket number; absent is 0.
        reaching: seconds that it looks back at least.
    """
    found = 0
    for number in reversed(longest.numbers):
        found += rows.get(number, 0)
        if found >= wanted and longest.now - number * longest.span >= reaching:
            return Window(longest.span, number, longest.last, longest.now)
    return longest


def lifetimes(keep_days: int) -> Mapping[int, int]:
    """Return how many seconds after its start a bucket of each span is kept."""
    return {MINUTE: MINUTES_KEPT + 10 * MINUTE, HOUR: keep_days * DAY + 2 * HOUR}


def clamped(times: Iterable[float], now: float, keep_days: int) -> list[float]:
    """Return the times with those from the future, too old or not finite moved to the nearest that can be kept."""
    oldest = now - keep_days * DAY
    return [min(max(t, oldest), now) if math.isfinite(t) else now for t in times]
