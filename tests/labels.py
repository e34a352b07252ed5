"""Labelled rows in a store, as the monitor writes them."""

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shared.keys import labels_prefix
from shared.store import Store

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def labelled_table(
    actual: Sequence[float | None],
    features: Mapping[str, Sequence[Any]],
    *,
    version: str = "1",
    time: datetime = NOW,
    labelled_at: datetime | None = None,
    request_id: str = "r",
) -> pa.Table:
    """Rows of one request, predicted a microsecond after each other."""
    rows = len(actual)
    times = [time + timedelta(microseconds=i) for i in range(rows)]
    return pa.table(
        {
            "time": pa.array(times, pa.timestamp("us", "UTC")),
            "labelled_at": pa.array([labelled_at or time] * rows, pa.timestamp("us", "UTC")),
            "request_id": pa.array([request_id] * rows, pa.string()),
            "index": pa.array(range(rows), pa.int64()),
            "model_version": pa.array([version] * rows, pa.string()),
            "prediction": pa.array([0.0] * rows, pa.float64()),
            "actual": pa.array(actual, pa.float64()),
            "entry": pa.array(["1-0"] * rows, pa.string()),
            **{name: pa.array(values) for name, values in features.items()},
        }
    )


async def put_labels(store: Store, model: str, table: pa.Table, name: str = "a") -> None:
    """Write a file of rows that were predicted on one day."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    day = table["time"][0].as_py()
    await store.put(f"{labels_prefix(model)}/date={day:%Y-%m-%d}/{name}.parquet", buffer.getvalue())
