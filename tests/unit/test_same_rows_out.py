"""Any table in, the same rows out: from the bytes that a caller sends to those that come back, in all formats."""

import csv
import io
import json
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.gateway.jobs.chunked import write_chunks
from services.gateway.results import OUTPUTS
from services.gateway.tables import Format, TableLimits, open_table
from services.scorer.score import score_chunk
from shared.chunks import decode_part
from shared.profile import Profile, build_profile
from shared.signature import Feature, Signature, Target
from tests.unit.gateway.tables import arrow_of, parquet_of

SIGNATURE = Signature(
    target=Target(name="y"),
    features=(
        Feature(name="size", kind="numeric", nullable=False),
        Feature(name="kind", kind="categorical", nullable=True, categories=("a", "b")),
    ),
)
TEXT = st.text(st.one_of(st.characters(codec="utf-8", exclude_characters="\0"), st.sampled_from('",\n\r')), max_size=5)
ROWS = st.lists(
    st.tuples(st.none() | st.floats(-1e9, 1e9), st.sampled_from(["a", "b", "zz", None]), st.none() | TEXT.filter(bool)),
    min_size=1,
    max_size=12,
)
NAMES = ["size", "kind", "id"]


class Size:
    """Predicts the size of a row."""

    errors = None
    profile: Profile = build_profile(SIGNATURE, np.zeros((2, 2)), np.zeros(2))

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x[:, 0]


@dataclass(frozen=True)
class Body:
    kind: Format
    data: bytes


def csv_of(rows: list[dict[str, Any]], names: list[str]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def body_of(kind: Format, rows: list[dict[str, Any]], names: list[str]) -> bytes:
    ordered = [{name: row[name] for name in names} for row in rows]
    types = {"size": pa.float64(), "kind": pa.string(), "id": pa.string()}
    columns = {name: pa.array([row[name] for row in rows], types[name]) for name in names}
    match kind:
        case Format.CSV:
            return csv_of(rows, names)
        case Format.LINES:
            return "\n".join(map(json.dumps, ordered)).encode()
        case Format.JSON:
            return json.dumps({"instances": ordered}).encode()
        case Format.PARQUET:
            return parquet_of(columns, row_group_size=5)
        case _:
            return arrow_of(columns, file=kind is Format.ARROW_FILE)


def scored(kind: Format, body: bytes, chunk_rows: int) -> list[Any]:
    """Return the parts of a job."""
    table = open_table(kind, io.BytesIO(body), SIGNATURE, TableLimits(1 << 20, 1 << 20), ["id"])
    with TemporaryFile() as file:
        chunked = write_chunks(table.blocks(), file, chunk_rows=chunk_rows, max_rows=1000)
        file.seek(0)
        data = file.read()
    spans = zip(chunked.offsets, chunked.offsets[1:], strict=False)
    return [
        decode_part(score_chunk(Size(), data[start:end], chunk * chunk_rows).data)
        for chunk, (start, end) in enumerate(spans)
    ]


def read_back(kind: Format, parts: list[Any]) -> list[tuple[Any, ...]]:
    """Return index, prediction, the error's field and code, and id of every record."""
    renderer = OUTPUTS[kind].renderer(parts[0].schema)
    data = renderer.start() + b"".join(map(renderer.batch, parts)) + renderer.end()
    if kind in (Format.LINES, Format.JSON):
        records = json.loads(data) if kind is Format.JSON else [json.loads(line) for line in data.splitlines()]
        errors = [record.get("error", {}) for record in records]
        return [
            (r["index"], r.get("prediction"), e.get("field"), e.get("code"), r["id"])
            for r, e in zip(records, errors, strict=True)
        ]
    if kind is Format.CSV:
        _, *rows = csv.reader(io.StringIO(data.decode(), newline=""))
        return [(int(r[0]), float(r[1]) if r[1] else None, r[2] or None, r[3] or None, r[5] or None) for r in rows]
    if kind is Format.PARQUET:
        table = pq.read_table(io.BytesIO(data))
    else:
        table = (pa.ipc.open_file if kind is Format.ARROW_FILE else pa.ipc.open_stream)(data).read_all()
    names = ("index", "prediction", "error_field", "error_code", "id")
    return [tuple(row[name] for name in names) for row in table.to_pylist()]


@pytest.mark.parametrize("kind", list(Format))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS, st.permutations(NAMES), st.integers(1, 5), st.sampled_from(list(Format)))
def test_same_rows_out(
    kind: Format, rows: list[tuple[Any, ...]], names: list[str], chunk_rows: int, output: Format
) -> None:
    named = [dict(zip(NAMES, row, strict=True)) for row in rows]
    found = read_back(output, scored(kind, body_of(kind, named, names), chunk_rows))
    assert found == [
        (index, size, None, None, id_) if size is not None else (index, None, "size", "null", id_)
        for index, (size, _, id_) in enumerate(rows)
    ]
