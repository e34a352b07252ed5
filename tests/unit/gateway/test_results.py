"""Which format an Accept header gets, and that each one is whole whatever the parts."""

import csv
import io
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.gateway.columnar import ROW_GROUP_ROWS
from services.gateway.rendering import SLICE_ROWS
from services.gateway.results import OUTPUTS, acceptable
from services.gateway.tables import Format
from shared.chunks import RowError, decode_part, encode_part, part_schema


@pytest.mark.parametrize(
    ("accept", "suffix"),
    [
        ("", "ndjson"),
        ("*/*", "ndjson"),
        ("application/*", "ndjson"),
        ("text/*", "csv"),
        ("text/html, application/json;q=0.9, */*;q=0.1", "json"),
        ("application/json;q=0.5, text/csv", "csv"),
        ("text/csv, application/json", "csv"),
        ("application/x-ndjson;q=0, */*", "csv"),
        ("APPLICATION/VND.APACHE.PARQUET", "parquet"),
        ("application/vnd.apache.arrow.stream", "arrows"),
        ("application/vnd.apache.arrow.file", "arrow"),
        ("application/jsonl", "ndjson"),
        ("application/ndjson, text/csv;q=0.9", "ndjson"),
        ("application/x-parquet", "parquet"),
        ("application/json;q=x, text/csv;q=0.1", "csv"),
        ("image/png", None),
        ("text/csv;q=0", None),
    ],
)
def test_the_format_by_accept(accept: str, suffix: str | None) -> None:
    found = acceptable(accept)
    assert (found.suffix if found else None) == suffix


def document(kind: Format, *parts: bytes) -> bytes:
    renderer = OUTPUTS[kind].renderer(decode_part(parts[0]).schema if parts else part_schema())
    batches = [renderer.batch(decode_part(part)) for part in parts]
    return renderer.start() + b"".join(batches) + renderer.end()


def parts(rows: int, size: int) -> list[bytes]:
    return [encode_part(start, np.arange(start, start + size) / 7, []) for start in range(0, rows, size)]


@pytest.mark.parametrize("kind", list(Format))
def test_a_document_without_rows_is_a_document(kind: Format) -> None:
    empty = encode_part(0, np.empty(0), [])
    for some in ([], [empty], [empty, empty]):
        data = document(kind, *some)
        if kind is Format.JSON:
            assert json.loads(data) == []
        if kind is Format.PARQUET:
            assert pq.read_table(io.BytesIO(data)).num_rows == 0
        if kind is Format.ARROW:
            assert pa.ipc.open_stream(data).read_all().num_rows == 0
        if kind is Format.ARROW_FILE:
            assert pa.ipc.open_file(data).read_all().num_rows == 0
        if kind in (Format.CSV, Format.LINES):
            assert len(data.splitlines()) == (kind is Format.CSV)


def test_empty_parts_between_others_leave_no_trace() -> None:
    empty = encode_part(0, np.empty(0), [])
    assert len(json.loads(document(Format.JSON, empty, *parts(4, 2), empty))) == 4


@pytest.mark.parametrize("kind", [Format.CSV, Format.LINES, Format.JSON])
def test_a_large_part_is_told_as_small_ones_are(kind: Format) -> None:
    values, wrong = np.arange(2 * SLICE_ROWS + 1) / 7, [0, SLICE_ROWS - 1, SLICE_ROWS, 2 * SLICE_ROWS]
    errors = [RowError(row, "a,b", "wrong_type", f"{row}\n,") for row in wrong]
    whole = encode_part(0, values, errors)
    starts = range(0, len(values), 1000)
    small = [encode_part(i, values[i : i + 1000], [e for e in errors if i <= e.index < i + 1000]) for i in starts]
    found, wanted = document(kind, whole), document(kind, *small)
    assert (json.loads(found) == json.loads(wanted)) if kind is Format.JSON else (found == wanted)


def test_predictions_keep_their_bits() -> None:
    values = np.array([0.1, 1 / 3, 1e300, 5e-324, -0.0, 30.0])
    data = encode_part(0, values, [])
    lines = [json.loads(line)["prediction"] for line in document(Format.LINES, data).splitlines()]
    cells = [float(row[1]) for row in list(csv.reader(io.StringIO(document(Format.CSV, data).decode())))[1:]]
    for found in (lines, cells):
        assert np.array(found).tobytes() == values.tobytes()


def test_texts_are_escaped() -> None:
    detail = "expected a number, got 'a \"b\",\\n'"
    data = encode_part(7, np.array([math.nan]), [RowError(7, "a,b", "wrong_type", detail)])
    row = list(csv.reader(io.StringIO(document(Format.CSV, data).decode())))[1]
    assert row == ["7", "", "a,b", "wrong_type", detail]
    assert json.loads(document(Format.LINES, data)) == {
        "index": 7,
        "error": {"field": "a,b", "code": "wrong_type", "detail": detail},
    }


def test_parquet_has_few_row_groups_whatever_the_parts() -> None:
    file = pq.ParquetFile(io.BytesIO(document(Format.PARQUET, *parts(2 * ROW_GROUP_ROWS, 4096))))
    assert file.metadata.num_row_groups == 2
    assert file.read().column("index").to_pylist() == list(range(2 * ROW_GROUP_ROWS))
