"""Records and what passed through are read back from every format as they were, however the rows are cut into parts."""

import csv
import io
import json
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway.results import OUTPUTS
from services.gateway.tables import Format
from services.gateway.tables.block import nameable
from services.gateway.tables.carried import of_json
from shared.chunks import RowError, decode_part, encode_part

TEXT = st.text(
    st.one_of(st.characters(codec="utf-8", exclude_characters="\0"), st.sampled_from('",\n\r; ')), max_size=6
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
COLUMNS: dict[Any, Any] = {
    pa.string(): TEXT,
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float64(): FINITE,
    pa.float32(): st.floats(width=32, allow_nan=False, allow_infinity=False),
    pa.bool_(): st.booleans(),
    pa.date32(): st.dates(),
    pa.timestamp("us"): st.datetimes(),
    pa.decimal128(20, 4): st.decimals(-(10**9), 10**9, places=4),
}
PREDICTIONS = st.one_of(FINITE, st.sampled_from([0.0, -0.0, 5e-324, 1e15, 1e16, 1e300, 0.1 + 0.2]))
ERRORS = st.none() | st.builds(
    RowError, st.just(0), TEXT, st.sampled_from(["null", "malformed"]), TEXT.map("x".__add__)
)
relaxed = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def carried_columns(draw: st.DrawFn, rows: int) -> pa.RecordBatch:
    kinds = draw(st.lists(st.sampled_from(list(COLUMNS)), max_size=3))
    columns = [
        pa.array(draw(st.lists(st.none() | COLUMNS[kind], min_size=rows, max_size=rows)), kind) for kind in kinds
    ]
    names = draw(
        st.lists(TEXT.filter(nameable).map("c".__add__), min_size=len(kinds), max_size=len(kinds), unique=True)
    )
    return pa.record_batch(columns, names=names) if names else None


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[float], list[RowError], Any, list[int]]:
    """Predictions, errors, what passed through, and the rows of each part."""
    sizes = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    rows = sum(sizes)
    predictions = draw(st.lists(PREDICTIONS, min_size=rows, max_size=rows))
    found = draw(st.lists(ERRORS, min_size=rows, max_size=rows))
    errors = [RowError(i, e.field, e.code, e.detail) for i, e in enumerate(found) if e is not None]
    return predictions, errors, draw(carried_columns(rows)), sizes


def read_columns(kind: Format, data: bytes) -> Any:
    if kind is Format.PARQUET:
        return pq.read_table(io.BytesIO(data))
    return (pa.ipc.open_stream if kind is Format.ARROW else pa.ipc.open_file)(data).read_all()


def document(kind: Format, table: tuple[list[float], list[RowError], Any, list[int]]) -> bytes:
    predictions, errors, carried, sizes = table
    parts, start = [], 0
    for size in sizes:
        some = [error for error in errors if start <= error.index < start + size]
        slice_ = None if carried is None else carried.slice(start, size)
        parts.append(decode_part(encode_part(start, np.array(predictions[start : start + size]), some, slice_)))
        start += size
    renderer = OUTPUTS[kind].renderer(parts[0].schema)
    return renderer.start() + b"".join(map(renderer.batch, parts)) + renderer.end()


def expected(table: tuple[list[float], list[RowError], Any, list[int]]) -> list[dict[str, Any]]:
    predictions, errors, carried, _ = table
    wrong = {error.index: error for error in errors}
    more = carried.to_pylist() if carried is not None else [{}] * len(predictions)
    rows = []
    for index, prediction in enumerate(predictions):
        e = wrong.get(index)
        result = (
            {"prediction": prediction} if e is None else {"error": dict(field=e.field, code=e.code, detail=e.detail)}
        )
        rows.append({"index": index} | result | more[index])
    return rows


def bits(value: Any) -> Any:
    """Tell 0.0 from -0.0."""
    return (value, math.copysign(1, value)) if isinstance(value, float) else value


def assert_same(found: Sequence[dict[str, Any]], wanted: Sequence[dict[str, Any]]) -> None:
    assert [list(row) for row in found] == [list(row) for row in wanted]
    assert [list(map(bits, row.values())) for row in found] == [list(map(bits, row.values())) for row in wanted]


