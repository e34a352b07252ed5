"""`doctor`: is everything as it should be?"""

from dataclasses import asdict

import typer
from rich.table import Table
from rich.text import Text

from tasador.cli.output import Exit, Format, FormatOption, out, print_json
from tasador.doctor.checks import Check, Verdict

_MARKS = {Verdict.OK: ("ok", "green"), Verdict.WARNING: ("warning", "yellow"), Verdict.BAD: ("bad", "red")}


def add_to(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(output: FormatOption = Format.TABLE) -> None:
    """Check this installation; exit code 1 when something keeps the stack from running."""
    from tasador.doctor.examine import examine  # noqa: PLC0415 - slow to import

    checks = list(examine())
    if output is Format.JSON:
        print_json([asdict(check) for check in checks])
    else:
        out().print(_table(checks))
    if any(check.verdict is Verdict.BAD for check in checks):
        raise typer.Exit(Exit.FAILED)


def _table(checks: list[Check]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for check in checks:
        found = Text(check.found)
        if check.mend:
            found.append(f"\n→ {check.mend}", "bold")
        table.add_row(check.name, Text(*_MARKS[check.verdict]), found)
    return table
