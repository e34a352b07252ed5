"""Which rows are tested on, and which fold a training row is in: decided by the row itself, never by its position.

An appended row therefore moves no other one, and equal rows fall together.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import repeat

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from services.trainer.table import DataUnusable, RawColumn

MIN_PART = 5  # rows; a score over fewer says nothing


@dataclass(frozen=True, eq=False)
class Split:
    train: NDArray[np.intp]
    """Positions of the training rows, in file order."""
    test: NDArray[np.intp]
    folds: NDArray[np.int64]
    """The fold of each training row, 0 to cv - 1; shape (len(train),)."""


def row_digests(columns: Sequence[RawColumn]) -> list[bytes]:
    """Hash every row over the cells of all columns, in the order of their names.

    A number counts by its float64 bits (so 1 and 1.0 are equal), anything else by its text. What `params.yaml`
    makes of a column does not matter: dropping a feature leaves the split as it was.
    """
    if not columns:
        return []
    ordered = [_keys(column) for column in sorted(columns, key=lambda column: column.name)]
    return [blake2b(b"".join(row), digest_size=16).digest() for row in zip(*ordered, strict=True)]


def _keys(column: RawColumn) -> list[bytes]:
    return [_key(cell, number) for cell, number in zip(column.cells, column.numbers.tolist(), strict=True)]


def _key(cell: str | None, number: float) -> bytes:
    if cell is None:
        return b"0"
    if math.isnan(number):
        text = cell.encode()
        return b"s" + struct.pack("<q", len(text)) + text
    return b"n" + struct.pack("<d", number + 0.0)  # + 0.0 makes -0.0 equal to 0.0


def make_split(digests: Sequence[bytes], test_fraction: float, cv: int, seed: int) -> Split:
    """Assign rows to test and training, and training rows to folds. Only the folds depend on the seed.

    Raises:
        DataUnusable: a part has too few rows.
    """
    tested = held_out(digests, test_fraction)
    train, test = np.flatnonzero(~tested), np.flatnonzero(tested)
    salt = b"fold %d" % seed
    draws = np.fromiter((_uniform(digests[i], salt) for i in train.tolist()), np.float64, len(train))
    folds = (draws * cv).astype(np.int64)
    _check_sizes(len(test), np.bincount(folds, minlength=cv), test_fraction)
    return Split(train, test, folds)


def held_out(digests: Sequence[bytes], test_fraction: float) -> NDArray[np.bool_]:
    """Return which rows are tested on. Those of a smaller fraction are among those of a larger one."""
    draws = np.fromiter(map(_uniform, digests, repeat(b"test")), np.float64, len(digests))
    tested: NDArray[np.bool_] = draws < test_fraction
    return tested


def require_values(frame: pd.DataFrame, split: Split) -> None:
    """Check that every column has a value in whatever a pipeline is fitted on.

    Raises:
        DataUnusable: a column has too few values; it is named.
    """
    parts = [split.train, *(split.train[split.folds != fold] for fold in np.unique(split.folds))]
    empty = sorted({name for part in parts for name in frame.columns[frame.iloc[part].isna().all()]})
    if empty:
        advice = "drop the column (features.<column>.drop: true)"
        raise DataUnusable([f"column {name!r}: too few values to train on; {advice}" for name in empty])


def _uniform(digest: bytes, salt: bytes) -> float:
    """Return a number in [0, 1) that looks random and depends on nothing but the arguments."""
    return (int.from_bytes(blake2b(digest, digest_size=8, salt=salt).digest(), "big") >> 11) / 2.0**53


def _check_sizes(test: int, folds: NDArray[np.int64], test_fraction: float) -> None:
    if test < MIN_PART:
        raise DataUnusable(
            [f"{test} rows to test on are too few: raise data.test_fraction ({test_fraction}), or get more rows"]
        )
    if folds.min() < MIN_PART:
        cv = len(folds)
        raise DataUnusable(
            [f"a fold has {folds.min()} rows, which is too few: lower selection.cv ({cv}), or get more rows"]
        )
