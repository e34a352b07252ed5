"""Loads the data that `params.yaml` names: features and target, ready for the pipeline."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from services.trainer.columns import Column, choose_features
from services.trainer.labelled import RawRows, append_labelled
from services.trainer.labels import Labels
from services.trainer.source import read_source
from services.trainer.table import RawColumn, read_table
from shared.params import Params


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows in file order, and behind them the labelled ones that are trained on."""

    source: str
    sha256: str
    """Of the file's bytes, decompressed, and of the labelled rows that are trained on."""
    columns: tuple[Column, ...]
    frame: pd.DataFrame
    """One column per feature: float64 or str, with NaN for null."""
    target: NDArray[np.float64]
    digests: list[bytes]
    """Of each whole row as it stands in the file; equal rows have equal ones. A labelled row has that of the value that
    was reported first, whatever it was corrected to."""
    labelled: int
    """Rows at the end whose actual values were reported."""
    raw: RawRows
    """The same rows with every column of the file; behind them labelled rows that are not trained on, but judged by."""
    findings: tuple[str, ...]
    """What was noticed and dealt with, by column name."""


def load_dataset(params: Params, base_dir: Path, labels: Labels | None = None) -> Dataset:
    """Fetch, parse and check the data. A relative source starts at `base_dir`.

    What the columns are is decided by the file alone; labelled rows fit, or are left out.

    Raises:
        SourceUnavailable: it cannot be fetched.
        DataUnusable: it cannot be trained on; every problem is named.
    """
    data = read_source(params.data.source, base_dir)
    table = read_table(data, params.data.null_values)
    chosen = choose_features(table, params)
    columns = tuple(column for column, _ in chosen.features)
    left_out = Counter(labels.left_out if labels else ())
    groups = labels.groups if labels else ()
    raw = append_labelled(table, columns, groups, params.data, left_out)
    rows = len(raw.digests) if params.retrain.labelled_rows else len(table)
    digests = raw.digests[:rows]
    return Dataset(
        source=params.data.source,
        sha256=_sha256(data, raw.contents[len(table) : rows]),
        columns=columns,
        frame=pd.DataFrame({column.name: _values(column, raw.column(column.name), rows) for column in columns}),
        target=raw.column(params.data.target).numbers[:rows],
        digests=digests,
        labelled=rows - len(table),
        raw=raw,
        findings=(
            *chosen.findings,
            *_duplicates(digests[: len(table)], table.lines),
            *(f"labelled rows: {count} left out: {reason}" for reason, count in sorted(left_out.items()) if count),
        ),
    )


def _sha256(data: bytes, labelled: Sequence[bytes]) -> str:
    digest = hashlib.sha256(data)
    digest.update(b"".join(sorted(labelled)))
    return digest.hexdigest()


def _values(column: Column, raw: RawColumn, rows: int) -> "pd.Series[float] | pd.Series[str]":
    if column.kind == "numeric":
        return pd.Series(raw.numbers[:rows], dtype="float64")
    # Null becomes NaN: None would be another kind of null to the encoder.
    return pd.Series(raw.cells[:rows], dtype="str")


def _duplicates(digests: list[bytes], lines: NDArray[np.int64]) -> list[str]:
    first: dict[bytes, int] = {}
    repeated = [int(lines[i]) for i, digest in enumerate(digests) if first.setdefault(digest, i) != i]
    if not repeated:
        return []
    shown = ", ".join(map(str, repeated[:5])) + (", ..." if len(repeated) > 5 else "")
    return [f"{len(repeated)} rows equal an earlier one (lines {shown}); kept, and never split from it"]
