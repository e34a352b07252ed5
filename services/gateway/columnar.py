"""Results in columns, one part of a job after the other: Arrow and Parquet."""

import io
from typing import Any

ROW_GROUP_ROWS = 65_536  # of Parquet: small enough to hold, large enough for a short footer
ROW_GROUP_BYTES = 1 << 25  # texts that pass through may be long


class _Sink(io.RawIOBase):
    """A file that is written once, from front to back, and taken away piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        return len(piece)

    def take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


class ArrowRenderer:
    def __init__(self, schema: Any, *, file: bool = False) -> None:
        import pyarrow as pa  # noqa: PLC0415 - a third of a second

        from services.gateway.values import for_columns, schema_for_columns  # noqa: PLC0415

        self._sink = _Sink()
        self._plain = for_columns
        new = pa.ipc.new_file if file else pa.ipc.new_stream
        self._writer = new(pa.PythonFile(self._sink, mode="w"), schema_for_columns(schema))

    def start(self) -> bytes:
        return self._sink.take()

    def batch(self, batch: Any) -> bytes:
        self._writer.write_batch(self._plain(batch))
        return self._sink.take()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.take()


class ParquetRenderer:
    def __init__(self, schema: Any) -> None:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        from services.gateway.values import for_columns, schema_for_columns  # noqa: PLC0415

        self._table = pa.Table.from_batches
        self._plain = for_columns
        self._sink = _Sink()
        self._writer = pq.ParquetWriter(pa.PythonFile(self._sink, mode="w"), schema_for_columns(schema))
        self._waiting: list[Any] = []

    def start(self) -> bytes:
        return self._sink.take()

    def batch(self, batch: Any) -> bytes:
        self._waiting.append(self._plain(batch))
        rows = sum(waiting.num_rows for waiting in self._waiting)
        if rows >= ROW_GROUP_ROWS or sum(waiting.nbytes for waiting in self._waiting) >= ROW_GROUP_BYTES:
            self._flush()
        return self._sink.take()

    def end(self) -> bytes:
        self._flush()
        self._writer.close()
        return self._sink.take()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(self._table(self._waiting))
            self._waiting.clear()
