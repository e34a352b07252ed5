"""C reads of a batch what the explaining path reads, or leaves all of it to that."""

import json
import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.gateway import batch
from services.gateway.decode import names_are_plain
from services.gateway.instances import InstanceReader, instance_reader
from services.gateway.problems import Problem
from shared.signature import MAX_MAGNITUDE, Feature, Signature
from tests.kernels import compiled, needs_compiler
from tests.unit.gateway.fakes import COLOUR, A, B, a_model, a_signature
from tests.unit.gateway.test_decode import bodies, signatures

pytestmark = needs_compiler

LIMIT = 5
SPACES = st.text(" \n\r\t", max_size=2)
ALL = a_signature(A, B, COLOUR)
STRICT = a_signature(
    Feature(name="é", kind="categorical", nullable=False, categories=("x", "ü", ""), accepts_unknown=False)
)


def reader(signature: Signature) -> InstanceReader:
    return InstanceReader(compiled(), signature)


def read(signature: Signature, body: bytes, limit: int = LIMIT) -> list[list[float]] | None:
    x = reader(signature).read(body, limit)
    return None if x is None else x.tolist()


def a_batch(*rows: str) -> bytes:
    return ('{"instances": [' + ", ".join(rows) + "]}").encode()


@st.composite
def batches(draw: st.DrawFn, signature: Signature) -> bytes:
    """Rows, mostly good ones, in a body that is mostly whole."""
    rows = draw(st.lists(bodies(signature), min_size=1, max_size=draw(st.sampled_from([1, 1, 1, 1, 3, 7]))))
    name = draw(st.sampled_from([b'"instances"'] * 30 + [b'"instance\\u0073"', b"instances"]))
    pieces = [b"{", name, b":", b"[", *b"\0,\0".join(rows).split(b"\0"), b"]", b"}"]
    body = b"".join(piece + draw(SPACES).encode() for piece in pieces)
    if draw(st.integers(0, 19)) == 0:
        cut = draw(st.integers(0, len(body)))
        body = body[:cut] + draw(st.sampled_from([b"", b",", b"}", b"]", b"[", b"\xff", b"0"])) + body[cut + 1 :]
    return body


def explained(signature: Signature, body: bytes) -> batch.Rows | None:
    try:
        return batch._explained(a_model("1", *signature.features), body, LIMIT)
    except Problem:
        return None


@given(st.data())
def test_a_body_that_is_taken_holds_the_rows_that_the_explaining_path_finds(data: st.DataObject) -> None:
    signature = data.draw(signatures().filter(names_are_plain))
    body = data.draw(batches(signature))
    found = reader(signature).read(body, LIMIT)
    if found is not None:
        expected = explained(signature, body) or pytest.fail(f"it refuses {body!r}")
        assert (expected.count, expected.errors) == (len(found), [])
        assert expected.x.tobytes() == found.tobytes()


@given(st.data())
def test_good_rows_are_taken(data: st.DataObject) -> None:
    rows = data.draw(st.lists(good_rows(), min_size=1, max_size=LIMIT))
    assert read(ALL, a_batch(*map(json.dumps, rows))) is not None


@st.composite
def good_rows(draw: st.DrawFn) -> dict[str, Any]:
    number = st.one_of(
        st.floats(-MAX_MAGNITUDE, MAX_MAGNITUDE, allow_subnormal=False).filter(lambda v: not 0 < abs(v) < 1e-280),
        st.integers(-(10**18), 10**18),
    )
    row: dict[str, Any] = {"a": draw(number), "b": draw(st.one_of(st.none(), number))}
    row |= {"colour": draw(st.sampled_from([None, "blue", "red", "new"]))}
    return {name: row[name] for name in draw(st.permutations(list(row)))[: draw(st.sampled_from([2, 3, 3]))]} | {
        "a": row["a"]
    }


@given(st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", bits.to_bytes(8, "little"))[0]))
@example(5e-324)
@example(2.2250738585072014e-308)
def test_any_number_is_read_to_its_last_bit(number: float) -> None:
    found = read(a_signature(A), a_batch(json.dumps({"a": number})))
    plain = 1e-280 < abs(number) <= MAX_MAGNITUDE
    assert found == ([[number]] if plain else found and [[number]])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0.0),
        ("-0.0", -0.0),
        ("-0e0", -0.0),
        ("1E+2", 100.0),
        ("0.10e-1", 0.01),
        ("9007199254740993", 2.0**53),
        ("0." + "0" * 30 + "7", 7e-31),
        ("1e-290", 1e-290),
        ("1234567890.123456789", 1234567890.1234567),
    ],
)
def test_numbers_as_json_spells_them_are_read(text: str, value: float) -> None:
    found = read(a_signature(A), a_batch(f'{{"a": {text}}}'))
    assert found == [[value]]
    assert math.copysign(1, found[0][0]) == math.copysign(1, value)


