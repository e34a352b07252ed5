"""What becomes of each kind of table: which rows are scored, which are in error, and which tables are refused."""

import io
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.jobs.refusals import as_problem
from services.gateway.tables import (
    ColumnsMissing,
    ColumnWrongType,
    Format,
    NotATable,
    NotInstances,
    TableRefused,
    TableTooLarge,
    format_of,
    open_table,
)
from services.gateway.tables.lines import blocks, end_of_lines
from shared.signature import Feature, Signature, Target
from tests.unit.gateway.tables import LIMITS, a_row, a_signature, arrow_of, csv_of, lines_of, parquet_of, read

EXPECTED = [1.5, 2.0, 1.0, 1.0]  # a_row(), encoded
NAN = float("nan")


def columns_of(rows: int, **changes: object) -> dict[str, object]:
    return {name: [value] * rows for name, value in a_row().items()} | changes


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Format.CSV, csv_of("1.5,2,b,y", "1.5,2,b,y")),
        (Format.CSV, b'\xef\xbb\xbfzone,"kind",id,size,age\r\ny,"b",7,1.50,"2.0"\r\n\r\ny,b,"a\r\nb",15e-1,2'),
        (Format.CSV, b"zone,kind,size,age,\ry,b,1.5,2,\ry,b,1.5,2,"),
        (Format.LINES, lines_of([a_row(), a_row(note={"deep": [1]})])),
        (Format.LINES, b"\xef\xbb\xbf\r\n" + lines_of([a_row()]) + b"\n \n" + lines_of([a_row()]).rstrip()),
        (Format.JSON, b'{"instances":[' + lines_of([a_row()]) + b"," + lines_of([a_row()]) + b"]}"),
        (Format.PARQUET, parquet_of(columns_of(2))),
        (
            Format.PARQUET,
            parquet_of(columns_of(2, size=pa.array([1.5] * 2).cast(pa.float32()), age=[2, 2], x=[[1]] * 2)),
        ),
        (Format.ARROW, arrow_of(columns_of(2, kind=pa.array(["b"] * 2).dictionary_encode()))),
    ],
)
def test_columns_are_matched_by_name_in_every_format(kind: Format, body: bytes) -> None:
    found = read(kind, body)
    assert not found.errors
    assert found.x.tolist() == [EXPECTED, EXPECTED]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Format.CSV, b"id,size,age,kind,zone,note\n1,1.5,2,b,y,\n"),
        (Format.LINES, lines_of([a_row(id=1), a_row(note="")])),
        (Format.JSON, b'{"instances":[' + lines_of([a_row(id=1, note=NAN)]) + b"]}"),
        (Format.PARQUET, parquet_of({"id": [1], **columns_of(1), "note": [""]})),
        (Format.ARROW, arrow_of({"id": [1], **columns_of(1), "note": [""]})),
    ],
)
def test_columns_the_model_does_not_know_are_ignored_and_listed(kind: Format, body: bytes) -> None:
    found = read(kind, body)
    assert list(found.ignored) == ["id", "note"]
    assert not found.errors


def test_a_feature_may_have_any_name() -> None:
    name = 'size in "m"'
    signature = Signature(target=Target(name="y"), features=(Feature(name=name, kind="numeric", nullable=False),))
    assert read(Format.LINES, lines_of([{name: 1.5, "a\\b": 2}]), signature=signature).x.tolist() == [[1.5]]


def test_no_more_than_a_hundred_ignored_columns_are_listed() -> None:
    found = read(Format.LINES, lines_of(a_row(**{f"extra{i}": i}) for i in range(300)))
    assert len(found.ignored) == 100
    assert not found.errors


def test_a_bad_line_costs_itself_only() -> None:
    good = ["1.5,2,b,y"] * 20
    bad = {3: "x,2,b,y", 5: "1.5,2,b", 8: "nan,2,b,y", 11: ",2,b,y", 13: "1.5,2,b,Z", 17: "1.5,2,b,y,9"}
    lines = [bad.get(row, line) for row, line in enumerate(good)]
    found = read(Format.CSV, csv_of(*lines))
    assert found.codes() == {
        3: "not_a_number",
        5: "malformed",
        8: "not_finite",
        11: "null",
        13: "unknown_category",
        17: "malformed",
    }
    assert all(row in bad or values == EXPECTED for row, values in enumerate(found.x.tolist()))
    assert np.isnan(found.x[list(bad)]).all()


