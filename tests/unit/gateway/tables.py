"""Tables and signatures for the tests of services.gateway.tables."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from services.gateway.tables import Format, TableLimits, open_table
from shared.signature import Feature, FieldError, Signature, Target

LIMITS = TableLimits(document=1 << 20, record_batch=1 << 20)


def a_signature() -> Signature:
    """Two numbers and two categories, of each one that may be null."""
    return Signature(
        target=Target(name="y"),
        features=(
            Feature(name="size", kind="numeric", nullable=False, example=1.0),
            Feature(name="age", kind="numeric", nullable=True, example=2.0),
            Feature(name="kind", kind="categorical", nullable=True, categories=("a", "b", "c"), example="a"),
            Feature(
                name="zone",
                kind="categorical",
                nullable=False,
                categories=("x", "y"),
                accepts_unknown=False,
                example="x",
            ),
        ),
    )


def a_row(**changes: Any) -> dict[str, Any]:
    return {"size": 1.5, "age": 2.0, "kind": "b", "zone": "y"} | changes


@dataclass(frozen=True)
class Read:
    """A table that was read to its end."""

    x: NDArray[np.float64]
    errors: Sequence[tuple[int, FieldError]]
    ignored: Sequence[str]
    carried: Any
    """Table of what passed through, or None."""

    def codes(self) -> dict[int, str]:
        return {row: error.code for row, error in self.errors}


def read(
    kind: Format,
    body: bytes,
    passthrough: Sequence[str] = (),
    *,
    by_rows: bool = False,
    signature: Signature | None = None,
    limits: TableLimits = LIMITS,
) -> Read:
    table = open_table(kind, io.BytesIO(body), signature or a_signature(), limits, passthrough, by_rows=by_rows)
    start, parts, errors, carried = 0, [], [], []
    for block in table.blocks():
        if passthrough:
            assert block.carried.num_rows == len(block.x)
            carried.append(block.carried)
        errors += [(start + row, error) for row, error in block.errors]
        parts.append(block.x)
        start += len(block.x)
    x = np.concatenate(parts) if parts else np.empty((0, 4))
    # of one schema, or else this raises
    return Read(x, errors, list(table.ignored_columns), pa.Table.from_batches(carried) if carried else None)


def csv_of(*lines: str) -> bytes:
    return "\n".join(["size,age,kind,zone", *lines, ""]).encode()


def lines_of(rows: Iterable[object]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def parquet_of(columns: Mapping[str, Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), sink, **options)
    return sink.getvalue()


def arrow_of(
    columns: Mapping[str, Any], compression: str | None = None, max_chunksize: int | None = 7, *, file: bool = False
) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table(dict(columns))
    new = pa.ipc.new_file if file else pa.ipc.new_stream
    with new(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=max_chunksize)
    data: bytes = sink.getvalue().to_pybytes()
    return data
