"""Results as bytes, one part of a job after the other, in each format."""

import csv
import io
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from shared.chunks import part_schema

ROW_GROUP_ROWS = 65_536  # of Parquet: small enough to hold, large enough for a short footer
ROW_GROUP_BYTES = 1 << 25  # texts that pass through may be long


class Renderer(Protocol):
    """Turns record batches of parts into one document, in order."""

    def start(self) -> bytes: ...
    def batch(self, batch: Any) -> bytes: ...
    def end(self) -> bytes: ...


class _Error(msgspec.Struct):
    field: str
    code: str
    detail: str


class _Records:
    """Rows of a part as records for JSON: `{index, prediction}` or `{index, error}`, and what passed through."""

    def __init__(self, schema: Any) -> None:
        carried = schema.names[len(part_schema()) :]
        own: list[Any] = [("index", int), ("prediction", Any, msgspec.UNSET), ("error", Any, msgspec.UNSET)]
        fields = [*own, *((f"carried_{i}", Any, msgspec.UNSET) for i in range(len(carried)))]
        rename = {f"carried_{i}": name for i, name in enumerate(carried)}
        self._record = msgspec.defstruct("Record", fields, omit_defaults=True, rename=rename, gc=False)

    def of(self, batch: Any) -> list[Any]:
        from services.gateway.values import for_json  # noqa: PLC0415 - it loads pyarrow

        predictions = batch.column(1).to_pylist()
        errors: list[Any] = [msgspec.UNSET] * batch.num_rows
        for row, error in _errors(batch):
            predictions[row], errors[row] = msgspec.UNSET, error
        own = len(part_schema())
        carried = (for_json(f, c) for f, c in zip(list(batch.schema)[own:], batch.columns[own:], strict=True))
        return list(map(self._record, batch.column(0).to_pylist(), predictions, errors, *carried))


def _errors(batch: Any) -> Iterator[tuple[int, _Error]]:
    field, code, detail = (batch.column(name) for name in ("error_field", "error_code", "error_detail"))
    if code.null_count == batch.num_rows:
        return
    for row, values in enumerate(zip(field.to_pylist(), code.to_pylist(), detail.to_pylist(), strict=True)):
        if values[1] is not None:
            yield row, _Error(*values)


class LinesRenderer:
    def __init__(self, schema: Any) -> None:
        self._records = _Records(schema)
        self._encode = msgspec.json.Encoder().encode_lines

    def start(self) -> bytes:
        return b""

    def batch(self, batch: Any) -> bytes:
        return self._encode(self._records.of(batch))

    def end(self) -> bytes:
        return b""


class DocumentRenderer:
    """One JSON array."""

    def __init__(self, schema: Any) -> None:
        self._records = _Records(schema)
        self._encode = msgspec.json.Encoder().encode
        self._opening = b""

    def start(self) -> bytes:
        return b"["

    def batch(self, batch: Any) -> bytes:
        if not batch.num_rows:
            return b""
        opening, self._opening = self._opening, b",\n"
        return opening + self._encode(self._records.of(batch))[1:-1]

    def end(self) -> bytes:
        return b"]\n"


class CsvRenderer:
    def __init__(self, schema: Any, *, header: bool = True) -> None:
        self._names = schema.names if header else []

    def start(self) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self._names] if self._names else [])
        return text.getvalue().encode()

    def batch(self, batch: Any) -> bytes:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.compute as pc  # noqa: PLC0415

        from services.gateway.values import for_csv  # noqa: PLC0415

        if not batch.num_rows:
            return b""
        columns = [for_csv(field, column) for field, column in zip(batch.schema, batch.columns, strict=True)]
        lines = pc.binary_join_element_wise(*columns, ",")
        (text,) = pc.binary_join(pa.ListArray.from_arrays([0, len(lines)], lines), "\n")
        return bytes(text.as_buffer()) + b"\n"

    def end(self) -> bytes:
        return b""


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
