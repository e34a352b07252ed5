"""Chunks and parts as bytes: Arrow IPC streams, one record batch each.

A chunk's matrix is one fixed-size-list column, so that the engine reads the bytes where they lie. Rows that were found
bad at submission keep their place in it and are named in the metadata. Columns that only pass through stand behind the
matrix in a chunk, and behind our own columns in a part; a chunk and its part share their schema with all others of the
job. A chunk ends with a checksum, since nothing else knows what its bytes were; a part's digest is in its commit.
"""

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.signature import Code

MAX_CARRIED_BYTES = 1 << 24
"""What the columns of a chunk that pass through may take: scorers and readers hold a few such chunks at once."""
RESERVED = frozenset(("index", "prediction", "error", "error_field", "error_code", "error_detail"))
"""Names in result records that are ours."""
JSON_TEXT = {b"tasador": b"json"}
"""Metadata of a string field whose values are JSON texts, not strings."""

_METADATA = b"tasador"
_CHECKSUM = struct.Struct("<I")  # CRC-32 of all before it


class ChunkInvalid(ValueError):
    """The bytes are no chunk or part of ours."""


class RowError(msgspec.Struct, frozen=True, array_like=True):
    """The first error of a row. `index` is its position in the job."""

    index: int
    field: str
    code: Code
    detail: str


class _Head(msgspec.Struct, frozen=True):
    start: int
    errors: list[RowError]


@dataclass(frozen=True, eq=False)
class Chunk:
    """Rows [start, start + n) of a job, encoded, shape (n, F). Rows with an error hold no meaningful numbers."""

    start: int
    x: NDArray[np.float64]
    errors: Sequence[RowError] = field(default=())
    carried: Any = None
    """RecordBatch of the columns that pass through, one row per row; None without."""

    @property
    def rows(self) -> int:
        return len(self.x)


def encode_chunk(chunk: Chunk) -> bytes:
    file = io.BytesIO()
    write_chunk(chunk, file)
    return file.getvalue()


def write_chunk(chunk: Chunk, file: IO[bytes]) -> int:
    """Write an encoded chunk and return its size. Its numbers are written from where they lie."""
    import pyarrow as pa  # noqa: PLC0415 - half a second that a process without jobs need not spend

    n, width = chunk.x.shape
    head = msgspec.json.encode(_Head(chunk.start, list(chunk.errors)))
    values = pa.array(np.ascontiguousarray(chunk.x, np.float64).reshape(-1))
    rows = pa.FixedSizeListArray.from_arrays(values, type=pa.list_(pa.field("value", pa.float64()), width))
    schema = pa.schema([pa.field("row", rows.type, nullable=False)], metadata={_METADATA: head})
    assert len(rows) == n
    batch = _beside(pa.record_batch([rows], schema=schema), chunk.carried)
    with _Summed(file) as summed, pa.ipc.new_stream(pa.PythonFile(summed, "w"), batch.schema) as writer:
        writer.write_batch(batch)
    file.write(_CHECKSUM.pack(summed.checksum))
    return summed.size + _CHECKSUM.size


class _Summed(io.RawIOBase):
    """Passes on what is written, and knows its checksum and size."""

    def __init__(self, file: IO[bytes]) -> None:
        self.checksum = self.size = 0
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.checksum = zlib.crc32(data, self.checksum)
        written = self._file.write(data)
        self.size += written
        return written


def decode_chunk(data: bytes) -> Chunk:
    """Read an encoded chunk without copying its numbers; the matrix is read-only.

    Raises:
        ChunkInvalid: these bytes are no chunk, or not those that were written.
    """
    stream, checksum = memoryview(data)[: -_CHECKSUM.size], data[-_CHECKSUM.size :]
    if _CHECKSUM.pack(zlib.crc32(stream)) != checksum:
        raise ChunkInvalid("no chunk, or a damaged one: its checksum is another")
    batch = _read(stream)
    try:
        head = msgspec.json.decode(batch.schema.metadata[_METADATA], type=_Head)
        rows = batch.column(0)
        x = rows.values.to_numpy(zero_copy_only=True).reshape(len(rows), rows.type.list_size)
        return Chunk(head.start, x, tuple(head.errors), carried_of(batch, own=1))
    except (LookupError, TypeError, AttributeError, ValueError, msgspec.DecodeError) as error:
        raise ChunkInvalid(f"no chunk: {error}") from error


@cache
def part_schema() -> Any:
    """Return the pyarrow schema of a part's own columns, which is also that of results in columns."""
    import pyarrow as pa  # noqa: PLC0415

    return pa.schema(
        [
            pa.field("index", pa.int64(), nullable=False),
            pa.field("prediction", pa.float64()),
            pa.field("error_field", pa.string()),
            pa.field("error_code", pa.string()),
            pa.field("error_detail", pa.string()),
        ]
    )


def encode_part(start: int, predictions: NDArray[np.float64], errors: Sequence[RowError], carried: Any = None) -> bytes:
    """Encode one record per row, in order.

    Args:
        start: position of the first row in the job.
        predictions: shape (n,); what it holds for a row in error is ignored.
        errors: at most one per row.
        carried: of the chunk.
    """
    import pyarrow as pa  # noqa: PLC0415

    n = len(predictions)
    bad = np.zeros(n, bool)
    texts: list[list[str | None]] = [[None] * n for _ in range(3)] if errors else []
    for error in errors:
        row = error.index - start
        bad[row] = True
        for column, text in zip(texts, (error.field, error.code, error.detail), strict=True):
            column[row] = text
    columns = [pa.array(np.arange(start, start + n)), pa.array(predictions, pa.float64(), mask=bad)]
    columns += [pa.array(column, pa.string()) for column in texts] or [pa.nulls(n, pa.string())] * 3
    return _written(_beside(pa.record_batch(columns, schema=part_schema()), carried))


def decode_part(data: bytes) -> Any:
    """Read a part as a pyarrow RecordBatch of `part_schema()` and the columns that pass through.

    Raises:
        ChunkInvalid: these bytes are no part.
    """
    import pyarrow as pa  # noqa: PLC0415

    batch = _read(data)
    if not pa.schema(list(batch.schema)[: len(part_schema())]).equals(part_schema()):
        raise ChunkInvalid(f"no part: its columns are {batch.schema.names}")
    return batch


def carried_of(batch: Any, own: int) -> Any:
    """Return the columns of a RecordBatch that stand behind so many of our own; None if there are none."""
    import pyarrow as pa  # noqa: PLC0415

    fields = list(batch.schema)[own:]
    return pa.record_batch(batch.columns[own:], schema=pa.schema(fields)) if fields else None


def _beside(batch: Any, carried: Any) -> Any:
    """Put the columns that pass through behind ours."""
    import pyarrow as pa  # noqa: PLC0415

    if carried is None:
        return batch
    schema = pa.schema([*batch.schema, *carried.schema], metadata=batch.schema.metadata)
    return pa.record_batch([*batch.columns, *carried.columns], schema=schema)


def _written(batch: Any) -> bytes:
    import pyarrow as pa  # noqa: PLC0415

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _read(data: bytes | memoryview) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    try:
        with pa.ipc.open_stream(data) as reader:
            batch = reader.read_next_batch()
        batch.validate(full=True)  # Arrow believes what it reads: lengths that are not so would crash us later
        return batch
    except (pa.ArrowException, OSError, StopIteration) as error:
        raise ChunkInvalid(f"no Arrow stream: {error}") from error
