"""`drift`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tasador.cli.connect import MonitorUrlOption, monitoring
from tasador.cli.output import Exit, Format, FormatOption, err, print_json, print_rows
from tasador.client import Drift
from tasador.client.answers import ColumnDrift

PREDICTION = "prediction"
_CELLS = 16  # of a bar
_EIGHTHS = " ▏▎▍▌▋▊▉"
_STATES = ("drifted", "suspect", "clear")
_LONGEST = 40  # characters of a name


def add_to(root: typer.Typer) -> None:
    root.command()(drift)


def drift(
    window: Annotated[
        str | None,
        typer.Option("--window", help="How far to look back: 5m, 1h, 24h, 7d; default: as far as for enough rows."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Save everything there is to see as a page, HTML, in this file.")
    ] = None,
    output: FormatOption = Format.TABLE,
    url: MonitorUrlOption = None,
) -> None:
    """Compare what came in with what the model was trained on, the largest difference first.

    Exit code 5: something has drifted.
    """
    with monitoring(url) as monitor:
        found = monitor.drift(window=window)
        if report is not None:
            report.write_text(monitor.report(window=window), encoding="utf-8")
    if output is Format.JSON:
        print_json(found.model_dump(mode="json"))
    else:
        _show(found)
    if report is not None:
        err().print(f"The report is in {report}.", style="dim", markup=False, soft_wrap=True)
    if found.drifted:
        raise typer.Exit(Exit.DRIFTED)


def bar(share: float, cells: int = _CELLS) -> str:
    """Return a share of 1 as a bar of blocks, to an eighth of a cell."""
    whole, rest = divmod(round(min(max(share, 0.0), 1.0) * cells * 8), 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def _show(found: Drift) -> None:
    columns = [(PREDICTION, found.prediction), *found.features.items()]
    columns.sort(key=lambda each: (_STATES.index(_state(each[1])), -(each[1].effect or 0.0)))
    rows = [_row(name, column) for name, column in columns]
    print_rows(rows, ["column", "state", "effect", "", "p", "psi", "mean shift", "mean", "nulls"], "No columns.")
    when = f"{found.n:,} rows of the last {found.window / 60:.3g} minutes"
    err().print(
        f"Version {found.model_version} of {found.model_name}: {when}.",
        style="dim",
        markup=False,
        soft_wrap=True,
    )


def _row(name: str, column: ColumnDrift) -> dict[str, Any]:
    return {
        "column": name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…",
        "state": _state(column),
        "effect": _short(column.effect),
        "": bar(column.effect or 0.0),
        "p": _short(column.p_value),
        "psi": _short(column.psi),
        "mean shift": _short(column.mean_shift),
        "mean": _change(column.reference_mean, column.mean),
        "nulls": _change(column.reference_null_rate, column.null_rate) if column.null_rate else "",
    }


def _state(column: ColumnDrift) -> str:
    return _STATES[0] if column.drifted else _STATES[1] if column.suspect else _STATES[2]


def _change(before: float | None, now: float | None) -> str:
    return "" if now is None else f"{_short(before)} → {_short(now)}"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
