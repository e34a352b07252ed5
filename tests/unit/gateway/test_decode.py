"""The quick way reads what the explaining one reads, or leaves it to that."""

import json
import math
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway import decode
from services.gateway.decode import Read, RowDecoder
from services.gateway.problems import Problem
from services.gateway.rows import explained
from shared.signature import MAX_MAGNITUDE, Feature, Signature
from tests.unit.gateway.fakes import COLOUR, A, B, a_model, a_signature

NAMES = st.one_of(
    st.sampled_from(
        ["a", "f0", "f1", "class", "self", "__init__", "__struct_fields__", "", " ", "ä b", "\x7f", "\\", '"']
    ),
    st.text(st.characters(), max_size=4),
)
BOUNDS = st.one_of(st.sampled_from([0.0, -0.0, 1.0, 1e30, -1e31, 5e-324]), st.floats(-100, 100))
NUMBERS = st.one_of(
    st.floats(),
    st.integers(),
    st.integers(10**29, 10**31),
    st.sampled_from([0, -0.0, 1e30, -1e30, 1e31, 2**53 + 1, 2**64 + 1, 10**400, True, False]),
)
ANYTHING = st.one_of(NUMBERS, st.none(), st.text(max_size=3), st.just([]), st.just({"a": 1}), st.just("1"))
SPELLINGS = st.sampled_from(
    ["-0", "1.0e0", "1E+2", "0.1e-400", "1e999", "NaN", "-Infinity", "01", "1.", '"\\ud800"', "\\"]
)


@st.composite
def features(draw: st.DrawFn, name: str) -> Feature:
    nullable = draw(st.booleans())
    if draw(st.booleans()):
        known = tuple(draw(st.lists(st.sampled_from(["x", "y", "ä", "", "1"]), min_size=1, unique=True)))
        accepts = draw(st.booleans())
        return Feature(name=name, kind="categorical", nullable=nullable, categories=known, accepts_unknown=accepts)
    low, high = draw(st.one_of(st.none(), BOUNDS)), draw(st.one_of(st.none(), BOUNDS))
    return Feature(name=name, kind="numeric", nullable=nullable, minimum=low, maximum=high)


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    return a_signature(*(draw(features(name)) for name in names))


def good_value(feature: Feature) -> st.SearchStrategy[Any]:
    if feature.kind == "categorical":
        values: st.SearchStrategy[Any] = st.sampled_from([*feature.categories, *feature.categories, "new"])
    else:
        low = max(feature.minimum or 0, -MAX_MAGNITUDE)
        values = st.one_of(st.floats(low, max(low, feature.maximum or 9)), st.integers(0, 3))
    return st.one_of(st.none(), values) if feature.nullable else values


@st.composite
def bodies(draw: st.DrawFn, signature: Signature) -> bytes:
    """A row, mostly good; members in any order, absent, repeated, unknown or odd; then perhaps the text is damaged."""
    members = [(f.name, draw(good_value(f))) for f in signature.features]
    odd = st.tuples(st.one_of(st.sampled_from(signature.names), NAMES), ANYTHING)
    members += draw(st.lists(odd, max_size=draw(st.sampled_from([0, 0, 1, 2]))))
    members = draw(st.permutations(members))[draw(st.sampled_from([0, 0, 0, 1])) :]
    as_is = draw(st.booleans())
    texts = [f"{json.dumps(name, ensure_ascii=as_is)}: {json.dumps(value)}" for name, value in members]
    if draw(st.integers(0, 9)) == 0:
        texts.append(f"{json.dumps(draw(st.sampled_from(signature.names)))}: {draw(SPELLINGS)}")
    body = ("{" + ", ".join(texts) + "}").encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        cut = draw(st.integers(0, len(body)))
        body = body[:cut] + draw(st.sampled_from([b"", b" ", b"\xff", b"}", b"\xef\xbb\xbf", b"0"])) + body[cut + 1 :]
    return body


