"""The report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere. Pure."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from services.monitor.report import words
from services.monitor.report.data import Banded, Report
from services.monitor.report.heatmap import heatmap
from services.monitor.report.histograms import distribution
from services.monitor.report.intervals import errors
from services.monitor.report.lines import history

PICTURED: Final = 24
"""Features that have a picture, those with the largest effect; the others are in a table."""
LISTED: Final = 500
"""Rows of a table, at most."""
WINDOWS: Final = ("5m", "1h", "24h", "7d")
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What the page may load (Content-Security-Policy): nothing. It is in the page as well, for one that was saved."""


@dataclass(frozen=True)
class Tile:
    name: str
    value: str
    note: str = ""
    tone: str = ""
    """`bad` for what somebody should look at."""


def render(report: Report) -> str:
    """Return the page."""
    return _template().render(report=report, tiles=tiles(report))


def tiles(report: Report) -> list[Tile]:
    """Return what is said first, in a few words."""
    found = [_drifted(report), _latency(report), _error(report), _firing(report)]
    found.insert(0, Tile("Predictions", words.count(report.total), "since ever"))
    if report.dropped:
        found.append(Tile("Not counted", words.count(report.dropped), "predictions that no figure contains", "bad"))
    return [tile for tile in found if tile is not None]


def _drifted(report: Report) -> Tile | None:
    found = report.comparison
    if found is None:
        return None
    columns = [*found.columns, found.prediction]
    drifted = [column for column in columns if column.state == "drifted"]
    suspect = sum(column.state == "suspect" for column in columns)
    note = f"of {len(columns)} columns, in {words.count(found.rows)} rows"
    return Tile(
        "Drifted", str(len(drifted)), note + (f"; {suspect} suspect" if suspect else ""), "bad" if drifted else ""
    )


def _latency(report: Report) -> Tile | None:
    if not report.history.modes:
        return None
    busiest = max(report.history.modes, key=lambda mode: mode.rows)
    last = next((each.p99 for each in reversed(busiest.latency) if each.p99 is not None), None)
    return Tile("p99 of engine time", words.seconds(last), f"{busiest.mode}, newest")


def _error(report: Report) -> Tile | None:
    if not report.quality.versions:
        return None
    champion = report.quality.versions[0]
    known = [(window, scores.rmse) for window, scores in champion.scores.items() if scores.rmse is not None]
    if not known:
        return Tile("Live RMSE", words.NOTHING, "no feedback yet")
    window, rmse = known[0]
    trained = champion.training["rmse"]
    worse = rmse.low is not None and rmse.low > trained
    note = f"{window}; training {words.number(trained)}"
    return Tile("Live RMSE", words.number(rmse.value), note, "bad" if worse else "")


def _firing(report: Report) -> Tile:
    firing = [alert for alert in report.alerts if alert.state != "resolved"]
    seen = sum(alert.state == "acknowledged" for alert in firing)
    tone = "bad" if len(firing) > seen else ""
    return Tile("Alerts firing", str(len(firing)), f"{seen} acknowledged" if seen else "", tone)


def _banded(found: Banded | None) -> str:
    if found is None:
        return words.NOTHING
    if found.low is None or found.high is None:
        return words.number(found.value)
    return f"{words.number(found.value)} ({words.number(found.low)} to {words.number(found.high)})"


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": words.number,
        "count": words.count,
        "moment": words.moment,
        "span": words.span,
        "short": words.short,
        "banded": _banded,
    }
    environment.globals |= {
        "distribution": distribution,
        "history": history,
        "heatmap": heatmap,
        "errors": errors,
        "pictured": PICTURED,
        "listed": LISTED,
        "windows": WINDOWS,
        "policy": POLICY,
    }
    return environment.get_template("report.html")
