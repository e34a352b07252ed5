"""From a table to a job's input: consecutive chunks of the same number of rows, each complete in itself."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from services.gateway.tables import Block, EmptyTable, TableTooLarge
from services.gateway.tables.block import sayable
from shared.chunks import MAX_CARRIED_BYTES, Chunk, RowError, write_chunk


@dataclass(frozen=True)
class Chunked:
    rows: int
    offsets: list[int]
    """Chunk i is the bytes [offsets[i], offsets[i + 1])."""


class ChunkTooLarge(TableTooLarge):
    """What passes through in so many rows is too much for one chunk."""

    def __init__(self, chunk_rows: int, row: int) -> None:
        limit = f"{MAX_CARRIED_BYTES >> 20} MB in {chunk_rows:,} rows"
        super().__init__(f"columns that pass through may take up to {limit}; row {row:,} is beyond that")
        self.chunk_rows = chunk_rows


def write_chunks(blocks: Iterable[Block], file: BinaryIO, *, chunk_rows: int, max_rows: int) -> Chunked:
    """Write a table's chunks; one chunk and one block are in memory at a time.

    Raises:
        EmptyTable: there are no rows.
        TableTooLarge: there are more than `max_rows`.
        ChunkTooLarge: so much passes through that chunks would have to be smaller.
        TableRefused: the table turns out to be unreadable.
    """
    writer = ChunkWriter(file, chunk_rows)
    for block in blocks:
        check_rows(writer.rows + len(block.x), max_rows)
        writer.add(block)
    if not writer.rows:
        raise EmptyTable
    writer.flush()
    return writer.chunked


def check_rows(rows: int, most: int) -> None:
    """Raises TableTooLarge."""
    if rows > most:
        raise TableTooLarge(f"a job may have up to {most:,} rows", rows=True)


class ChunkWriter:
    """Writes blocks as chunks; the last one is written by `flush`."""

    def __init__(self, file: BinaryIO, chunk_rows: int) -> None:
        self.rows = 0
        self.offsets = [0]
        self._file = file
        self._start = 0
        self._chunk_rows = chunk_rows
        self._parts: list[Block] = []
        self._carried_bytes = 0
        self._errors: list[RowError] = []

    @property
    def chunked(self) -> Chunked:
        return Chunked(self.rows, self.offsets)

    def add(self, block: Block) -> None:
        # A detail may quote a caller's text, and JSON can spell lone surrogates, which UTF-8 cannot.
        self._errors += [RowError(self.rows + row, e.field, e.code, sayable(e.detail)) for row, e in block.errors]
        taken = 0
        while taken < len(block.x):
            room = self._chunk_rows - (self.rows - self._start)
            part = block.x[taken : taken + room]
            self._parts.append(Block(part, (), self._carried(block, taken, len(part))))
            self.rows += len(part)
            taken += len(part)
            if len(part) == room:
                self.flush()

    def _carried(self, block: Block, start: int, rows: int) -> Any:
        """Return the rows of what passes through, while the chunk has room for it."""
        if block.carried is None:
            return None
        carried = block.carried.slice(start, rows)
        self._carried_bytes += carried.nbytes
        if self._carried_bytes > MAX_CARRIED_BYTES:
            raise ChunkTooLarge(self._chunk_rows, self.rows)
        return carried

    def flush(self) -> None:
        if self.rows == self._start:
            return
        x = np.concatenate([part.x for part in self._parts])
        cut = bisect_left(self._errors, self.rows, key=lambda error: error.index)
        errors, self._errors = self._errors[:cut], self._errors[cut:]
        carried = _concatenated([part.carried for part in self._parts])
        size = write_chunk(Chunk(self._start, x, errors, carried), self._file)
        self.offsets.append(self.offsets[-1] + size)
        self._start, self._parts, self._carried_bytes = self.rows, [], 0


def _concatenated(batches: Sequence[Any]) -> Any:
    if batches[0] is None:
        return None
    import pyarrow as pa  # noqa: PLC0415 - a third of a second that a gateway without jobs need not spend

    return pa.concat_batches(batches)
