"""Appends labelled rows to the rows of the data: which fit, and which part each of them falls into.

A row's part is decided by its cells in all columns of the data (`split`). A labelled row has the columns that were
features of the version that predicted it; one that it lacks counts as null. So it is in the same part at every
training, and together with an equal row of the data wherever all columns of the data are features. Where they are not,
a labelled row that equals rows of the data as far as can be known, and yet falls into another part than one of them, is
left out: nothing is tested on what was trained on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.trainer.columns import Column
from services.trainer.labels import LabelledRows
from services.trainer.split import held_out, row_digests
from services.trainer.table import RawColumn, Table

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class RawRows:
    """All rows, those of the data first, with every column of the data whether it is a feature or not."""

    columns: tuple[RawColumn, ...]
    lacking: dict[str, Mask]
    """By column: which labelled rows have no such column, which is not the same as a null. Absent: none."""
    digests: list[bytes]
    answered: NDArray[np.float64]
    """When a labelled row was predicted, Unix seconds; NaN for a row of the data."""

    def column(self, name: str) -> RawColumn:
        return next(column for column in self.columns if column.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


def append_labelled(
    table: Table,
    features: Sequence[Column],
    groups: Sequence[LabelledRows],
    test_fraction: float,
    left_out: Counter[str],
) -> RawRows:
    """Return the table's rows, and after them the labelled rows that fit; the others are counted in `left_out`."""
    data = _Data(table, row_digests(table.columns), features, test_fraction)
    kept = [found for group in groups if (found := data.take(group, left_out)) is not None]
    rows = [len(table), *(len(group.answered) for group, _ in kept)]
    return RawRows(
        columns=tuple(_joined(column, [group for group, _ in kept]) for column in table.columns),
        lacking={name: mask for name in data.names if (mask := _lacks(name, kept, rows)).any()},
        digests=[*data.digests, *(digest for _, found in kept for digest in found)],
        answered=np.concatenate([np.full(len(table), np.nan), *(group.answered for group, _ in kept)]),
    )


_Kept = tuple[LabelledRows, list[bytes]]


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
        """Return the rows of a group that are to be appended, and their digests; None when there are none."""
        for column in self.features:
            if problem := _no_such_feature(column, group):
                left_out[f"column {column.name!r} {problem}"] += len(group.answered)
                return None
        own = {column.name: column for column in group.columns}
        fits = np.ones(len(group.answered), np.bool_)
        for column in self.features:
            null = own[column.name].null() & (not column.nullable)
            left_out[f"column {column.name!r} is null, and the data has no null there"] += int((fits & null).sum())
            fits &= ~null
        found = row_digests([own.get(name) or _nulls(name, len(fits)) for name in self.names])
        apart = self._falls_apart(own, found)
        left_out["an equal row of the data falls into the other part"] += int((fits & apart).sum())
        fits &= ~apart
        if not fits.any():
            return None
        rows = np.flatnonzero(fits).tolist()
        columns = tuple(_picked(column, fits) for column in group.columns)
        return LabelledRows(columns, group.kinds, group.answered[fits]), [found[row] for row in rows]

    def _falls_apart(self, own: Mapping[str, RawColumn], found: Sequence[bytes]) -> Mask:
        """Return which rows equal one of the data in the columns that they have, and are in another part than it."""
        shared = [column for column in self.table.columns if column.name in own]
        if len(shared) == len(self.table.columns):  # equal rows have equal digests
            return np.zeros(len(found), np.bool_)
        parts: dict[bytes, set[bool]] = {}
        tested = held_out(self.digests, self.test_fraction).tolist()
        for key, part in zip(row_digests(shared), tested, strict=True):
            parts.setdefault(key, set()).add(part)
        keys = row_digests([own[column.name] for column in shared])
        own_parts = held_out(found, self.test_fraction).tolist()
        apart = [not parts.get(key, {part}) <= {part} for key, part in zip(keys, own_parts, strict=True)]
        return np.array(apart, np.bool_)


def _no_such_feature(column: Column, group: LabelledRows) -> str:
    kind = group.kinds.get(column.name)
    if kind is None:
        return "was no feature when they were predicted"
    return "" if kind == column.kind else f"is {column.kind} now, and was {kind} when they were predicted"


def _nulls(name: str, rows: int) -> RawColumn:
    return RawColumn(name, [None] * rows, np.full(rows, np.nan))


def _picked(column: RawColumn, mask: Mask) -> RawColumn:
    cells = [column.cells[i] for i in np.flatnonzero(mask).tolist()]
    return RawColumn(column.name, cells, column.numbers[mask])


def _joined(column: RawColumn, groups: Sequence[LabelledRows]) -> RawColumn:
    parts = [column]
    for group in groups:
        found = next((own for own in group.columns if own.name == column.name), None)
        parts.append(found or _nulls(column.name, len(group.answered)))
    cells = [cell for part in parts for cell in part.cells]
    return RawColumn(column.name, cells, np.concatenate([part.numbers for part in parts]))


def _lacks(name: str, kept: Sequence[_Kept], rows: Sequence[int]) -> Mask:
    has = [True, *(any(own.name == name for own in group.columns) for group, _ in kept)]
    return ~np.repeat(has, rows)
