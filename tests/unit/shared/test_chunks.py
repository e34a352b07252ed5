import numpy as np
import pytest

from shared.chunks import (
    Chunk,
    ChunkInvalid,
    RowError,
    decode_chunk,
    decode_part,
    encode_chunk,
    encode_part,
    part_schema,
)


def test_a_chunk_comes_back_bit_for_bit() -> None:
    x = np.array([[1.5, np.nan], [-1.0, 1e300], [np.nextafter(0, 1), -0.0]])
    errors = (RowError(101, "ROOMS", "wrong_type", "expected a number, got 'né'"),)
    back = decode_chunk(encode_chunk(Chunk(100, x, errors)))
    assert (back.start, back.rows, back.errors) == (100, 3, errors)
    assert back.x.tobytes() == x.tobytes()


def test_the_matrix_of_a_chunk_is_read_where_it_lies() -> None:
    x = decode_chunk(encode_chunk(Chunk(0, np.ones((4, 3))))).x
    assert not x.flags.owndata
    assert x.flags.c_contiguous


def test_a_chunk_may_be_empty() -> None:
    assert decode_chunk(encode_chunk(Chunk(0, np.empty((0, 3))))).x.shape == (0, 3)


def test_a_matrix_in_another_memory_order_is_encoded_by_rows() -> None:
    x = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert decode_chunk(encode_chunk(Chunk(0, x))).x.tolist() == x.tolist()


def test_a_part_has_one_record_per_row_in_order() -> None:
    errors = [RowError(11, "ROOMS", "missing", "is required")]
    part = decode_part(encode_part(10, np.array([1.0, 2.0, 3.0]), errors))
    nothing = {"error_field": None, "error_code": None, "error_detail": None}
    assert part.to_pylist() == [
        {"index": 10, "prediction": 1.0, **nothing},
        {
            "index": 11,
            "prediction": None,
            "error_field": "ROOMS",
            "error_code": "missing",
            "error_detail": "is required",
        },
        {"index": 12, "prediction": 3.0, **nothing},
    ]


def test_parts_with_and_without_errors_have_one_schema() -> None:
    assert decode_part(encode_part(0, np.array([1.0]), [])).schema == part_schema()


@pytest.mark.parametrize("data", [b"", b"nonsense", encode_part(0, np.array([1.0]), [])])
def test_what_is_no_chunk_is_refused(data: bytes) -> None:
    with pytest.raises(ChunkInvalid):
        decode_chunk(data)


@pytest.mark.parametrize("data", [b"", b"nonsense", encode_chunk(Chunk(0, np.ones((1, 1))))])
def test_what_is_no_part_is_refused(data: bytes) -> None:
    with pytest.raises(ChunkInvalid):
        decode_part(data)


@pytest.mark.parametrize("flipped", [0xFF, 0x80, 0x01])
def test_a_damaged_chunk_is_refused(flipped: int) -> None:
    """Arrow trusts lengths and offsets, and would crash; a number with another bit would be scored as it is."""
    data = encode_chunk(Chunk(0, np.zeros((10, 3))))
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= flipped
        with pytest.raises(ChunkInvalid, match="checksum"):
            decode_chunk(bytes(damaged))
