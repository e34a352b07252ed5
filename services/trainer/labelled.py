"""Appends labelled rows to the rows of the data: which fit, and which part each of them falls into.

A row's part is decided by its cells in all columns of the data (`split`). A labelled row has the columns that were
features of the version that predicted it; one that it lacks counts as null. Of its actual values the one that was
reported first decides, whatever it was corrected to. So it is in the same part at every training, and together with an
equal row of the data wherever all columns of the data are features and nothing was corrected. Elsewhere, a labelled row
that equals rows of the data as far as can be known, and yet falls into another part than one of them, is left out:
nothing is tested on what was trained on.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from services.trainer.columns import Column
from services.trainer.labels import LabelledRows
from services.trainer.split import held_out, row_digests
from services.trainer.table import RawColumn, Table
from shared.params import DataParams

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class RawRows:
    """All rows, those of the data first, with every column of the data whether it is a feature or not."""

    columns: tuple[RawColumn, ...]
    lacking: dict[str, Mask]
    """By column: which labelled rows have no such column, which is not the same as a null. Absent: none."""
    first: RawColumn
    """The target again; of labelled rows with the values that were reported first."""
    digests: list[bytes]
    """What decides the parts: of all columns, with the target as in `first`."""
    contents: list[bytes]
    """Digests of the rows as they are: equal rows have equal ones."""
    answered: NDArray[np.float64]
    """When a labelled row was predicted, Unix seconds; NaN for a row of the data."""

    def column(self, name: str) -> RawColumn:
        return next(column for column in self.columns if column.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def digests_by(self, names: Collection[str]) -> list[bytes]:
        """Return what decides the parts where some columns do."""
        return row_digests([self.first if name == self.first.name else self.column(name) for name in names])


def append_labelled(
    table: Table,
    features: Sequence[Column],
    groups: Sequence[LabelledRows],
    params: DataParams,
    left_out: Counter[str],
) -> RawRows:
    """Return the table's rows, and after them the labelled rows that fit; the others are counted in `left_out`."""
    data = _Data(table, row_digests(table.columns), features, params.test_fraction)
    kept = [found for group in groups if (found := data.take(group, left_out)) is not None]
    groups = [each.rows for each in kept]
    target = next(column for column in table.columns if column.name == params.target)
    return RawRows(
        columns=tuple(_joined(column, [_column(column.name, group) for group in groups]) for column in table.columns),
        lacking={name: mask for name in data.names if (mask := _lacks(name, len(table), groups)).any()},
        first=_joined(target, [group.first for group in groups]),
        digests=[*data.digests, *(digest for each in kept for digest in each.digests)],
        contents=[*data.digests, *(digest for each in kept for digest in each.contents)],
        answered=np.concatenate([np.full(len(table), np.nan), *(group.answered for group in groups)]),
    )


@dataclass(frozen=True, eq=False)
class _Kept:
    """Labelled rows that are appended, and their digests as `RawRows` has them."""

    rows: LabelledRows
    digests: list[bytes]
    contents: list[bytes]


@dataclass(frozen=True, eq=False)
class _Data:
    """What labelled rows are appended to."""

    table: Table
    digests: list[bytes]
    features: Sequence[Column]
    test_fraction: float

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.table.columns]

    def take(self, group: LabelledRows, left_out: Counter[str]) -> _Kept | None:
        """Return the rows of a group that are to be appended; None when there are none."""
        for column in self.features:
            if problem := _no_such_feature(column, group):
                left_out[f"column {column.name!r} {problem}"] += len(group.answered)
                return None
        fits = np.ones(len(group.answered), np.bool_)
        for column in self.features:
            null = _column(column.name, group).null() & (not column.nullable)
            left_out[f"column {column.name!r} is null, and the data has no null there"] += int((fits & null).sum())
            fits &= ~null
        columns = [_column(name, group) for name in self.names]
        contents = row_digests(columns)
        digests = row_digests([group.first if column.name == group.first.name else column for column in columns])
        apart = self._falls_apart(group, digests, contents)
        left_out["an equal row of the data falls into the other part"] += int((fits & apart).sum())
        fits &= ~apart
        if not fits.any():
            return None
        return _Kept(_picked_rows(group, fits), list(compress(digests, fits)), list(compress(contents, fits)))

    def _falls_apart(self, group: LabelledRows, digests: Sequence[bytes], contents: Sequence[bytes]) -> Mask:
        """Return which rows equal one of the data in the columns that they have, and are in another part than it."""
        own = {column.name: column for column in group.columns}
        shared = [column for column in self.table.columns if column.name in own]
        if len(shared) == len(self.table.columns) and digests == contents:  # equal rows have equal digests
            return np.zeros(len(digests), np.bool_)
        parts: dict[bytes, set[bool]] = {}
        tested = held_out(self.digests, self.test_fraction).tolist()
        for key, part in zip(row_digests(shared), tested, strict=True):
            parts.setdefault(key, set()).add(part)
        keys = row_digests([own[column.name] for column in shared])
        own_parts = held_out(digests, self.test_fraction).tolist()
        apart = [not parts.get(key, {part}) <= {part} for key, part in zip(keys, own_parts, strict=True)]
        return np.array(apart, np.bool_)


def _no_such_feature(column: Column, group: LabelledRows) -> str:
    kind = group.kinds.get(column.name)
    if kind is None:
        return "was no feature when they were predicted"
    return "" if kind == column.kind else f"is {column.kind} now, and was {kind} when they were predicted"


def _nulls(name: str, rows: int) -> RawColumn:
    return RawColumn(name, [None] * rows, np.full(rows, np.nan))


def _column(name: str, group: LabelledRows) -> RawColumn:
    return next((own for own in group.columns if own.name == name), None) or _nulls(name, len(group.answered))


def _picked_rows(group: LabelledRows, mask: Mask) -> LabelledRows:
    columns = tuple(_picked(column, mask) for column in group.columns)
    return LabelledRows(columns, _picked(group.first, mask), group.kinds, group.answered[mask])


def _picked(column: RawColumn, mask: Mask) -> RawColumn:
    return RawColumn(column.name, list(compress(column.cells, mask)), column.numbers[mask])


def _joined(column: RawColumn, labelled: Sequence[RawColumn]) -> RawColumn:
    parts = [column, *labelled]
    cells = [cell for part in parts for cell in part.cells]
    return RawColumn(column.name, cells, np.concatenate([part.numbers for part in parts]))


def _lacks(name: str, rows: int, groups: Sequence[LabelledRows]) -> Mask:
    has = [True, *(any(own.name == name for own in group.columns) for group in groups)]
    return ~np.repeat(has, [rows, *(len(group.answered) for group in groups)])
