"""The columns of a block that pass through, in Arrow."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from services.gateway.tables.block import PassthroughRefused, TableTooLarge, listable
from shared.chunks import JSON_TEXT, MAX_CARRIED_BYTES

_NULL_TEXT = pa.scalar(None, pa.string())


def of_texts(names: Sequence[str], columns: Sequence[Any]) -> Any:
    """Return columns of text (CSV) as a RecordBatch, what is empty as null; None if there are none."""
    arrays = [c if isinstance(c, pa.Array) else pa.array(c, pa.string()) for c in columns]
    arrays = [pc.if_else(pc.equal(array, ""), _NULL_TEXT, array) for array in arrays]
    return pa.record_batch(arrays, names=list(names)) if names else None


def of_json(names: Sequence[str], columns: Sequence[Sequence[bytes | None]]) -> Any:
    """Return columns of JSON texts as a RecordBatch that says that they are such."""
    schema = pa.schema([pa.field(name, pa.string(), metadata=JSON_TEXT) for name in names])
    return pa.record_batch([pa.array(column, pa.string()) for column in columns], schema=schema)


def of_batch(names: Sequence[str], batch: Any) -> Any:
    """Return typed columns as they are, without dictionaries; None if there are none.

    Raises:
        TableTooLarge: they take too much.
    """
    if not names:
        return None
    columns = [batch.column(name) for name in names]
    if sum(_text_bytes(column) for column in columns) > MAX_CARRIED_BYTES:
        detail = f"{MAX_CARRIED_BYTES >> 20} MB in {batch.num_rows:,} rows"
        raise TableTooLarge(f"columns that pass through take more than {detail}")
    return pa.record_batch([_own(column) for column in columns], names=list(names))


def _own(column: Any) -> Any:
    """Return a column in the type in which it is carried."""
    if isinstance(column.type, pa.UuidType):
        return pa.array([None if uuid is None else str(uuid) for uuid in column.to_pylist()], pa.string())
    if pa.types.is_timestamp(column.type) and column.type.unit == "s":
        column.cast(pa.timestamp("ms", column.type.tz))  # as Parquet has to: seconds that do not fit are refused here
    return column.cast(carried_type(column.type), safe=False)


def _text_bytes(column: Any) -> int:
    """Return what texts will take once each row has its own: a dictionary says them once."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = pc.binary_length(column.dictionary).take(column.indices) if _is_text(column.type.value_type) else None
    return int(pc.sum(lengths).as_py() or 0) if lengths is not None else int(column.nbytes)


def check_carried_type(name: str, found: Any) -> None:
    """Raises PassthroughRefused where a column holds what flat results cannot."""
    if carried_type(found) is None:
        detail = f"column {listable(name)!r} has type {str(found)[:100]}, which cannot pass through"
        raise PassthroughRefused(name, f"{detail}: numbers, text, booleans, dates and times can")


def carried_type(found: Any) -> Any:
    """Return the type in which a column is carried; None if it is not."""
    if pa.types.is_dictionary(found):
        return carried_type(found.value_type)
    if _is_text(found) or isinstance(found, pa.UuidType):
        return pa.string()
    if pa.types.is_float16(found):
        return pa.float32()
    if pa.types.is_decimal(found) and found.scale < 0:  # which Parquet does not have
        return None
    return found if _is_plain(found) else None


def _is_text(found: Any) -> bool:
    return bool(pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found))


def _is_plain(found: Any) -> bool:
    kinds = (pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    times = (pa.types.is_date, pa.types.is_time, pa.types.is_timestamp)
    return any(is_kind(found) for is_kind in (*kinds, *times))


def spread(carried: Any, rows: NDArray[np.bool_]) -> Any:
    """Return what is carried with a row of nulls wherever `rows` is false."""
    if carried is None:
        return None
    places = np.cumsum(rows) - 1
    return carried.take(pa.array(places, pa.int64(), mask=~rows))