@pytest.mark.parametrize(
    "text",
    [
        "-0",
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1.e1",
        "1e",
        "1e+",
        "- 1",
        "1 2",
        "0x1",
        "1_0",
        "NaN",
        "-Infinity",
        "1e31",
        "2e30",
        "1e-400",
        "1e99999999999",
        "9" * 20,
        '"1"',
        "true",
        "[1]",
        "{}",
        "null",
        "nul",
        "",
    ],
)
def test_what_is_not_plainly_a_number_is_left_to_the_explaining_path(text: str) -> None:
    assert read(a_signature(A), a_batch('{"a": 1}', f'{{"a": {text}}}')) is None


def test_what_is_absent_or_null_is_nan_and_what_is_unknown_its_code() -> None:
    found = read(ALL, a_batch('{"a": 1}', '{"colour": null, "b": null, "a": 2}', '{"a": 3, "colour": "green", "b": 4}'))
    np.testing.assert_array_equal(found, [[1, math.nan, math.nan], [2, math.nan, math.nan], [3, 4, -1]])


@pytest.mark.parametrize("text", ['"ü"', '"x"', '""'])
def test_texts_are_known_by_their_bytes(text: str) -> None:
    assert read(STRICT, a_batch(f'{{"é": {text}}}')) == [[{'"x"': 0, '"ü"': 1, '""': 2}[text]]]


def test_what_is_not_utf8_is_left_to_the_explaining_path() -> None:
    assert read(ALL, b'{"instances": [{"a": 1, "colour": "\xff"}]}') is None


@pytest.mark.parametrize("text", ['"new"', '"\\u0078"', '"x\ty"', "null", "1", '"x', "'x'"])
def test_texts_that_may_be_something_else_are_left_to_the_explaining_path(text: str) -> None:
    assert read(STRICT, a_batch(f'{{"é": {text}}}')) is None


@pytest.mark.parametrize(
    "row",
    [
        *(
            "{}",
            '{"b": 1}',
            '{"a": 1, "z": 1}',
            '{"a": 1, "b": 1, "b": null}',
            '{"a": 1,}',
            '{"a" 1}',
            "[]",
            "1",
            "null",
            "",
        ),
        *('{"a": 1, "colour": "\u00f6"}', '{"a": 1, "colour": "x\ty"}', '{"a": 1, "colour": "x\\ty"}'),
    ],
)
def test_a_row_that_is_not_plain_leaves_the_body_to_the_explaining_path(row: str) -> None:
    assert read(ALL, a_batch('{"a": 1}', row, '{"a": 1}')) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{}",
        b"[]",
        b'{"instances": []}',
        b'{"instances": [{"a": 1}',
        b'{"instances": [{"a": 1}]',
        b'"instances"',
        b'{"instances": [{"a": 1}]}x',
        b'{"instances": [{"a": 1}], "z": 1}',
        b'{"instances": [{"a": 1},]}',
        b'\xef\xbb\xbf{"instances": [{"a": 1}]}',
        b'{"instances": {"a": 1}}',
        b'{"a": 1}',
    ],
)
def test_a_body_that_is_not_plain_is_left_to_the_explaining_path(body: bytes) -> None:
    assert read(ALL, body) is None


def test_more_rows_than_allowed_are_left_to_the_explaining_path() -> None:
    assert len(read(ALL, a_batch(*['{"a": 1}'] * LIMIT)) or []) == LIMIT
    assert read(ALL, a_batch(*['{"a": 1}'] * (LIMIT + 1))) is None


@pytest.mark.parametrize("count", [1, 13, 2000])
def test_any_number_of_features_is_read_in_any_order(count: int) -> None:
    signature = a_signature(*(Feature(name=f"x{i}", kind="numeric", nullable=False) for i in range(count)))
    row = {f"x{i}": i / 7 for i in range(count)}
    back = dict(reversed(row.items()))
    assert read(signature, a_batch(*map(json.dumps, (row, back, row)))) == [list(row.values())] * 3


def test_rows_that_are_read_are_scored_at_their_places() -> None:
    scored = batch.score(a_model(), a_batch('{"a": 1, "b": 2}', '{"a": 2, "b": 2}'), "id", LIMIT)
    assert json.loads(scored.answer)["predictions"] == [1003.0, 1004.0]
    assert scored.rows.indexes.tolist() == [0, 1]


def test_a_reader_is_made_once_for_each_model() -> None:
    model, other = a_model(), a_model("2")
    assert instance_reader(model) is instance_reader(model)
    assert instance_reader(model) is not instance_reader(other)


@pytest.mark.parametrize("name", ['a"b', "a\\nb", "a\nb", "\ud800"])
def test_names_that_json_writes_with_escapes_are_left_to_the_explaining_path(name: str) -> None:
    """One that stands in a body as it is would be something else, or no JSON at all."""
    assert instance_reader(a_model("1", Feature(name=name, kind="numeric", nullable=True))) is None