def test_a_bad_json_line_costs_itself_only() -> None:
    texts = [*[b'{"size":1.5,"age":2,"kind":"b","zone":"y"}'] * 9]
    bad = {
        1: (b'{"size":NaN,"zone":"y"}', "not_finite"),
        2: (b'{"size":1e999,"zone":"y"}', "not_finite"),
        3: (b'{"size":"1.5","zone":"y"}', "wrong_type"),
        4: (b'{"size":1', "malformed"),
        5: (b'{"zone":"y"}', "missing"),
        6: (b'{"size":true,"zone":"y"}', "wrong_type"),
        7: (b"[1]", "malformed"),
    }
    for row, (text, _) in bad.items():
        texts[row] = text
    found = read(Format.LINES, b"\n".join(texts))
    assert found.codes() == {row: code for row, (_, code) in bad.items()}
    assert found.x[[0, 8]].tolist() == [EXPECTED] * 2
    assert "line 5, column 10" in dict(found.errors)[4].detail


def test_a_value_that_can_hardly_be_read_costs_its_row_only() -> None:
    nested = [b'{"size":%s1%s,"zone":"x"}' % (b"[" * depth, b"]" * depth) for depth in (10, 900, 980, 985, 990, 995)]
    nested += [b'{"size":%s1%s,"zone":"x"}' % (b"[" * depth, b"]" * depth) for depth in (1000, 100_000)]
    found = read(Format.LINES, b"\n".join([*nested, *[lines_of([a_row()])]]))
    assert len(found.errors) == len(nested)
    assert set(found.codes().values()) == {"wrong_type", "malformed"}


def test_a_bad_value_in_columns_costs_its_row_only() -> None:
    body = parquet_of(columns_of(3, size=[1.5, NAN, None], kind=["b", None, "?"]))
    found = read(Format.PARQUET, body)
    assert found.codes() == {1: "not_finite", 2: "null"}
    assert found.x[0].tolist() == EXPECTED


def test_nulls_are_accepted_where_the_signature_says_so() -> None:
    expected = np.array([[1.5, NAN, NAN, 1.0]])
    for kind, body in (
        (Format.CSV, csv_of("1.5,NA,,y")),
        (Format.CSV, b"size,zone\n1.5,y\n"),
        (Format.LINES, b'{"size":1.5,"zone":"y"}'),
        (Format.LINES, b'{"size":1.5,"zone":"y","age":null,"kind":null}'),
        (Format.PARQUET, parquet_of({"size": [1.5], "zone": ["y"], "age": pa.nulls(1)})),
    ):
        np.testing.assert_array_equal(read(kind, body).x, expected)


def test_numbers_as_text_are_accepted_in_csv_only() -> None:
    assert not read(Format.CSV, csv_of('"1.5",2,b,y')).errors
    assert read(Format.LINES, lines_of([a_row(size="1.5"), a_row()])).codes() == {0: "wrong_type"}
    with pytest.raises(ColumnWrongType, match="size"):
        read(Format.PARQUET, parquet_of(columns_of(1, size=["1.5"])))


def test_text_that_is_not_utf8_costs_the_row_where_it_matters() -> None:
    body = csv_of("1.5,2,b,y", "1.5,2,ü,y", "1.5,2,b,y").decode().encode("latin-1")
    assert read(Format.CSV, body).codes() == {1: "malformed"}
    assert not read(Format.CSV, b"note,size,age,kind,zone\n\xfc,1.5,2,b,y\n").errors
    lines = lines_of([a_row(note="n")] * 3).replace(b'"n"', b'"\xfc"', 2).split(b"\n", 1)[1]
    assert read(Format.LINES, lines_of([a_row(note="n")]) + lines).codes() == {1: "malformed"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Format.CSV, b"size,age,kind\n1.5,2,b\n"),
        (Format.LINES, b'{"size":1.5}\n{"size":2}\n'),
        (Format.JSON, b'{"instances":[{"size":1.5}]}'),
        (Format.PARQUET, parquet_of({"size": [1.5]})),
        (Format.ARROW, arrow_of({"size": [1.5]})),
    ],
)
def test_a_required_column_that_is_missing_is_named(kind: Format, body: bytes) -> None:
    with pytest.raises(ColumnsMissing, match="zone") as caught:
        read(kind, body)
    assert caught.value.names == ("zone",)


