"""Loads the data that `params.yaml` names: features and target, ready for the pipeline."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from services.trainer.columns import Column, choose_features
from services.trainer.source import read_source
from services.trainer.split import row_digests
from services.trainer.table import RawColumn, read_table
from shared.params import Params


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows in file order."""

    source: str
    sha256: str
    """Of the file's bytes, decompressed."""
    columns: tuple[Column, ...]
    frame: pd.DataFrame
    """One column per feature: float64 or str, with NaN for null."""
    target: NDArray[np.float64]
    digests: list[bytes]
    """Of each whole row as it stands in the file; equal rows have equal ones."""
    findings: tuple[str, ...]
    """What was noticed and dealt with, by column name."""


def load_dataset(params: Params, base_dir: Path) -> Dataset:
    """Fetch, parse and check the data. A relative source starts at `base_dir`.

    Raises:
        SourceUnavailable: it cannot be fetched.
        DataUnusable: it cannot be trained on; every problem is named.
    """
    data = read_source(params.data.source, base_dir)
    table = read_table(data, params.data.null_values)
    chosen = choose_features(table, params)
    digests = row_digests(table.columns)
    target = next(column for column in table.columns if column.name == params.data.target)
    return Dataset(
        source=params.data.source,
        sha256=hashlib.sha256(data).hexdigest(),
        columns=tuple(column for column, _ in chosen.features),
        frame=pd.DataFrame({column.name: _values(column, raw) for column, raw in chosen.features}),
        target=target.numbers,
        digests=digests,
        findings=(*chosen.findings, *_duplicates(digests, table.lines)),
    )


def _values(column: Column, raw: RawColumn) -> "pd.Series[float] | pd.Series[str]":
    if column.kind == "numeric":
        return pd.Series(raw.numbers, dtype="float64")
    return pd.Series(raw.cells, dtype="str")  # null becomes NaN: None would be another kind of null to the encoder


def _duplicates(digests: list[bytes], lines: NDArray[np.int64]) -> list[str]:
    first: dict[bytes, int] = {}
    repeated = [int(lines[i]) for i, digest in enumerate(digests) if first.setdefault(digest, i) != i]
    if not repeated:
        return []
    shown = ", ".join(map(str, repeated[:5])) + (", ..." if len(repeated) > 5 else "")
    return [f"{len(repeated)} rows equal an earlier one (lines {shown}); kept, and never split from it"]
