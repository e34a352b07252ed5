"""The results of a job against what they should be."""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

EXAMPLES = 5

Values = NDArray[np.float64]
Codes = NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class Expected:
    """What each row must end in: a value, or, where `codes` is not "", an error of that code."""

    values: Values
    codes: Codes

    def take(self, rows: NDArray[np.intp]) -> "Expected":
        return Expected(self.values[rows], self.codes[rows])

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class Records:
    """Result records in the order in which they were read; a prediction is NaN where there is an error."""

    index: NDArray[np.int64]
    predictions: Values
    codes: Codes
    carried: NDArray[np.int64]
    """The number that each row brought along; -1 for none."""

    @classmethod
    def of_table(cls, table: Any, number: str) -> "Records":
        """Read them from a pyarrow table, in which a column holds the rows' numbers as text."""
        codes = np.array(table.column("error_code").to_pylist(), object)
        codes[codes == None] = ""  # noqa: E711 - element by element
        return cls(
            table.column("index").to_numpy(),
            table.column("prediction").to_numpy().astype(np.float64),  # null becomes NaN
            codes,
            np.array([int(text or -1) for text in table.column(number).to_pylist()], np.int64),
        )


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of rows. A perfect outcome has zeros from `missing` on."""

    total: int
    records: int
    values: int
    errors: int
    poison: int
    """Of the errors, those of rows that were given up."""
    compared: int
    """How many records could be held against what was expected."""
    missing: int
    """Without a record, of those that must have one."""
    doubled: int
    moved: int
    """Records whose place is not their index, or that carry another row's number."""
    wrong: int
    """Another value or error code than expected, bit by bit."""
    examples: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether each row has one record, in order."""
        return self.records == self.total and not (self.missing or self.doubled or self.moved)


def outcome(records: Records, total: int, expected: Expected | None, *, prefix: bool = False) -> Outcome:
    """Compare.

    Args:
        total: rows of the job.
        expected: what each of them must end in; None if that is not known.
        prefix: the job ended early: its first rows may be all there is.
    """
    index = records.index
    n = len(index)
    inside = (index >= 0) & (index < total)
    found = len(np.unique(index[inside]))
    moved = np.flatnonzero((index != np.arange(n)) | (records.carried != index))
    wrong = _wrong(records, expected, inside)
    return Outcome(
        total=total,
        records=n,
        values=int((records.codes == "").sum()),
        errors=int((records.codes != "").sum()),
        poison=int((records.codes == "poison").sum()),
        compared=int(inside.sum()) if expected else 0,
        missing=(min(n, total) if prefix else total) - found,
        doubled=int(inside.sum()) - found,
        moved=len(moved),
        wrong=len(wrong),
        examples=(
            *(f"record {n} is of row {index[n]}, numbered {records.carried[n]}" for n in moved[:EXAMPLES].tolist()),
            *(_example(records, expected, place) for place in wrong[:EXAMPLES].tolist()),
        ),
    )


def _wrong(records: Records, expected: Expected | None, inside: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the places of the records that are not what was expected; a value is NaN exactly where a code is."""
    if expected is None:
        return np.empty(0, np.intp)
    rows = np.where(inside, records.index, 0)
    due = expected.take(rows)
    value_due = due.codes == ""
    right = (records.codes == due.codes) & np.where(value_due, records.predictions == due.values, True)
    right &= np.isnan(records.predictions) == ~value_due
    return np.flatnonzero(inside & ~right)


def _example(records: Records, expected: Expected | None, place: int) -> str:
    assert expected is not None
    row = int(records.index[place])

    def told(value: float, code: str) -> str:
        return f"error {code}" if code else repr(float(value))

    found = told(records.predictions[place], records.codes[place])
    return f"row {row} ended in {found} instead of {told(expected.values[row], expected.codes[row])}"
