"""Builders of rows of the prediction log, and of files of it as their footers tell."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from services.monitor.log.files import LogFile, RowGroup
from services.monitor.log.rows import FIXED

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
DAY = "2026-01-31"


def logged(
    ids: Sequence[str], *, seconds: float = 0.0, index: Sequence[int] | None = None, **features: Any
) -> pa.Table:
    """Rows answered one after the other from `seconds` after noon; `prediction` numbers them."""
    n = len(ids)
    columns: list[Any] = [
        [NOON + timedelta(seconds=seconds, milliseconds=i) for i in range(n)],
        ids,
        index or [0] * n,
        ["single"] * n,
        ["1"] * n,
        [float(i) for i in range(n)],
        [1e-5] * n,
    ]
    fixed = {f.name: pa.array(values, f.type) for f, values in zip(FIXED, columns, strict=True)}
    return pa.table({**fixed, **{name: pa.array(values) for name, values in features.items()}}).replace_schema_metadata(
        {"tasador.schema": "1"}
    )


def a_file(first: str, last: str | None, rows: int, *, key: str = "", schema: pa.Schema = FIXED) -> LogFile:
    """A file of one row group."""
    return LogFile(key or f"{first}-{last}-{rows}", 1, schema, (RowGroup(rows, first, last, 0, 1),))


def from_groups(*groups: tuple[str, str, int], key: str = "file") -> LogFile:
    return LogFile(key, 1, FIXED, tuple(RowGroup(rows, first, last, 0, 1) for first, last, rows in groups))
