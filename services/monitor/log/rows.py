"""The rows of the prediction log: their schema, and how they become Parquet. Pure."""

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from services.monitor.fold import InvalidEvent, check_columns, encoded_rows
from shared.events import PredictionsLogged
from shared.logged import LOGGED, SCHEMA, SCHEMA_VERSION, UNKNOWN, schema_version
from shared.signature import Feature, Signature

FIXED = pa.schema(
    {
        "time": pa.timestamp("us", "UTC"),
        "request_id": pa.string(),
        "index": pa.int64(),
        "mode": pa.string(),
        "model_version": pa.string(),
        "prediction": pa.float64(),
        "latency": pa.float64(),
    }
)
"""The columns that do not depend on the version."""
COLUMNS = tuple(FIXED.names)
assert COLUMNS == LOGGED
_ROW_GROUP_BYTES = 1 << 20
_ROW_GROUP_ROWS = (1_000, 5_000)
"""A row group is the least that a lookup reads, and each takes room in the footer: 100 bytes a column."""
RANGED = ("time", "request_id")
"""Columns of which a row group's smallest and largest value are kept. Of the others they would tell a reader nothing:
rows are in the order of their request ids."""


class SchemaTooNew(ValueError):
    """A file was written by a newer Tasador, and its columns may mean something else."""

    def __init__(self, key: str, version: int) -> None:
        super().__init__(
            f"{key} has version {version} of the prediction log's schema, and this Tasador knows those up to "
            f"{SCHEMA_VERSION}: upgrade it"
        )


def check_schema(key: str, schema: pa.Schema) -> None:
    """Raises SchemaTooNew."""
    version = schema_version(schema.metadata)
    if version > SCHEMA_VERSION:
        raise SchemaTooNew(key, version)


def with_schema_version(table: pa.Table) -> pa.Table:
    """Return rows of which a file says the version of their schema."""
    return table.replace_schema_metadata({SCHEMA: str(SCHEMA_VERSION)})


def column_names(signature: Signature) -> list[str]:
    """Return the column of each feature: its name, or `feature.<name>` where one of `COLUMNS` has that name."""
    return [f"feature.{name}" if name in COLUMNS else name for name in signature.names]


def to_table(event: PredictionsLogged, signature: Signature) -> pa.Table:
    """Return the rows of an event. Raises InvalidEvent when it does not fit the signature."""
    check_columns(event)
    x = encoded_rows(event, signature)
    day = 86_400.0
    if any(not 0 <= t < 100_000 * day for t in event.time):  # up to the year 2243
        raise InvalidEvent("a time is out of range")
    fixed: list[Any] = [
        [round(t * 1e6) for t in event.time],
        event.request_id,
        event.index,
        event.mode,
        [event.model_version] * event.rows,
        event.prediction,
        event.latency,
    ]
    columns = {field.name: pa.array(values, field.type) for field, values in zip(FIXED, fixed, strict=True)}
    columns |= feature_columns(signature, x)
    return with_schema_version(pa.table(columns))


def feature_columns(signature: Signature, x: NDArray[np.float64]) -> dict[str, pa.Array]:
    """Return encoded rows, shape (n, F), as columns of numbers and texts."""
    named = enumerate(zip(column_names(signature), signature.features, strict=True))
    return {name: _values(feature, x[:, i]) for i, (name, feature) in named}


def by_day(table: pa.Table) -> list[tuple[str, pa.Table]]:
    """Split rows by the day (UTC) on which they were answered."""
    days = pc.strftime(table["time"], "%Y-%m-%d")
    return [(day, table.filter(pc.equal(days, day))) for day in pc.unique(days).to_pylist()]


def row_bytes(schema: pa.Schema) -> int:
    """Return about how much memory a row takes."""
    return sum(8 if pa.types.is_primitive(field.type) else 32 for field in schema)


def row_group_rows(schema: pa.Schema) -> int:
    fewest, most = _ROW_GROUP_ROWS
    return max(fewest, min(most, _ROW_GROUP_BYTES // row_bytes(schema)))


def to_parquet(table: pa.Table) -> bytes:
    """Return a file of the rows in the order they have."""
    return write_parquet(table.schema, (table,))


def write_parquet(schema: pa.Schema, tables: Iterable[pa.Table]) -> bytes:
    """Return a file of the rows of all tables, taken one at a time."""
    buffer = io.BytesIO()
    ranged = [name for name in RANGED if name in schema.names]
    with pq.ParquetWriter(buffer, schema, compression="zstd", write_statistics=ranged) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=row_group_rows(schema))
    return buffer.getvalue()


def _values(feature: Feature, values: Any) -> pa.Array:
    null = np.isnan(values)
    if feature.kind == "numeric":
        return pa.array(values, pa.float64(), mask=null)
    texts = np.array([*feature.categories, UNKNOWN], object)
    codes = np.where(null | (values < 0) | (values >= len(feature.categories)), len(feature.categories), values)
    return pa.array(texts[codes.astype(np.int64)], pa.string(), mask=null)
