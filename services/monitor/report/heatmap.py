"""How far each column was from the reference, over time: a row of cells each. Pure."""

from typing import Final

from markupsafe import Markup

from services.monitor.report.data import DriftHistory, History
from services.monitor.report.lines import time_axis
from services.monitor.report.scales import Linear
from services.monitor.report.svg import fitting, picture, rect, tag, text
from services.monitor.report.words import clock, percent, short

WIDTH: Final = 760.0

_LEFT, _RIGHT = 124.0, WIDTH - 8
_ROW, _TOP = 18.0, 4.0

STEPS: Final = (0.25, 0.5, 1.0, 2.5)
"""Values between which cells have one colour; over 1 they are marked as well."""


def heatmap(found: DriftHistory, when: History) -> Markup:
    x = Linear(when.starts[0].timestamp(), when.until.timestamp(), _LEFT, _RIGHT)
    starts = [start.timestamp() for start in when.starts]
    ends = [*starts[1:], when.until.timestamp()]
    parts: list[Markup] = []
    for row, (name, values) in enumerate(found.columns):
        top = _TOP + row * _ROW
        parts.append(text(_LEFT - 8, top + 12, fitting(name, _LEFT - 8), anchor="end"))
        parts.append(rect((_LEFT, top + 1), _RIGHT - _LEFT, _ROW - 2, "gap"))
        for i, value in enumerate(values):
            if value is None:
                continue
            left, right = x.at(starts[i]), x.at(ends[i])
            hint = f"{short(name)}, {clock(when.starts[i], with_day=when.over_night)}: {percent(value)} of what matters"
            parts.append(rect((left, top + 1), right - left - 0.5, _ROW - 2, f"h{level(value)}", hint))
            if value > 1:
                parts.append(tag("circle", cx=(left + right) / 2, cy=top + _ROW / 2, r=2, class_="over"))
    height = _TOP + len(found.columns) * _ROW + 18
    over = [short(name) for name, values in found.columns if any(v is not None and v > 1 for v in values)]
    said = f"Drift over time of {len(found.columns)} columns; too far at some time: {', '.join(over) or 'none'}"
    return picture(WIDTH, height, said, *parts, *time_axis(when, x, height - 4))


def level(value: float) -> int:
    """Return which of the five colours a value has."""
    return sum(value > step for step in STEPS)
