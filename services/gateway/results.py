"""Result records as bytes, in every format that a client may ask for, one part of a job after the other."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import msgspec

from services.gateway.tables.formats import ALIASES, Format
from shared.chunks import part_schema

ROW_GROUP_ROWS = 65_536  # of Parquet: small enough to hold, large enough for a short footer


class Renderer(Protocol):
    """Turns record batches of `part_schema()` into one document, in order."""

    def start(self) -> bytes: ...
    def batch(self, batch: Any) -> bytes: ...
    def end(self) -> bytes: ...


@dataclass(frozen=True)
class Output:
    """A format that results come in."""

    media_type: str
    suffix: str
    renderer: Callable[[], Renderer]


class _Error(msgspec.Struct):
    field: str
    code: str
    detail: str


class Record(msgspec.Struct, omit_defaults=True):
    """One row of a job: a prediction or an error."""

    index: int
    prediction: float | msgspec.UnsetType = msgspec.UNSET
    error: _Error | msgspec.UnsetType = msgspec.UNSET


def records(batch: Any) -> list[Record]:
    """Return the rows of a part as records."""
    rows = [Record(index, prediction) for index, prediction, *_ in _rows(batch)]
    for position, (_, prediction, field, code, detail) in enumerate(_rows(batch)):
        if prediction is None:
            rows[position] = Record(rows[position].index, error=_Error(field, code, detail))
    return rows


def _rows(batch: Any) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in batch.columns), strict=True)


class _Lines:
    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode_lines

    def start(self) -> bytes:
        return b""

    def batch(self, batch: Any) -> bytes:
        return self._encode(records(batch))

    def end(self) -> bytes:
        return b""


class _Document:
    """One JSON array."""

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._opening = b""

    def start(self) -> bytes:
        return b"["

    def batch(self, batch: Any) -> bytes:
        if not batch.num_rows:
            return b""
        opening, self._opening = self._opening, b",\n"
        return opening + self._encode(records(batch))[1:-1]

    def end(self) -> bytes:
        return b"]\n"


class _Csv:
    def start(self) -> bytes:
        return ",".join(part_schema().names).encode() + b"\n"

    def batch(self, batch: Any) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(_rows(batch))
        return text.getvalue().encode()

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


class _Arrow:
    def __init__(self, *, file: bool = False) -> None:
        import pyarrow as pa  # noqa: PLC0415 - a third of a second

        self._sink = _Sink()
        new = pa.ipc.new_file if file else pa.ipc.new_stream
        self._writer = new(pa.PythonFile(self._sink, mode="w"), part_schema())

    def start(self) -> bytes:
        return self._sink.take()

    def batch(self, batch: Any) -> bytes:
        self._writer.write_batch(batch)
        return self._sink.take()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.take()


class _Parquet:
    def __init__(self) -> None:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        self._table = pa.Table.from_batches
        self._sink = _Sink()
        self._writer = pq.ParquetWriter(pa.PythonFile(self._sink, mode="w"), part_schema())
        self._waiting: list[Any] = []

    def start(self) -> bytes:
        return self._sink.take()

    def batch(self, batch: Any) -> bytes:
        self._waiting.append(batch)
        if sum(waiting.num_rows for waiting in self._waiting) >= ROW_GROUP_ROWS:
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


OUTPUTS: Mapping[Format, Output] = {
    Format.LINES: Output("application/x-ndjson", "ndjson", _Lines),
    Format.CSV: Output("text/csv; charset=utf-8; header=present", "csv", _Csv),
    Format.JSON: Output("application/json", "json", _Document),
    Format.PARQUET: Output("application/vnd.apache.parquet", "parquet", _Parquet),
    Format.ARROW: Output("application/vnd.apache.arrow.stream", "arrows", _Arrow),
    Format.ARROW_FILE: Output("application/vnd.apache.arrow.file", "arrow", partial(_Arrow, file=True)),
}
_NAMES: Sequence[tuple[str, Format]] = [
    ("application/x-ndjson", Format.LINES),  # the first one that a range takes in is what it gets
    ("text/csv", Format.CSV),
    ("application/jsonl", Format.LINES),
    ("application/json", Format.JSON),
    ("application/vnd.apache.parquet", Format.PARQUET),
    ("application/vnd.apache.arrow.stream", Format.ARROW),
    ("application/vnd.apache.arrow.file", Format.ARROW_FILE),
]


def acceptable(accept: str) -> Output | None:
    """Return the output that an Accept header likes best; None if it takes none of ours.

    Equal wishes are decided by the order of the header, and a range by our order.
    """
    best: tuple[float, Format] | None = None
    refused = {name for name, quality in _wishes(accept) if quality <= 0}
    for wish, quality in _wishes(accept or "*/*"):
        found = next((f for name, f in _NAMES if name not in refused and _matches(wish, name)), None)
        if quality > 0 and found is not None and (best is None or quality > best[0]):
            best = (quality, found)
    return OUTPUTS[best[1]] if best else None


def _wishes(accept: str) -> Iterator[tuple[str, float]]:
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            yield ALIASES.get(name, name), float(quality)
        except ValueError:
            continue


def _matches(wish: str, name: str) -> bool:
    return wish in ("*/*", name) or (wish.endswith("/*") and name.startswith(wish[:-1]))
