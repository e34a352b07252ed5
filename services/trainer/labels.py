"""Labelled rows: what a version was asked, and what came true."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from services.trainer.reported import OWN_COLUMNS, Reported, actual_of, micros
from services.trainer.table import RawColumn, raw_column
from shared.logged import UNKNOWN
from shared.params import Kind
from shared.signature import MAX_MAGNITUDE, Feature, Signature


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows that one version predicted."""

    columns: tuple[RawColumn, ...]
    """Its features, and the target with the actual values."""
    first: RawColumn
    """The target with the values that were reported first, which decide the rows' parts."""
    kinds: Mapping[str, Kind]
    """Of the features."""
    answered: NDArray[np.float64]
    """When they were predicted, Unix seconds; shape (rows,)."""


@dataclass
class Labels:
    """The newest labelled rows, by version, and why others were left out."""

    groups: list[LabelledRows] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def to_rows(reported: Reported, signature: Signature, left_out: Counter[str]) -> LabelledRows:
    """Return the rows of one version; those that cannot be known again are left out and counted."""
    table, actual = reported.table, actual_of(reported.table)
    usable = np.abs(actual) <= MAX_MAGNITUDE  # NaN, which is null here, compares false
    left_out["the actual value is no number, or beyond what is taken"] += int((~usable).sum())
    for feature in signature.features:
        if feature.kind == "categorical":
            unknown = pc.fill_null(pc.equal(table[_column_of(feature, table)], UNKNOWN), fill_value=False)
            known = ~unknown.to_numpy()
            left_out["a category was not known when it was predicted, and its text not kept"] += int(
                (usable & ~known).sum()
            )
            usable &= known
    kept = table.filter(pa.array(usable))
    columns = [raw_column(f.name, _cells(f, kept[_column_of(f, kept)]), ()) for f in signature.features]
    target, first = (_numbers(signature.target.name, values[usable]) for values in (actual, reported.first))
    answered = micros(kept["time"]) / 1e6
    return LabelledRows((*columns, target), first, {f.name: f.kind for f in signature.features}, answered)


def _column_of(feature: Feature, table: pa.Table) -> str:
    """Return the column of a feature: its name, or `feature.<name>` where one of the other columns has that name."""
    prefixed = f"feature.{feature.name}"
    taken = feature.name in OWN_COLUMNS and prefixed in table.column_names
    return prefixed if taken else feature.name


def _cells(feature: Feature, values: pa.ChunkedArray) -> list[str | None]:
    if feature.kind == "categorical":
        texts: list[str | None] = values.to_pylist()
        return texts
    numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return [None if np.isnan(number) else repr(number) for number in numbers.tolist()]


def _numbers(name: str, values: NDArray[np.float64]) -> RawColumn:
    return raw_column(name, map(repr, values.tolist()), ())