def for_json(value: Any) -> Any:
    """Return what a value is in JSON once it was read again, numbers exactly."""
    if isinstance(value, str | bool | int | float | dict) or value is None:
        return value
    return value if isinstance(value, Decimal) else str(value).replace(" ", "T")


@relaxed
@given(tables())
def test_json(table: Any) -> None:
    decimals = {f.name for f in (table[2].schema if table[2] is not None else []) if pa.types.is_decimal(f.type)}
    times = {f.name for f in (table[2].schema if table[2] is not None else []) if pa.types.is_timestamp(f.type)}
    lines = [json.loads(line) for line in document(Format.LINES, table).splitlines()]
    assert json.loads(document(Format.JSON, table)) == lines
    wanted = [{name: for_json(value) for name, value in row.items()} for row in expected(table)]
    for rows in (lines, wanted):
        for row in rows:
            row.update({name: Decimal(str(row[name])) for name in decimals if row[name] is not None})
            row.update({name: row[name].split(".")[0] for name in times if row[name] is not None})
    assert_same(lines, wanted)


def flat(row: dict[str, Any]) -> dict[str, Any]:
    own = {"index": row["index"], "prediction": row.get("prediction")}
    error = {f"error_{name}": row.get("error", {}).get(name) for name in ("field", "code", "detail")}
    return own | error | {name: value for name, value in row.items() if name not in ("index", "prediction", "error")}


@relaxed
@given(tables())
def test_csv(table: Any) -> None:
    header, *rows = csv.reader(io.StringIO(document(Format.CSV, table).decode(), newline=""))
    wanted = [flat(row) for row in expected(table)]
    assert len(rows) == len(wanted)
    for row, values in zip(rows, wanted, strict=True):
        assert header == list(values)
        for text, value in zip(row, values.values(), strict=True):
            assert_cell(text, value)


def assert_cell(text: str, value: Any) -> None:
    if value is None:
        assert text == ""
    elif isinstance(value, float):
        assert bits(float(text)) == bits(value)
        assert set(text) & set(".e"), "a float looks like one"
    elif isinstance(value, bool):
        assert text == str(value).lower()
    elif isinstance(value, Decimal):
        assert Decimal(text) == value
    else:
        assert (
            text.split(".", maxsplit=1)[0] == str(value).split(".")[0].replace(" ", "T")
            if hasattr(value, "year")
            else text == str(value)
        )


@relaxed
@given(tables())
def test_columns(table: Any) -> None:
    wanted = [flat(row) for row in expected(table)]
    for kind in (Format.PARQUET, Format.ARROW, Format.ARROW_FILE):
        found = read_columns(kind, document(kind, table))
        assert_same(found.to_pylist(), wanted)
        if table[2] is not None:
            assert list(found.schema)[5:] == list(table[2].schema)


@relaxed
@given(st.lists(JSON, min_size=1, max_size=6))
def test_json_that_passed_through_is_what_it_was(values: list[Any]) -> None:
    column = [json.dumps(value).encode() for value in values]
    table: Any = (
        [1.5] * len(values),
        [],
        of_json(["id"], [[None if text == b"null" else text for text in column]]),
        [len(values)],
    )
    lines = document(Format.LINES, table).splitlines()
    assert [json.loads(line)["id"] for line in lines] == values
    wanted = [v if isinstance(v, str) or v is None else json.dumps(v) for v in values]
    assert pq.read_table(io.BytesIO(document(Format.PARQUET, table))).column("id").to_pylist() == wanted
    _, *rows = csv.reader(io.StringIO(document(Format.CSV, table).decode(), newline=""))
    assert [row[5] for row in rows] == [value or "" for value in wanted]


def test_a_lone_surrogate_is_a_question_mark_where_utf8_has_to_say_it() -> None:
    table: Any = ([1.0], [], of_json(["id"], [[b'"\\ud800"']]), [1])
    assert json.loads(document(Format.LINES, table))["id"] == "\ud800"
    assert document(Format.CSV, table).splitlines()[1] == b"0,1.0,,,,?"
