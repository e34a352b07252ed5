"""Looking over an Arrow stream before it is read: pyarrow takes every message into memory, however large it says it is.

Only the few fields of the flatbuffers that tell sizes are read here; see Message.fbs of the Arrow format.
"""

import os
import struct
from typing import BinaryIO

from services.gateway.tables.block import NotATable, TableTooLarge

_MAX_METADATA = 1 << 24
_CONTINUATION = -1
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3


def check_messages(file: BinaryIO, start: int, limit: int) -> int:
    """Check that no message takes more than `limit` bytes, decompressed, and go back to `start`, where they begin.

    Returns:
        The rows that they claim to have.

    Raises:
        NotATable: these are no Arrow messages.
        TableTooLarge
    """
    size, rows = file.seek(0, os.SEEK_END), 0
    file.seek(start)
    try:
        while (length := _next_length(file)) > 0:
            metadata = file.read(length)
            message = _Table(metadata, _u32(metadata, 0))
            rows += message.table(2).number("<q", 0) if message.number("<B", 1) == _RECORD_BATCH else 0
            needed = _body_bytes(message, file, size)
            if needed > limit:
                raise TableTooLarge(f"a record batch takes {needed:,} bytes, more than {limit:,}; write smaller ones")
    except (struct.error, IndexError) as error:
        raise NotATable(f"this is no Arrow stream: {error}") from None
    file.seek(start)
    return rows


def _next_length(file: BinaryIO) -> int:
    """Return how long the metadata of the next message is; 0 at the end of the stream."""
    head = file.read(4)
    if len(head) < 4:  # streams may end without the mark of their end
        return 0
    length: int = struct.unpack("<i", head)[0]
    if length == _CONTINUATION:  # older writers leave it out
        length = struct.unpack("<i", file.read(4))[0]
    if not 0 <= length <= _MAX_METADATA:
        raise NotATable("this is no Arrow stream: there is no message where one should begin")
    return length


def _body_bytes(message: "_Table", file: BinaryIO, file_size: int) -> int:
    """Return what a message's body takes in memory, and move the file behind it."""
    body = message.number("<q", 3)
    start = file.tell()
    if not 0 <= body <= file_size - start:
        raise NotATable("the Arrow stream is broken: a message is longer than the rest of it")
    batch = {_RECORD_BATCH: lambda: message.table(2), _DICTIONARY_BATCH: lambda: message.table(2).table(1)}.get(
        message.number("<B", 1), lambda: None
    )()
    decoded = _decompressed(batch, start, file) if batch is not None and batch.has(3) else 0
    file.seek(start + body)
    return max(body, decoded)


def _decompressed(batch: "_Table", start: int, file: BinaryIO) -> int:
    """Add up what the compressed buffers of a record batch say they will take."""
    total = 0
    for offset, length in batch.structs("<qq", 2):
        if length >= 8:
            file.seek(start + max(0, offset))
            claimed = struct.unpack("<q", file.read(8))[0]
            total += max(claimed, length)  # -1: this one is not compressed
    return total


class _Table:
    """A table of a flatbuffer. A field that is absent has its default."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._at = position
        self._vtable = position - struct.unpack_from("<i", data, position)[0]
        if self._vtable < 0:
            raise IndexError("a table has no fields")

    def has(self, field: int) -> bool:
        return self._offset(field) != 0

    def number(self, kind: str, field: int) -> int:
        offset = self._offset(field)
        return int(struct.unpack_from(kind, self._data, self._at + offset)[0]) if offset else 0

    def table(self, field: int) -> "_Table":
        at = self._at + self._offset(field)
        return _Table(self._data, at + _u32(self._data, at))

    def structs(self, kind: str, field: int) -> list[tuple[int, int]]:
        if not self.has(field):
            return []
        at = self._at + self._offset(field)
        at += _u32(self._data, at)
        count, size = _u32(self._data, at), struct.calcsize(kind)
        if at + 4 + count * size > len(self._data):
            raise IndexError("a vector is longer than its message")
        return [struct.unpack_from(kind, self._data, at + 4 + i * size) for i in range(count)]

    def _offset(self, field: int) -> int:
        slot = 4 + 2 * field
        size = struct.unpack_from("<H", self._data, self._vtable)[0]
        return int(struct.unpack_from("<H", self._data, self._vtable + slot)[0]) if slot < size else 0


def _u32(data: bytes, position: int) -> int:
    return int(struct.unpack_from("<I", data, position)[0])
