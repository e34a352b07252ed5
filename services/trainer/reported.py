"""Rows as their actual values were reported: of each the last value, which counts, and the first.

The first decides which part a row is in. A correction would else move it, and a model be tested on what an earlier one
was trained on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shared.logged import LABELLED, LOGGED

KEY = ["request_id", "index"]
OWN_COLUMNS = frozenset((*LOGGED, *LABELLED))
_OPTIONAL = frozenset(("prediction", "mode", "latency", "entry"))
_PREDICTION = [*KEY, "time"]  # of two under one request id, what is said of one is not said of the other


@dataclass(frozen=True, eq=False)
class Reported:
    """Rows of one or more files, and beside them what no column can hold: a feature may have any name."""

    table: pa.Table
    first: NDArray[np.float64]
    """The value that was reported first; shape (rows,)."""
    first_at: NDArray[np.int64]
    """When that was, in microseconds."""

    @classmethod
    def of(cls, table: pa.Table) -> "Reported":
        """Take the rows of a file. Raises KeyError, or what Arrow raises, when it is not one of labelled rows."""
        missing = (OWN_COLUMNS - _OPTIONAL).difference(table.column_names)
        if missing:
            raise KeyError(*missing)
        return cls(table, actual_of(table), micros(table["labelled_at"]))

    def __len__(self) -> int:
        return len(self.table)

    def where(self, mask: NDArray[np.bool_]) -> "Reported":
        return Reported(self.table.filter(pa.array(mask)), self.first[mask], self.first_at[mask])

    def of_version(self, version: str) -> "Reported":
        return self.where(pc.fill_null(pc.equal(self.table["model_version"], version), fill_value=False).to_numpy())

    def keys(self) -> pd.DataFrame:
        return pd.DataFrame({name: self.table[name].to_pandas() for name in KEY})


def joined(parts: Sequence[Reported]) -> Reported:
    """Return the rows of all parts, of each key the one reported last, with the value that was reported first."""
    every = Reported(
        pa.concat_tables([part.table for part in parts], promote_options="permissive"),
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.first_at for part in parts]),
    )
    times = {name: micros(every.table[name]) for name in ("time", "labelled_at")}
    rows = every.keys().assign(**times, first_at=every.first_at, place=np.arange(len(every)))
    last = rows.sort_values("labelled_at", kind="stable").drop_duplicates(KEY, keep="last").sort_index()
    earliest = rows.sort_values("first_at", kind="stable").drop_duplicates(_PREDICTION)
    begun = last[_PREDICTION].merge(earliest, on=_PREDICTION, how="left")["place"].to_numpy()
    return Reported(every.table.take(pa.array(last["place"])), every.first[begun], every.first_at[begun])


def actual_of(table: pa.Table) -> NDArray[np.float64]:
    """Return the actual values; null is NaN."""
    found: NDArray[np.float64] = table["actual"].cast(pa.float64()).to_numpy(zero_copy_only=False)
    return found


def micros(times: pa.ChunkedArray) -> NDArray[np.int64]:
    found: NDArray[np.int64] = pc.cast(times, pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    return found