def test_another_separator_is_noticed() -> None:
    with pytest.raises(ColumnsMissing, match="separated by commas"):
        read(Format.CSV, b"size;age;zone\n1;2;x\n")


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (Format.CSV, b"size,age,size\n1,2,3\n", "line 1: column 'size' occurs more than once"),
        (Format.CSV, b"size,\x00", "line 1, column 6"),
        (Format.CSV, b"PAR1\xff\xfe", "line 1, column 5"),
        (Format.CSV, "size,zone\n".encode("utf-16"), "UTF-16"),
        (Format.CSV, b'size,zone\n1,x\n2,"x\n3,x\n', "line 3, column 3: a quote is opened here"),
        (Format.LINES, b'\n{"size":\n', "line 2, column 9"),
        (Format.LINES, b"size,zone\n1.5,y\n", "line 1, column 1"),
        (Format.JSON, b'{"instances":[\n{"size":1}\n', "line 3, column 1"),
        (Format.PARQUET, b"size,zone\n", "no Parquet"),
        (Format.PARQUET, parquet_of({"size": [1.5]})[:-9], "no Parquet"),
        (Format.ARROW, b"size,zone\n", "no Arrow"),
        (Format.ARROW, arrow_of(columns_of(9))[:-300], "broken"),
    ],
)
def test_what_is_no_table_is_refused_with_the_place(kind: Format, body: bytes, message: str) -> None:
    with pytest.raises(NotATable, match=message):
        read(kind, body)


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        (b"[]", "", "wrong_type"),
        (b"{}", "/instances", "missing"),
        (b'{"instances":{}}', "/instances", "wrong_type"),
        (b'{"instances":[],"options":1}', "/options", "unknown_field"),
        (b'{"instances":NaN}', "/instances", "wrong_type"),
    ],
)
def test_a_document_of_another_shape_is_refused_with_the_place(body: bytes, pointer: str, code: str) -> None:
    with pytest.raises(NotInstances) as refused:
        read(Format.JSON, body)
    assert [(error.pointer, error.code) for error in as_problem(refused.value).errors] == [(pointer, code)]


@pytest.mark.parametrize("kind", [Format.ARROW, Format.ARROW_FILE])
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_an_arrow_file_is_read_as_the_stream_that_is_in_it(kind: Format, compression: str | None) -> None:
    body = arrow_of(columns_of(20) | {"zone": pa.array(["y"] * 20).dictionary_encode()}, compression, file=True)
    assert read(kind, body).x.tolist() == [EXPECTED] * 20


def test_what_would_not_fit_into_memory_is_refused() -> None:
    with pytest.raises(TableTooLarge, match="JSON lines"):
        read(Format.JSON, b'{"instances":[' + b" " * LIMITS.document + b"]}")


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_an_arrow_batch_that_would_not_fit_into_memory_is_refused_before_it_is_read(compression: str | None) -> None:
    for name, values in (("size", np.zeros(200_000)), ("zone", pa.array(["x" * 2_000_000]).dictionary_encode())):
        columns = columns_of(len(values)) | {name: values}
        body = arrow_of(columns, compression=compression, max_chunksize=None)
        with pytest.raises(TableTooLarge, match="record batch"):
            read(Format.ARROW, body)
    good = arrow_of(columns_of(5000), compression=compression, max_chunksize=None)
    assert read(Format.ARROW, good).x.tolist() == [EXPECTED] * 5000


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Format.ARROW, arrow_of(columns_of(3), compression="lz4")),
        (Format.ARROW_FILE, arrow_of(columns_of(3), compression="lz4", file=True)),
        (Format.PARQUET, parquet_of(columns_of(3))),
    ],
)
@settings(deadline=None, derandomize=True)  # what pyarrow does not survive must not come and go
@given(place=st.floats(0, 1), damage=st.binary(min_size=1, max_size=8))
def test_a_damaged_file_is_refused_or_read(kind: Format, body: bytes, place: float, damage: bytes) -> None:
    position = int(place * len(body))
    with suppress(TableRefused):
        read(kind, body[:position] + damage + body[position + len(damage) :])


def test_garbage_is_given_up_early() -> None:
    table = open_table(Format.LINES, io.BytesIO(b"garbage\n" * 1_000_000), a_signature(), LIMITS)
    with pytest.raises(NotATable):
        next(table.blocks())


def test_a_record_that_never_ends_is_refused() -> None:
    with pytest.raises(NotATable, match="line 2"):
        for _ in blocks(io.BytesIO(b"a\n" + b"x" * (1 << 25)), end_of_lines):
            pass


def test_a_signature_of_numbers_alone_reads_json_lines_too() -> None:
    signature = Signature(
        target=Target(name="y"), features=tuple(Feature(name=n, kind="numeric", nullable=True) for n in "ab")
    )
    found = read(Format.LINES, b'{"a":1,"b":2}\n{"b":3}\n{"a":1e300}', signature=signature)
    np.testing.assert_array_equal(found.x, [[1, 2], [NAN, 3], [NAN, NAN]])
    assert found.codes() == {2: "not_finite"}


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("text/csv", Format.CSV),
        ("Text/CSV; charset=UTF-8; header=present", Format.CSV),
        ("text/csv; charset=latin-1", None),
        ("application/json", Format.JSON),
        ("application/jsonl", Format.LINES),
        ("application/vnd.apache.parquet", Format.PARQUET),
        ("application/x-parquet", Format.PARQUET),
        ("application/vnd.apache.arrow.file", Format.ARROW_FILE),
        ("application/ndjson", Format.LINES),
        ("text/plain", None),
        ("", None),
        (";", None),
    ],
)
def test_formats_by_content_type(content_type: str, kind: Format | None) -> None:
    assert format_of(content_type) is kind
