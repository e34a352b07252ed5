"""Reading JSON, and explaining what is none."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.bodies import decode_json
from services.gateway.problems import Problem

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_json_is_read_without_complaint(value: object) -> None:
    assert decode_json(json.dumps(value).encode()) == (value, None)


@given(st.binary(max_size=60))
def test_whatever_is_sent_is_read_or_refused(body: bytes) -> None:
    with suppress(Problem):
        decode_json(body)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the body is empty"),
        (b" \n", "the body is empty"),
        (b'{"a": 1,}', "at line 1 column "),
        (b'{\n"a": }', "line 2 column 6"),
        (b'{"a": "\xff"}', "not UTF-8: invalid start byte at byte 7"),
        (b'\xef\xbb\xbf{"a": 1}', "BOM"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": 1} {"a": 2}', "Extra data"),
    ],
)
def test_what_cannot_be_read_is_explained(body: bytes, says: str) -> None:
    with pytest.raises(Problem) as caught:
        decode_json(body)
    assert caught.value.slug == "malformed-body"
    assert says in caught.value.detail


def test_half_a_character_is_complained_of() -> None:
    value, complaint = decode_json(rb'{"a": "\ud800"}')
    assert value == {"a": "\ud800"}
    assert complaint == "not JSON: a \\u escape is half a character"
