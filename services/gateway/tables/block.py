"""What every format becomes, and why a table as a whole is refused."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.signature import FieldError

MAX_IGNORED = 100
"""Ignored columns that are listed; JSON rows may bring any number of names."""


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive rows of a table, encoded, shape (n, F); a row in error is all NaN."""

    x: NDArray[np.float64]
    errors: Sequence[tuple[int, FieldError]]
    """(row within the block, its first error), in row order, one per bad row."""
    carried: Any = None
    """RecordBatch of the columns that pass through, a row for each, of one schema for the whole table; None without."""


class Table(Protocol):
    """A table that is being read. What can be said from its header alone was checked when it was opened."""

    @property
    def ignored_columns(self) -> Sequence[str]:
        """Columns the model does not know; complete when the blocks are."""
        ...

    @property
    def rows(self) -> int | None:
        """How many rows the table claims to have, or seems to, without being read; None if that cannot be said."""
        ...

    def blocks(self) -> Iterator[Block]:
        """Read the rows in order, once. Raises TableRefused."""
        ...


class TableRefused(ValueError):
    """The table as a whole cannot be scored."""


class NotATable(TableRefused):
    """The bytes are not of the stated format. `line` and `column` count from 1; None for binary formats."""

    def __init__(self, detail: str, line: int | None = None, column: int | None = None) -> None:
        where = "" if line is None else f"line {line}: " if column is None else f"line {line}, column {column}: "
        super().__init__(where + detail)
        self.line, self.column = line, column


class NotInstances(TableRefused):
    """A JSON document that is not `{"instances": [...]}`. `path` is where, `code` what is wrong there."""

    def __init__(self, detail: str, code: str, *path: str) -> None:
        super().__init__(detail)
        self.code, self.path = code, path


class ColumnsMissing(TableRefused):
    """Columns that the model needs are not in the table at all."""

    def __init__(self, names: Sequence[str], found: Sequence[str]) -> None:
        shown = ", ".join(repr(name[:50]) for name in found[:20]) + (", …" if len(found) > 20 else "")
        hint = " (columns are separated by commas)" if len(found) == 1 and set(found[0]) & set(";\t|") else ""
        super().__init__(f"the table has no column {', '.join(map(repr, names))}; it has {shown or 'none'}{hint}")
        self.names = tuple(names)


class ColumnWrongType(TableRefused):
    """A typed column can hold no value that the model takes."""

    def __init__(self, name: str, expected: str, found: str) -> None:
        super().__init__(f"column {name!r} has type {found}; expected {expected}")
        self.name = name


class PassthroughRefused(TableRefused):
    """A column cannot be passed through: it is not there, or not possible."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(detail)
        self.name = name


class EmptyTable(TableRefused):
    """There is no row."""

    def __init__(self) -> None:
        super().__init__("expected at least one row")


class TableTooLarge(TableRefused):
    """Reading this would need more than is allowed: of rows, or else of bytes."""

    def __init__(self, detail: str, *, rows: bool = False) -> None:
        super().__init__(detail)
        self.rows = rows


def nothing(rows: int, features: int) -> NDArray[np.float64]:
    return np.full((rows, features), np.nan)


def listable(name: str) -> str:
    """Return a caller's column name as it is listed."""
    return sayable(name[:200])


def nameable(name: str) -> bool:
    """Whether msgspec can read and write a member of that name in place: it does not escape names."""
    return name == sayable(name) and not any(c in '"\\' or c < " " for c in name)


def sayable(text: str) -> str:
    """Return a text that UTF-8 can say."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