def otherwise(signature: Signature, body: bytes) -> Read | None:
    """What the explaining path makes of a body; None: it refuses."""
    try:
        return explained(a_model("1", *signature.features), body)
    except Problem:
        return None


def bits(row: Any) -> list[str]:
    return [float(value).hex() for value in row]


@given(st.data())
def test_a_row_that_is_taken_is_the_one_that_the_explaining_path_gives(data: st.DataObject) -> None:
    signature = data.draw(signatures())
    body = data.draw(bodies(signature))
    read = RowDecoder(signature).decode(body)
    if read is not None:
        row, warnings = otherwise(signature, body) or pytest.fail(f"it refuses {body!r}")
        assert (bits(read.row), list(read.warnings)) == (bits(row), warnings)


@settings(max_examples=40)
@given(st.data())
def test_a_good_row_in_plain_names_is_taken(data: st.DataObject) -> None:
    names = st.text(string.ascii_letters + " _.-é漢", max_size=5)
    signature = a_signature(
        *(data.draw(features(name)) for name in data.draw(st.lists(names, min_size=1, max_size=5, unique=True)))
    )
    row = {f.name: data.draw(good_value(f)) for f in signature.features}
    known = all(row[f.name] in (None, *f.categories) for f in signature.features if f.kind == "categorical")
    read = RowDecoder(signature).decode(json.dumps(row).encode())
    assert (read is not None) == known


@pytest.mark.parametrize(
    ("body", "row", "warned"),
    [
        (b'{"a": 1, "b": 2.5, "colour": "red"}', [1, 2.5, 1], []),
        (b'{"colour": "blue", "a": -0.0}', [0, math.nan, 0], []),
        (b'{"a": 11, "b": null, "colour": null}', [11, math.nan, math.nan], ["a"]),
    ],
)
def test_numbers_out_of_range_are_taken_and_warned_of(body: bytes, row: list[float], warned: list[str]) -> None:
    read = RowDecoder(a_signature(A, B, COLOUR)).decode(body)
    assert read is not None
    assert read.row == pytest.approx(row, nan_ok=True)
    assert [warning.field for warning in read.warnings] == warned


@pytest.mark.parametrize("number", ["1.1e30", "-1.1e30", "1e999", "NaN", "1" * 400, "true", '"1"'])
def test_a_number_that_the_engine_does_not_take_is_not_taken(number: str) -> None:
    signature = a_signature(Feature(name="a", kind="numeric", nullable=False))
    assert RowDecoder(signature).decode(b'{"a": 1e30}') is not None
    assert RowDecoder(signature).decode(f'{{"a": {number}}}'.encode()) is None


@pytest.mark.parametrize("count", [1, 13, 500])
def test_any_number_of_features_is_read_in_any_order(count: int) -> None:
    signature = a_signature(*(Feature(name=f"x{i}", kind="numeric", nullable=False) for i in range(count)))
    values = [(f"x{i}", i / 7) for i in range(count)]
    taken = [RowDecoder(signature).decode(json.dumps(dict(order(values))).encode()) for order in (list, reversed_list)]
    assert [list(read.row) for read in taken if read] == [[value for _, value in values]] * 2


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "\x00"])
def test_a_name_that_json_writes_with_escapes_is_left_to_the_explaining_path(name: str) -> None:
    signature = a_signature(Feature(name=name, kind="numeric", nullable=False))
    body = json.dumps({name: 1}).encode()
    assert RowDecoder(signature).decode(body) is None
    assert otherwise(signature, body) == ([1.0], [])


def test_so_many_features_that_looking_for_them_is_slow_are_left_to_the_explaining_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decode, "MAX_FEATURES", 2)
    assert RowDecoder(a_signature(A, B)).decode(b'{"a": 1}') is not None
    assert RowDecoder(a_signature(A, B, COLOUR)).decode(b'{"a": 1}') is None


def reversed_list(values: list[Any]) -> list[Any]:
    return values[::-1]
