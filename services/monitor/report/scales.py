"""From values to coordinates, and where an axis has its ticks. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Linear:
    """Maps `low` … `high` to `start` … `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        width = self.high - self.low
        share = (value - self.low) / width if width else 0.5
        return self.start + share * (self.end - self.start)


@dataclass(frozen=True)
class Logarithmic:
    """As Linear, of values above 0."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return Linear(math.log(self.low), math.log(self.high), self.start, self.end).at(math.log(value))


def decades(values: Iterable[float]) -> tuple[float, float]:
    """Return the powers of ten around values above 0; a decade at least."""
    found = list(values)
    low, high = math.floor(math.log10(min(found))), math.ceil(math.log10(max(found)))
    return 10.0**low, 10.0 ** max(high, low + 1)


def powers(low: float, high: float) -> list[float]:
    """Return the powers of ten from `low` to `high`, both powers themselves."""
    first, last = round(math.log10(low)), round(math.log10(high))
    return [10.0**exponent for exponent in range(first, last + 1)]


def apart(places: list[float], least: float, low: float, high: float) -> list[float]:
    """Move places, in their order, until they are `least` apart; between low and high, if there is room."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    floor = low
    for i in order:
        moved[i] = floor = max(moved[i], floor)
        floor += least
    ceiling = high
    for i in reversed(order):
        moved[i] = ceiling = min(moved[i], ceiling)
        ceiling -= least
    return moved
