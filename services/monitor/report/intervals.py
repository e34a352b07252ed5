"""The live error of each version with its confidence interval, beside that of its training. Pure."""

from typing import Final

from markupsafe import Markup

from services.monitor.report.data import Banded, VersionQuality
from services.monitor.report.scales import Linear
from services.monitor.report.svg import fitting, line, picture, tag, text
from services.monitor.report.words import number, short

WIDTH: Final = 360.0

_LEFT, _RIGHT = 92.0, 330.0
_ROW, _TOP = 20.0, 22.0


def errors(found: VersionQuality) -> Markup:
    """Draw the root mean squared error by window; nothing without feedback."""
    rows = [(window, scores.n, scores.rmse) for window, scores in found.scores.items() if scores.rmse is not None]
    if not rows:
        return Markup("")
    trained = found.training["rmse"]
    ends = [end for _, _, rmse in rows for end in (rmse.value, rmse.high) if end is not None]
    x = Linear(0.0, max([*ends, trained]) or 1.0, _LEFT, _RIGHT)
    bottom = _TOP + len(rows) * _ROW
    parts = [line((_LEFT, bottom), (_RIGHT, bottom), "axis")]
    parts += [text(x.at(at), bottom + 13, number(at), anchor="middle") for at in (0.0, x.high / 2, x.high)]
    parts.append(line((x.at(trained), _TOP - 6), (x.at(trained), bottom), "trained"))
    anchor = "end" if x.at(trained) > (_LEFT + _RIGHT) / 2 else "start"
    parts.append(text(x.at(trained), _TOP - 10, f"training {number(trained)}", anchor=anchor))
    for i, (window, n, rmse) in enumerate(rows):
        parts += _row(window, n, rmse, _TOP + i * _ROW + _ROW / 2, x)
    said = "; ".join(f"{window}: {_interval(rmse)} in {n} rows" for window, n, rmse in rows)
    return picture(
        WIDTH, bottom + 18, f"RMSE of version {short(found.version)}; training {number(trained)}; {said}", *parts
    )


def _row(window: str, n: int, rmse: Banded, y: float, x: Linear) -> list[Markup]:
    parts = [text(_LEFT - 8, y + 4, fitting(f"{window} ({n:,})", _LEFT - 8), anchor="end")]
    if rmse.low is not None and rmse.high is not None:
        parts.append(line((x.at(rmse.low), y), (x.at(rmse.high), y), "whisker"))
        parts += [line((x.at(end), y - 4), (x.at(end), y + 4), "whisker") for end in (rmse.low, rmse.high)]
    hint = tag("title", _interval(rmse))
    return [*parts, tag("circle", hint, cx=x.at(rmse.value), cy=y, r=4.0, class_="point")]


def _interval(found: Banded) -> str:
    if found.low is None or found.high is None:
        return number(found.value)
    return f"{number(found.value)} ({number(found.low)} to {number(found.high)})"
