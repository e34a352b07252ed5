"""From a table to a job's input: consecutive chunks of the same number of rows, each complete in itself."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from services.gateway.tables import Block, EmptyTable, TableTooLarge
from services.gateway.tables.block import sayable
from shared.chunks import MAX_CARRIED_BYTES, Chunk, RowError, encode_chunk


@dataclass(frozen=True)
class Chunked:
    rows: int
    offsets: list[int]
    """Chunk i is the bytes [offsets[i], offsets[i + 1])."""


def write_chunks(blocks: Iterable[Block], file: BinaryIO, *, chunk_rows: int, max_rows: int) -> Chunked:
    """Write a table's chunks; one chunk and one block are in memory at a time.

    Raises:
        EmptyTable: there are no rows.
        TableTooLarge: there are more than `max_rows`, or too much passes through.
        TableRefused: the table turns out to be unreadable.
    """
    writer = ChunkWriter(file, chunk_rows)
    for block in blocks:
        if writer.rows + len(block.x) > max_rows:
            raise TableTooLarge(f"a job may have up to {max_rows:,} rows", rows=True)
        writer.add(block)
    if not writer.rows:
        raise EmptyTable
    writer.flush()
    return writer.chunked


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
            limit = f"{MAX_CARRIED_BYTES >> 20} MB in {self._chunk_rows:,} rows"
            raise TableTooLarge(f"columns that pass through may take up to {limit}; row {self.rows:,} is beyond that")
        return carried

    def flush(self) -> None:
        if self.rows == self._start:
            return
        x = np.concatenate([part.x for part in self._parts])
        errors = [error for error in self._errors if error.index < self.rows]
        self._errors = self._errors[len(errors) :]
        data = encode_chunk(Chunk(self._start, x, errors, _concatenated([part.carried for part in self._parts])))
        self._file.write(data)
        self.offsets.append(self.offsets[-1] + len(data))
        self._start, self._parts, self._carried_bytes = self.rows, [], 0


def _concatenated(batches: Sequence[Any]) -> Any:
    if batches[0] is None:
        return None
    import pyarrow as pa  # noqa: PLC0415 - a third of a second that a gateway without jobs need not spend

    return pa.concat_batches(batches)
