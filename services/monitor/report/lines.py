"""Latency percentiles and throughput of a mode over time. Pure."""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

from markupsafe import Markup

from services.monitor.report.data import History, ModeHistory
from services.monitor.report.scales import Linear, Logarithmic, apart, decades, powers
from services.monitor.report.svg import Point, line, path, picture, rect, tag, text
from services.monitor.report.words import clock, number, seconds
from services.monitor.stats import Latency

WIDTH: Final = 360.0
HEIGHT: Final = 258.0

_LEFT, _RIGHT = 48.0, 326.0  # behind it, the lines say which they are
_TOP, _MIDDLE = 26.0, 138.0
_FLOOR, _BOTTOM = 176.0, 236.0

_QUANTILES: Final[Sequence[tuple[str, Callable[[Latency], float | None]]]] = (
    ("p50", lambda found: found.p50),
    ("p95", lambda found: found.p95),
    ("p99", lambda found: found.p99),
)


def history(found: ModeHistory, when: History) -> Markup:
    """Draw one mode; in steps without a prediction there is no line."""
    x = Linear(when.starts[0].timestamp(), when.until.timestamp(), _LEFT, _RIGHT)
    starts = [start.timestamp() for start in when.starts]
    ends = [*starts[1:], when.until.timestamp()]
    middles = [x.at((a + b) / 2) for a, b in zip(starts, ends, strict=True)]
    parts = [*_latency(found, middles), *_throughput(found, [x.at(t) for t in starts], [x.at(t) for t in ends])]
    last = next((each for each in reversed(found.latency) if each.p50 is not None), None)
    said = f"Engine time and predictions per second over time, mode {found.mode}, {found.rows} rows"
    if last is not None:
        said += "; last " + ", ".join(f"{name} {seconds(of(last))}" for name, of in _QUANTILES)
    return picture(WIDTH, HEIGHT, said, *parts, *time_axis(when, x, HEIGHT - 6))


def runs(values: Sequence[float | None]) -> list[list[int]]:
    """Return the places of values that are there, in pieces without a gap."""
    pieces = groupby(range(len(values)), key=lambda i: values[i] is not None)
    return [list(places) for there, places in pieces if there]


def time_axis(when: History, x: Linear, at: float) -> list[Markup]:
    first, last = when.starts[0], when.until
    middle = first + (last - first) / 2
    ticks: list[tuple[datetime, str]] = [(first, "start"), (middle, "middle"), (last, "end")]
    return [text(x.at(t.timestamp()), at, clock(t, with_day=when.over_night), anchor=anchor) for t, anchor in ticks]


def _latency(found: ModeHistory, middles: Sequence[float]) -> list[Markup]:
    lines = [(name, [of(each) for each in found.latency]) for name, of in _QUANTILES]
    known = [value for _, values in lines for value in values if value is not None]
    if not known:
        return []
    y = Logarithmic(*decades(known), _MIDDLE, _TOP)
    parts = [text(2, _TOP - 14, "engine time", class_="label")]
    for tick in powers(y.low, y.high):
        parts.append(line((_LEFT, y.at(tick)), (_RIGHT, y.at(tick)), "grid"))
        parts.append(text(_LEFT - 5, y.at(tick) + 4, seconds(tick), anchor="end"))
    for name, values in lines:
        for run in runs(values):
            points: list[Point] = [(middles[i], y.at(values[i] or y.low)) for i in run]
            parts.append(path(points, f"series {name}") if len(points) > 1 else _dot(points[0], name))
    return [*parts, *_names([(name, values, y) for name, values in lines], middles)]


def _names(lines: Sequence[tuple[str, list[float | None], Logarithmic]], middles: Sequence[float]) -> list[Markup]:
    """Each line's name, where it ends; names do not cover each other."""
    last = max(run[-1] for _, values, _ in lines for run in runs(values))
    ends = [(name, y.at(value) + 4) for name, values, y in lines if (value := values[last]) is not None]
    places = apart([at for _, at in ends], 11.0, _TOP + 4, _MIDDLE + 4)
    return [
        text(middles[last] + 5, at, name, class_=f"label {name}") for (name, _), at in zip(ends, places, strict=True)
    ]


def _throughput(found: ModeHistory, starts: Sequence[float], ends: Sequence[float]) -> list[Markup]:
    most = max(found.throughput, default=0.0)
    y = Linear(0, most or 1.0, _BOTTOM, _FLOOR)
    parts = [
        text(2, _FLOOR - 12, "rows per second", class_="label"),
        line((_LEFT, _BOTTOM), (_RIGHT, _BOTTOM), "axis"),
        text(_LEFT - 5, _BOTTOM + 1, "0", anchor="end"),
        text(_LEFT - 5, _FLOOR + 6, number(most), anchor="end"),
    ]
    for start, end, rate in zip(starts, ends, found.throughput, strict=True):
        if rate > 0:
            top = min(y.at(rate), _BOTTOM - 1)
            parts.append(
                rect((start + 0.3, top), max(end - start - 0.6, 0.8), _BOTTOM - top, "bar", f"{number(rate)}/s")
            )
    return parts


def _dot(at: Point, name: str) -> Markup:
    return tag("circle", cx=at[0], cy=at[1], r=2.2, class_=f"dot {name}")
