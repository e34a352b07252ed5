"""Numbers, times and names as a reader wants them. Pure."""

import math
from datetime import datetime
from typing import Final

NOTHING: Final = "–"
LONGEST_NAME: Final = 40

_UNITS: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def number(value: float | None) -> str:
    """Return three digits, without an exponent where that can be read."""
    if value is None or not math.isfinite(value):
        return NOTHING
    value += 0.0  # -0.0 is 0
    size = abs(value)
    if size >= 1e6 or 0 < size < 1e-3:
        return f"{value:.2e}"
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def count(value: int) -> str:
    return f"{value:,}"


def percent(share: float | None) -> str:
    if share is None:
        return NOTHING
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{share:.1%}".replace("%", " %").replace(".0 %", " %")


def seconds(value: float | None) -> str:
    """Return a duration in the unit that fits: 41 µs, 1.2 ms, 3 s."""
    if value is None:
        return NOTHING
    scale, unit = next((each for each in _UNITS if value >= each[0]), _UNITS[-1])
    return f"{value / scale:.3g} {unit}"


def span(value: float) -> str:
    """Return a long duration: 45 s, 12 min, 3.5 h, 8 days."""
    for scale, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if value >= 2 * scale or (unit != "days" and value >= scale):
            return f"{value / scale:.2g} {unit}" if value < 100 * scale else f"{value / scale:.0f} {unit}"
    return f"{value:.0f} s"


def moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def clock(at: datetime, *, with_day: bool) -> str:
    """Return what is said below an axis."""
    return f"{at:%d %b %H:%M}" if with_day else f"{at:%H:%M}"


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """Cut a name that would break the layout."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
