"""Protocol Buffers as they lie in a file: serving has neither protobuf nor onnx.

A message is a sequence of keys (field number and wire type) and values. Everything that is read is checked against the
end of its message.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.kernel.errors import GraphDamaged

VARINT, BYTES = 0, 2
_FIXED = {1: 8, 5: 4}  # bytes, by wire type
_LONGEST_VARINT = 10
_LAST_ONE_BYTE = 0x7F

Value = int | memoryview
"""Of a VARINT a number, of everything else its bytes."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message."""

    number: int
    value: Value
    end: int
    """Where the next one begins."""


def read_fields(message: memoryview) -> Iterator[Field]:
    """Yield every field. Raises GraphDamaged."""
    position = 0
    while position < len(message):
        field = read_field(message, position)
        yield field
        position = field.end


def read_field(message: memoryview, start: int) -> Field:
    """Read the field whose key is at `start`. Raises GraphDamaged."""
    key, position = _read_varint(message, start)
    wire_type = key & 7
    if wire_type == VARINT:
        value, position = _read_varint(message, position)
        return Field(key >> 3, value, position)
    if wire_type == BYTES:
        length, position = _read_varint(message, position)
    elif wire_type in _FIXED:
        length = _FIXED[wire_type]
    else:
        raise GraphDamaged(f"wire type {wire_type} at byte {start} of a message")
    if length > len(message) - position:
        raise GraphDamaged(f"a field of {length} bytes at byte {start} goes beyond its message")
    return Field(key >> 3, message[position : position + length], position + length)


def read_run(message: memoryview, start: int) -> tuple[NDArray[np.int64], int]:
    """Return the values of the VARINT fields from `start` on that all have the first one's number, and their end.

    As `read_fields` would, but all at once: a forest has a million of them.

    Args:
        start: where the first one's key is; it takes one byte.

    Raises:
        GraphDamaged: cut off, or a value that is no int64.
    """
    data = np.frombuffer(message, np.uint8)[start:]
    ends = np.flatnonzero(data <= _LAST_ONE_BYTE)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    # What follows the run may be cut into varints at the wrong places: it is not looked at.
    is_key = (data[starts[0::2]] == data[0]) & (ends[0::2] == starts[0::2])
    count = len(is_key) if is_key.all() else int(is_key.argmin())
    first, last = starts[1 : 2 * count : 2], ends[1 : 2 * count : 2]
    lengths = last - first + 1
    if len(first) < count or (count and lengths.max() > _LONGEST_VARINT):
        raise GraphDamaged("a list of numbers is cut off")
    values = np.zeros(count, np.uint64)
    for place in range(int(lengths.max(initial=0))):
        longer = lengths > place
        bits = (data[first[longer] + place] & _LAST_ONE_BYTE).astype(np.uint64)
        values[longer] |= bits << np.uint64(7 * place)
    return values.view(np.int64), start + (int(last[-1]) + 1 if count else 0)


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_VARINT):
        if position + place >= len(message):
            break
        byte = message[position + place]
        value |= (byte & _LAST_ONE_BYTE) << (7 * place)
        if byte <= _LAST_ONE_BYTE:
            return value, position + place + 1
    raise GraphDamaged(f"a number at byte {position} of a message does not end")
