"""Tables as data: what a section measured, to be kept, and shown in a terminal or on a page."""

import statistics
from collections.abc import Sequence

import msgspec
from rich import table as rich


class Figure(msgspec.Struct, frozen=True):
    """What several rounds gave."""

    median: float
    low: float
    high: float


Cell = str | float | Figure | None
"""Nothing: it was not measured here."""


class Column(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    unit: str = ""
    digits: int = 0
    spread: bool = False
    """Show the least and the most beside the median."""

    @property
    def heading(self) -> str:
        return f"{self.name} {self.unit}".rstrip()

    def show(self, cell: Cell) -> str:
        if cell is None or isinstance(cell, str):
            return cell or ""
        if not isinstance(cell, Figure):
            return f"{cell:,.{self.digits}f}"
        median, low, high = (f"{value:,.{self.digits}f}" for value in (cell.median, cell.low, cell.high))
        return f"{median} ({low}–{high})" if self.spread and low != high else median


class Table(msgspec.Struct, frozen=True):
    name: str
    """By which a page quotes it; unique in its section."""
    title: str
    columns: list[Column]
    rows: list[list[Cell]]
    notes: list[str] = []

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.name}: {len(row)} cells for {len(self.columns)} columns: {row}")

    def shown(self) -> list[list[str]]:
        return [[column.show(cell) for column, cell in zip(self.columns, row, strict=True)] for row in self.rows]


def figure(values: Sequence[float]) -> Figure | None:
    """Return the median of rounds, and how far they lie apart; None of none."""
    return Figure(statistics.median(values), min(values), max(values)) if values else None


def in_terminal(table: Table) -> rich.Table:
    shown = rich.Table(title=table.title, title_justify="left", caption="\n".join(table.notes), caption_justify="left")
    for number, column in enumerate(table.columns):
        shown.add_column(column.heading, justify="right" if number else "left")
    for row in table.shown():
        shown.add_row(*row)
    return shown


def in_markdown(table: Table) -> str:
    lines = [[column.heading for column in table.columns], ["---:" if n else "---" for n in range(len(table.columns))]]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in [*lines, *table.shown()])
    return "\n\n".join([f"**{table.title}**", rows, *("- " + "\n- ".join(table.notes) for _ in table.notes[:1])])
