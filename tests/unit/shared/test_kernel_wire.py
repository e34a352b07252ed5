"""Protocol Buffers, as they lie in a file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from shared.kernel.errors import GraphDamaged
from shared.kernel.wire import read_fields, read_run

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.one_of(st.integers(0, 300), INT64), min_size=1))
def test_a_list_of_numbers_is_read_at_once_as_one_by_one(values: list[int]) -> None:
    message = memoryview(helper.make_attribute("list", values).SerializeToString())
    fields = list(read_fields(message))
    start = fields[0].end  # behind the name

    found, end = read_run(message, start)

    assert found.tolist() == values
    assert [field.value for field in fields if field.number == 8] == [value % 2**64 for value in values]
    assert next(read_fields(message[end:])).number == 20  # the type, which stands behind the list


@given(st.lists(INT64, min_size=1), st.data())
def test_a_list_that_is_cut_off_is_damaged(values: list[int], data: st.DataObject) -> None:
    message = helper.make_attribute("", values).SerializeToString()[2:-3]  # without its name and type
    whole, _ = read_run(memoryview(message), 0)
    cut = memoryview(message)[: data.draw(st.integers(1, len(message) - 1))]

    try:
        found, end = read_run(cut, 0)
    except GraphDamaged:
        return
    assert end == len(cut)  # between two of them
    assert np.array_equal(found, whole[: len(found)])


@pytest.mark.parametrize(
    "message",
    [
        b"\x08",  # a key without a value
        b"\x08\xff",  # a number that does not end
        b"\x08" + b"\xff" * 11,  # a number of more than ten bytes
        b"\x0a\x05abc",  # five bytes, of which there are three
        b"\x0d\x00\x00",  # a fixed32 of two bytes
        b"\x0b",  # a group, which nobody writes
    ],
)
def test_what_goes_beyond_its_message_is_damaged(message: bytes) -> None:
    with pytest.raises(GraphDamaged):
        list(read_fields(memoryview(message)))
