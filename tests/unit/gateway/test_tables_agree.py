"""The fast way through a table and the row-wise one give the same rows and the same errors, whatever comes in."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway.tables import Format, TableRefused
from services.gateway.tables.lines import blocks, end_of_records
from tests.unit.gateway.tables import Read, arrow_of, parquet_of, read

# fmt: off
ODD_CELLS = [
    "1", "-2.5", "1e3", " 4 ", "+5", "1_0", ".5", "5.", "nan", "inf", "-Infinity", "1e999", "1e31", "1e-400", "0x1p3",
    "", "NA", " NA ", "null", "a", "b", "x", "y", " a", "ü", "True", "\t7", "1\u00a0", "\u0661", "1,2", "1\0",
    '"a"', '"x"', '"1"', '"a\nb"', '"a""b"', '"y"z', '5" pipe',
]
# fmt: on
CELLS = st.one_of(
    st.sampled_from(ODD_CELLS),
    st.floats().map(repr),
    st.text(st.characters(codec="utf-8", exclude_characters='\n\r,"'), max_size=5),
)
GOOD = st.tuples(
    st.sampled_from(["1", "2.5"]), st.sampled_from(["", "3"]), st.sampled_from("abc"), st.sampled_from("xy")
)
RECORDS = st.lists(st.one_of(GOOD, st.lists(CELLS, min_size=4, max_size=4), st.lists(CELLS, max_size=6)), max_size=12)

JSON_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(10**15, 10**40),
        st.floats(),
        st.text(max_size=4),
        st.sampled_from(["a", "b", "x", "y", "zzz", "1.5", "\ud800"]),
    ),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
OBJECTS = st.dictionaries(
    st.sampled_from(["size", "age", "kind", "zone", "extra", "é", "\udc00", 'a"b', "\0"]), JSON_VALUES, max_size=7
)
LINES = st.one_of(
    st.fixed_dictionaries(
        {"size": st.floats(-9, 9), "age": st.none(), "kind": st.sampled_from("abq"), "zone": st.sampled_from("xy")}
    ).map(json.dumps),
    OBJECTS.map(json.dumps),
    OBJECTS.map(lambda row: json.dumps(row, ensure_ascii=False)),
    JSON_VALUES.map(json.dumps),
    st.sampled_from(["", " ", "{", '{"size":1e999}', '{"size":01}', '{"size":1} {}', '{"size":1,"size":"x"}', "\x00"]),
)
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def outcome(kind: Format, body: bytes, passthrough: Sequence[str], *, by_rows: bool) -> Read | str:
    try:
        return read(kind, body, passthrough, by_rows=by_rows)
    except TableRefused as refused:
        return f"{type(refused).__name__}: {refused}"


def assert_agree(kind: Format, body: bytes, passthrough: Sequence[str] = ()) -> None:
    fast, slow = (outcome(kind, body, passthrough, by_rows=by_rows) for by_rows in (False, True))
    if isinstance(fast, str) or isinstance(slow, str):
        assert fast == slow
        return
    assert list(fast.errors) == list(slow.errors)
    np.testing.assert_array_equal(fast.x.view(np.uint64), slow.x.view(np.uint64))
    assert fast.ignored == slow.ignored
    assert told(fast.carried) == told(slow.carried)


def told(carried: Any) -> str:
    return f"{carried and (carried.schema, carried.to_pydict())}"  # as text NaN equals NaN


@relaxed
@given(
    RECORDS,
    st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([["age", "size"], ["note", "size"], []]),
)
def test_csv(records: list[list[str]], line_end: str, last: bool, latin: bool, passthrough: list[str]) -> None:
    fourth = passthrough[0] if passthrough else "age"
    text = line_end.join([f"zone,kind,size,{fourth}", *(",".join(record) for record in records)])
    text += line_end if last else ""
    body = text.encode("latin-1", "replace") if latin else text.encode("utf-8", "surrogatepass")
    assert_agree(Format.CSV, body, passthrough)


@relaxed
@given(st.text(st.sampled_from('1ax,"\n\r\ufeff \0é'), max_size=60), st.sampled_from([["zone"], []]))
def test_csv_of_any_characters(text: str, passthrough: list[str]) -> None:
    assert_agree(Format.CSV, b"size,age,kind,zone\n" + text.encode(), passthrough)


@relaxed
@given(st.lists(LINES, max_size=8), st.booleans(), st.sampled_from([["extra", "size"], ["size"]]))
def test_json_lines(lines: list[str], latin: bool, passthrough: list[str]) -> None:
    body = "\n".join(lines).encode("latin-1" if latin else "utf-8", "replace")
    assert_agree(Format.LINES, body, passthrough)


@relaxed
@given(st.lists(st.one_of(OBJECTS, JSON_VALUES), max_size=6))
def test_json_document(rows: list[Any]) -> None:
    assert_agree(Format.JSON, json.dumps({"instances": rows}).encode(), ["é", "age"])


@relaxed
@given(st.text(st.sampled_from('1ax,"\n\r é'), max_size=60), st.integers(1, 9))
def test_blocks_of_csv_hold_the_records_of_the_whole(text: str, size: int) -> None:
    data = text.encode()
    assert records(b"".join(blocks(io.BytesIO(data), end_of_records, size=size))) == records(data)
    parts = [records(block) for block in blocks(io.BytesIO(data), end_of_records, size=size)]
    assert [record for part in parts for record in part] == records(data)


def records(data: bytes) -> list[list[str]]:
    return [record for record in csv.reader(io.StringIO(data.decode(), newline="")) if record]


NUMBERS = st.one_of(
    st.lists(st.one_of(st.none(), st.floats()), min_size=1, max_size=20).map(lambda v: pa.array(v, pa.float64())),
    st.lists(st.one_of(st.none(), st.floats(width=32)), min_size=1, max_size=20).map(
        lambda v: pa.array(v, pa.float32())
    ),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20).map(lambda v: pa.array(v, pa.int64())),
    st.lists(st.none(), min_size=1, max_size=20).map(lambda v: pa.array(v, pa.null())),
    st.lists(st.decimals(-99, 99, places=3), min_size=1, max_size=20).map(lambda v: pa.array(v, pa.decimal128(9, 3))),
    st.lists(st.booleans(), min_size=1, max_size=3).map(pa.array),
)
TEXTS = st.lists(
    st.one_of(st.none(), st.sampled_from(["a", "b", "x", "y", "NA", "q", ""])), min_size=1, max_size=20
).flatmap(
    lambda v: st.sampled_from([pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]).map(
        lambda kind: pa.array(v, pa.string()).cast(kind)
    )
)


@relaxed
@given(NUMBERS, NUMBERS, TEXTS, TEXTS, st.booleans())
def test_parquet_and_arrow(size: Any, age: Any, kind: Any, zone: Any, more: bool) -> None:
    rows = min(map(len, (size, age, kind, zone)))
    columns = {"zone": zone[:rows], "size": size[:rows], "age": age[:rows], "kind": kind[:rows]}
    if more:
        del columns["age"]
        columns["other"] = pa.array([[1]] * rows)
    assert_agree(Format.PARQUET, parquet_of(columns), ["kind", "size"])
    assert_agree(Format.ARROW, arrow_of(columns), ["kind", "size"])
