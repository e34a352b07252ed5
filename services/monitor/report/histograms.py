"""The reference, filled, and the current rows, as a line, over one axis. Pure.

Bars beside the picture, and of categories, have an axis of their own, from nothing to all rows: there a share can be
read, and one that is large does not flatten the others.
"""

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from services.monitor.report.data import Bar, Column, Histogram
from services.monitor.report.scales import Linear
from services.monitor.report.svg import Point, fitting, line, path, picture, rect, text
from services.monitor.report.words import number, percent, short

WIDTH: Final = 340.0
HEIGHT: Final = 132.0

_TOP, _BOTTOM = 10.0, 104.0
_ASIDE = 46.0  # width of a bar beside the picture, with what is around it
_ROW = 16.0


def distribution(column: Column) -> Markup:
    """Draw a column; what there is no reference for is said in words."""
    if column.categories:
        return _of_categories(column)
    if column.histogram is None and not column.asides:
        return Markup("")
    parts: list[Markup] = []
    left, right = 4.0, WIDTH - 4.0
    asides = {bar.name: bar for bar in column.asides}
    if below := asides.pop("below", None):
        parts += _aside(below, left)
        left += _ASIDE
    for bar in reversed(asides.values()):
        right -= _ASIDE
        parts += _aside(bar, right)
    if column.histogram is not None:
        parts += _histogram(column.histogram, left + 4, right - 4, live=column.rows > 0)
    return picture(WIDTH, HEIGHT, _said(column), *parts)


def outline(shares: Sequence[float], x: Linear, y: Linear) -> list[Point]:
    """Return the steps of a histogram, from the axis and back to it."""
    points: list[Point] = [(x.at(0), y.at(0))]
    for i, share in enumerate(shares):
        points += [(x.at(i), y.at(share)), (x.at(i + 1), y.at(share))]
    return [*points, (x.at(len(shares)), y.at(0))]


def _histogram(found: Histogram, left: float, right: float, *, live: bool) -> list[Markup]:
    most = max((*found.reference, *found.current)) or 1.0
    x, y = Linear(0, len(found.reference), left, right), Linear(0, most, _BOTTOM, _TOP)
    values = Linear(found.low, found.high, left, right)
    parts = [path(outline(found.reference, x, y), "reference")]
    if live:
        parts.append(path(outline(found.current, x, y), "current"))
    parts.append(line((left, _BOTTOM), (right, _BOTTOM), "axis"))
    for mean, kind in ((found.reference_mean, "reference-mean"), (found.current_mean, "current-mean")):
        if mean is not None and found.low <= mean <= found.high:
            parts.append(line((values.at(mean), _BOTTOM - 1), (values.at(mean), _BOTTOM + 7), kind))
    middle = (found.low + found.high) / 2
    ticks = ((left, found.low, "start"), ((left + right) / 2, middle, "middle"), (right, found.high, "end"))
    return parts + [text(at, HEIGHT - 8, number(value), anchor=anchor) for at, value, anchor in ticks]


def _aside(bar: Bar, left: float) -> list[Markup]:
    y = Linear(0, 1, _BOTTOM, _TOP + 12)
    middle = left + _ASIDE / 2
    top = min(y.at(bar.current), y.at(bar.reference))
    return [
        rect((middle - 11, y.at(1)), 22, _BOTTOM - y.at(1), "room", _compared(bar)),
        rect((middle - 11, y.at(bar.reference)), 11, _BOTTOM - y.at(bar.reference), "reference"),
        rect((middle, y.at(bar.current)), 11, _BOTTOM - y.at(bar.current), "current-bar"),
        line((middle - 14, _BOTTOM), (middle + 14, _BOTTOM), "axis"),
        text(middle, max(top - 3, _TOP + 4), percent(bar.current), anchor="middle", class_="value"),
        text(middle, HEIGHT - 8, bar.name, anchor="middle"),
    ]


def _of_categories(column: Column) -> Markup:
    bars = (*column.categories, *column.asides)
    names, left = 104.0, 110.0
    x = Linear(0, max(max(bar.reference, bar.current) for bar in bars) or 1.0, left, WIDTH - 48)
    parts: list[Markup] = []
    for i, bar in enumerate(bars):
        top = 4 + i * _ROW
        special = "label special" if bar in column.asides else "label"
        parts += [
            text(names, top + 10, fitting(bar.name, names), anchor="end", class_=special),
            rect((left, top + 1), x.at(bar.reference) - left, 6, "reference", _compared(bar)),
            rect((left, top + 7), x.at(bar.current) - left, 6, "current-bar", _compared(bar)),
            text(x.at(max(bar.reference, bar.current)) + 4, top + 11, percent(bar.current), class_="value"),
        ]
    height = 8 + len(bars) * _ROW
    return picture(WIDTH, height, _said(column), *parts, line((left, 3), (left, height - 4), "axis"))


def _compared(bar: Bar) -> str:
    said = f"{short(bar.name)}: {percent(bar.reference)} in the reference, {percent(bar.current)} now"
    return f"{said}, {bar.note}" if bar.note else said


def _said(column: Column) -> str:
    about = [f"Distribution of {short(column.name)} in {column.rows} rows against the reference"]
    about += [f"{name} {value}" for name, value in column.facts]
    return "; ".join(about + [_compared(bar) for bar in (*column.categories, *column.asides)])
