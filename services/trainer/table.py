"""Reads a CSV text into columns of cells, before anybody decides what the columns mean."""

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Stricter than float(), which also takes 1_000, other alphabets' digits and "nan".
_NUMBER = re.compile(r"\s*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?)\s*", re.ASCII | re.IGNORECASE)


class DataUnusable(ValueError):
    """The data cannot be trained on; the message names each problem with its column and what to do."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("the data cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))


@dataclass(frozen=True, eq=False)
class RawColumn:
    """One column as it stands in the file."""

    name: str
    cells: list[str | None]
    """The text of each cell, letter for letter; None is null."""
    numbers: NDArray[np.float64]
    """The cell's number, shape (rows,); NaN where it is null or no number; may be infinite."""

    def null(self) -> NDArray[np.bool_]:
        return np.fromiter((cell is None for cell in self.cells), np.bool_, len(self.cells))

    def words(self) -> NDArray[np.bool_]:
        """Where there is a value that is not a number."""
        mask: NDArray[np.bool_] = np.isnan(self.numbers) & ~self.null()
        return mask


@dataclass(frozen=True, eq=False)
class Table:
    columns: tuple[RawColumn, ...]
    lines: NDArray[np.int64]
    """The line of the file on which each row ends, counting from 1."""

    def __len__(self) -> int:
        return len(self.lines)


def read_table(data: bytes, null_values: Collection[str]) -> Table:
    """Parse a CSV file: UTF-8, comma separated, one header line.

    Raises:
        DataUnusable: it is not a table with one distinct name per column and as many cells in every row.
    """
    reader = csv.reader(io.StringIO(_decoded(data), newline=""), strict=True)
    try:
        names = next(reader, [])
        _check_header(names)
        cells, lines = _body(reader, names)
    except csv.Error as broken:
        raise DataUnusable([f"line {reader.line_num}: {broken}"]) from broken
    nulls = frozenset(null_values)
    columns = [raw_column(name, texts, nulls) for name, texts in zip(names, cells, strict=True)]
    return Table(tuple(columns), np.asarray(lines, np.int64))


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = data.count(b"\n", 0, wrong.start) + 1
        raise DataUnusable([f"line {line}: the file is not UTF-8 text; convert it, e.g. with iconv"]) from wrong


def _check_header(names: list[str]) -> None:
    if not names:
        raise DataUnusable(["the file is empty: it needs a header line and rows"])
    if len(names) == 1 and (other := re.search(r"[;\t|]", names[0])):
        raise DataUnusable([f"the header has no comma but {other[0]!r}: separate the columns by commas"])
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataUnusable([f"{len(twice)} column names appear more than once: {', '.join(map(repr, twice))}"])


def _body(reader: "Iterator[list[str]]", names: list[str]) -> tuple[list[tuple[str, ...]], list[int]]:
    rows, lines, problems = [], [], []
    for row in reader:
        line: int = reader.line_num  # type: ignore[attr-defined]  # of csv.reader, which has no nameable type
        if len(row) == len(names):
            rows.append(row)
            lines.append(line)
        elif row:  # an empty line is no row
            problems.append(f"line {line}: {len(row)} cells, but the header has {len(names)} columns")
    if problems:
        more = [f"... and {len(problems) - 5} more such lines"] if len(problems) > 5 else []
        raise DataUnusable(problems[:5] + more)
    return list(zip(*rows, strict=True)) or [()] * len(names), lines


def raw_column(name: str, texts: Iterable[str | None], nulls: Collection[str]) -> RawColumn:
    """Return a column of these cells. None is null, as is what `nulls` names."""
    cells = [None if text is None or text.strip() in nulls else text for text in texts]
    numbers = [float(cell) if cell is not None and _NUMBER.fullmatch(cell) else np.nan for cell in cells]
    return RawColumn(name, cells, np.asarray(numbers, np.float64))
