"""Columns that pass through come back as they came in, whatever the format; what cannot is refused at once."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from services.gateway.tables import Format, NotATable, PassthroughRefused, TableLimits, TableTooLarge
from services.gateway.tables.passthrough import MAX_COLUMNS, check_passthrough
from shared.chunks import JSON_TEXT
from tests.unit.gateway.tables import a_row, arrow_of, lines_of, parquet_of, read

MEGABYTE = 1 << 20


def columns_of(rows: int, **more: Any) -> dict[str, Any]:
    return {name: [value] * rows for name, value in a_row().items()} | more


def carried(kind: Format, body: bytes, *names: str) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = read(kind, body, names).carried.to_pydict()
    return columns


# --- what comes back


def test_csv_passes_through_as_text() -> None:
    body = (
        b'id,size,age,kind,zone,note\n007,1.50,2,b,y,"a ""b"",\n c"\n,1.5,2,b,y,\n3,x,2,b,y,NA\n1,2\n5,1,2,b,y,\xff\n'
    )
    assert carried(Format.CSV, body, "note", "id", "size") == {
        "note": ['a "b",\n c', None, "NA", None, "\ufffd"],
        "id": ["007", None, "3", None, "5"],
        "size": ["1.50", "1.5", "x", None, "1"],
    }


def test_a_malformed_record_among_others_carries_nothing() -> None:
    body = b"id,size,age,kind,zone\n1,1,2,b,y\n2,2\n3,1,2,b,y\n4,4,4\n"
    assert carried(Format.CSV, body, "id") == {"id": ["1", None, "3", None]}


VALUES = ["17", '"a"', '"é\\n"', "null", "1.10", "-0", "1e400", "12345678901234567890123", '[1, {"x" : 2.0}]', "true"]


def test_json_passes_through_as_it_was_written() -> None:
    rows = [json.dumps(a_row())[:-1] + f', "id": {value}}}' for value in VALUES]
    found = carried(Format.LINES, "\n".join([*rows, json.dumps(a_row()), "{"]).encode(), "id")
    assert found == {"id": [None if value == "null" else value for value in VALUES] + [None, None]}
    document = '{"instances": [' + ",\n".join(rows) + "]}"
    assert carried(Format.JSON, document.encode(), "id")["id"] == found["id"][:-2]


def test_json_texts_are_marked_as_such_and_have_no_line_breaks() -> None:
    table = read(
        Format.JSON, b'{"instances": [{"size": 1, "zone": "x", "id": {\n "a":\r\n [1.0,\n 2]}}]}', ["id"]
    ).carried
    assert table.schema.field("id").metadata == JSON_TEXT
    assert table.column("id").to_pylist() == ['{"a":[1.0,2]}']


@pytest.mark.parametrize("id_", ["NaN", "[1, Infinity]"])
def test_what_json_cannot_say_is_null(id_: str) -> None:
    body = f'{{"size": 1, "zone": "x", "id": {id_}, "name": "\\ud800"}}'.encode()
    assert carried(Format.LINES, body, "id", "name") == {"id": [None], "name": ['"\\ud800"']}


def test_a_row_in_error_still_passes_its_columns_on() -> None:
    found = read(Format.LINES, lines_of([a_row(size="x", id=1), a_row(size=float("nan"), id=2), [3]]), ["id", "size"])
    assert found.codes() == {0: "wrong_type", 1: "not_finite", 2: "malformed"}
    assert found.carried.to_pydict() == {"id": ["1", "2", None], "size": ['"x"', None, None]}


TYPED = {
    "i": pa.array([2**63 - 1, None], pa.int64()),
    "u": pa.array([2**64 - 1, 0], pa.uint64()),
    "f": pa.array([0.1, float("inf")], pa.float32()),
    "b": pa.array([True, None]),
    "t": pa.array(["a", ""]),
    "d": pa.array([date(2020, 1, 2), None]),
    "ts": pa.array([datetime(2020, 1, 2, tzinfo=UTC)] * 2, pa.timestamp("us", "Europe/Berlin")),
    "m": pa.array([Decimal("1.10"), None], pa.decimal128(9, 2)),
    "z": pa.nulls(2),
}


@pytest.mark.parametrize("kind", [Format.PARQUET, Format.ARROW])
def test_typed_columns_keep_their_type(kind: Format) -> None:
    write = parquet_of if kind is Format.PARQUET else arrow_of
    table = read(kind, write(columns_of(2, **TYPED)), [*TYPED, "size"]).carried
    assert table.drop(["size"]).equals(pa.table(TYPED))
    assert table.column("size").to_pylist() == [1.5, 1.5]


@pytest.mark.parametrize("kind", [Format.PARQUET, Format.ARROW])
@pytest.mark.parametrize("value", [pa.large_string(), pa.dictionary(pa.int8(), pa.string()), pa.string_view()])
def test_text_is_text_however_it_is_kept(kind: Format, value: Any) -> None:
    names = ["x", None, "y"]
    body = (parquet_of if kind is Format.PARQUET else arrow_of)(columns_of(3, id=pa.array(names).cast(value)))
    table = read(kind, body, ["id"]).carried
    assert (table.schema.field("id").type, table.column("id").to_pylist()) == (pa.string(), names)


def test_uuids_pass_through_as_text() -> None:
    ids = ["00112233-4455-6677-8899-aabbccddeeff", None]
    raw = [bytes.fromhex(i.replace("-", "")) if i else None for i in ids]
    body = arrow_of(columns_of(2, id=pa.array(raw, pa.uuid())))
    assert carried(Format.ARROW, body, "id") == {"id": ids}


# --- what is refused


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Format.CSV, b"size,age,kind,zone\n1,2,b,y\n"),
        (Format.LINES, lines_of([a_row()])),
        (Format.JSON, b'{"instances": [' + lines_of([a_row()]) + b"]}"),
        (Format.PARQUET, parquet_of(columns_of(1))),
        (Format.ARROW, arrow_of(columns_of(1))),
    ],
)
def test_a_column_that_is_not_there_is_refused_with_its_name_and_those_found(kind: Format, body: bytes) -> None:
    with pytest.raises(PassthroughRefused, match=r"no column 'id' to pass through; it has .*'size'") as refused:
        read(kind, body, ["size", "id"])
    assert refused.value.name == "id"


@pytest.mark.parametrize(
    ("names", "because"),
    [
        (["a", "a"], "more than once"),
        ([""], "without a name"),
        (["prediction"], "one of that name"),
        (["error"], "one of that name"),
        (['a"b'], "quotes"),
        (["a\nb"], "quotes"),
        ([str(i) for i in range(MAX_COLUMNS + 1)], "up to 100"),
    ],
)
def test_impossible_names_are_refused(names: list[str], because: str) -> None:
    with pytest.raises(PassthroughRefused, match=because):
        check_passthrough(names)


@pytest.mark.parametrize("kind", [Format.PARQUET, Format.ARROW])
@pytest.mark.parametrize(
    "column", [pa.array([[1]]), pa.array([{"a": 1}]), pa.array([b"a"]), pa.array([1], pa.duration("s"))]
)
def test_types_that_flat_results_cannot_hold_are_refused(kind: Format, column: Any) -> None:
    body = (parquet_of if kind is Format.PARQUET else arrow_of)(columns_of(1, id=column))
    with pytest.raises(PassthroughRefused, match="'id' has type"):
        read(kind, body, ["id"])


def test_what_parquet_could_not_write_is_refused() -> None:
    negative = pa.array([Decimal("1700")], pa.decimal128(5, -2))
    with pytest.raises(PassthroughRefused, match="'id' has type"):
        read(Format.ARROW, arrow_of(columns_of(1, id=negative)), ["id"])
    distant = pa.array([10**18], pa.timestamp("s"))
    with pytest.raises(NotATable, match="out of bounds"):
        read(Format.ARROW, arrow_of(columns_of(1, id=distant)), ["id"])


# --- memory


def test_a_long_text_that_many_rows_share_costs_one_copy() -> None:
    # 16 MB on disk in one page, 160 GB if every row had its own
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000), pa.array(["x" * (8 * MEGABYTE)]))
    body = parquet_of(columns_of(10_000, kind=long, zone=long))
    found = read(Format.PARQUET, body, limits=TableLimits(MEGABYTE, 32 * MEGABYTE))
    assert set(found.codes().values()) == {"unknown_category"}
    assert len(found.errors) == 10_000
    with pytest.raises(TableTooLarge, match="pass through take more than 16 MB"):
        read(Format.PARQUET, body, ["kind"], limits=TableLimits(MEGABYTE, 32 * MEGABYTE))


def test_what_passes_through_is_bounded_in_all() -> None:
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000), pa.array(["x" * 5000]))
    body = parquet_of(columns_of(10_000, id=shared))
    assert len(body) < MEGABYTE
    limits = TableLimits(MEGABYTE, MEGABYTE, carried=20 * MEGABYTE)
    with pytest.raises(TableTooLarge, match="20,971,520 bytes in all"):
        read(Format.PARQUET, body, ["id"], limits=limits)


def test_a_column_of_text_over_the_limit_in_one_row_group_is_refused() -> None:
    body = parquet_of(columns_of(3, id=[c * MEGABYTE for c in "abc"]), compression="zstd")
    assert len(body) < MEGABYTE
    limits = TableLimits(MEGABYTE, 2 * MEGABYTE)
    with pytest.raises(TableTooLarge, match=r"'id' takes 3,.* in one row group, more than 2,097,152"):
        read(Format.PARQUET, body, ["id"], limits=limits)
    assert not read(Format.PARQUET, body, limits=limits).errors, "who does not want it does not read it"
