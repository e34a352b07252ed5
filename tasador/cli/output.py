"""How commands speak: tables for people, JSON for programs, exit codes for scripts."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 1000


class Exit(IntEnum):
    """What a script can tell from the exit code."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    """Done, but some rows failed."""
    NOT_FOUND = 4
    DRIFTED = 5
    """Done, and something has drifted."""


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("-o", "--output", help="How to print the answer.")]


def out() -> Console:
    """Answers; honours NO_COLOR. A pipe is as wide as it takes: who reads it wants one line a thing."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def err() -> Console:
    """Everything that is no answer: progress, errors."""
    return Console(stderr=True, highlight=False)


def fail(message: str, code: Exit = Exit.FAILED) -> NoReturn:
    """End the command with a message that says what to do."""
    err().print(Text.assemble(("error: ", "red"), message), soft_wrap=True)
    raise typer.Exit(code)


def outage(why: Exception) -> str:
    """Return what to say while nobody answers."""
    return f"{why}; waiting up to a minute for it to come back"


def print_json(value: Any) -> None:
    """Print plain JSON, never wrapped or coloured: the reader is a program."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_fields(fields: Mapping[str, Any]) -> None:
    """Print one thing, a field a line."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        out().print(Text.assemble((f"{name:<{width}}  ", "bold"), _cell(value)), soft_wrap=True)


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], empty: str) -> None:
    """Print many things, one a line."""
    if not rows:
        err().print(empty)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(column))) for column in columns))
    out().print(table)


@contextmanager
def one_line(*expected: type[Exception], code: Exit = Exit.FAILED) -> Iterator[None]:
    """Turn errors that a user can act on into a message without a traceback."""
    try:
        yield
    except expected as error:
        fail(str(error), code)


def _cell(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
