"""Reading the log's files in part: what a footer says of a file, and the row groups that somebody wants.

Only the store is used, and only by ranges: what is asked for is fetched first, and pyarrow then reads it in a thread.
"""

import asyncio
import io
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from services.monitor.log.layout import SUFFIX, Partition
from shared.store import Store, Stored

_TAIL = 1 << 16
"""What pyarrow reads first. A footer that is longer is read in a second request."""
_AT_ONCE = 8 << 20
"""Bytes that are fetched and decoded at a time."""
_KNOWN_GROUPS = 20_000
"""Of files whose footers are kept in memory: 10 MB, and 100 million rows."""


class FileDamaged(ValueError):
    """An object that should be Parquet is not."""

    def __init__(self, key: str, why: Exception) -> None:
        super().__init__(f"{key} cannot be read as Parquet: {why}")
        self.key = key


@dataclass(frozen=True)
class RowGroup:
    rows: int
    first: str
    """The smallest request id, by code points."""
    last: str | None
    """The largest; None where the file does not say."""
    start: int
    end: int
    """Where its bytes are."""

    def may_hold(self, low: str, high: str | None) -> bool:
        """Whether it can have an id from `low` up to, not including, `high`; None is without an end."""
        return (self.last is None or self.last >= low) and (high is None or self.first < high)


@dataclass(frozen=True)
class LogFile:
    """A file, as far as its footer tells."""

    key: str
    size: int
    schema: pa.Schema
    groups: tuple[RowGroup, ...]

    @property
    def rows(self) -> int:
        return sum(group.rows for group in self.groups)

    @property
    def first(self) -> str:
        return min((group.first for group in self.groups), default="")

    @property
    def last(self) -> str | None:
        ends = [group.last for group in self.groups]
        return None if None in ends else max((end for end in ends if end is not None), default="")

    def holding(self, request_ids: Iterable[str]) -> list[int]:
        """Return the row groups that may hold any of some requests."""
        ids = sorted(request_ids)
        return [i for i, g in enumerate(self.groups) if _any_between(ids, g.first, g.last)]


class Files:
    """The files of partitions. Footers are remembered: files never change."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[str, LogFile] = OrderedDict()
        self._groups = 0

    async def list(self, partition: Partition) -> Sequence[Stored]:
        """Return the files of a partition, the oldest name first."""
        found = [each async for each in self._store.found(partition.prefix) if each.key.endswith(SUFFIX)]
        return sorted(found, key=lambda each: each.key)

    async def open(self, stored: Stored) -> LogFile:
        """Return what the footer says.

        Raises:
            ObjectNotFound: somebody has replaced the file.
            FileDamaged
        """
        known = self._known.get(stored.key)
        if known is None:
            tail = await self._footer(stored)
            known = await asyncio.to_thread(_described, stored, tail)
            self._remember(known)
        self._known.move_to_end(stored.key)
        return known

    async def read(
        self, file: LogFile, groups: Sequence[int], columns: Sequence[str] | None = None
    ) -> AsyncIterator[pa.Table]:
        """Yield the rows of some row groups, a few megabytes at a time. Raises ObjectNotFound, FileDamaged."""
        if not groups:
            return
        footer = await self._footer(Stored(file.key, file.size))
        for run in _runs(file, groups):
            start, end = file.groups[run[0]].start, file.groups[run[-1]].end
            piece = (start, await self._store.get_range(file.key, start, end))
            yield await asyncio.to_thread(_decoded, file, [piece, footer], run, columns)

    async def _footer(self, stored: Stored) -> tuple[int, bytes]:
        """Return the end of a file, and where it starts."""
        start = max(0, stored.size - _TAIL)
        data = await self._store.get_range(stored.key, start, stored.size)
        needed = int.from_bytes(data[-8:-4], "little") + 8
        if len(data) < needed <= stored.size:
            start = stored.size - needed
            data = await self._store.get_range(stored.key, start, stored.size)
        return start, data

    def _remember(self, file: LogFile) -> None:
        self._known[file.key] = file
        self._groups += len(file.groups)
        while self._groups > _KNOWN_GROUPS and len(self._known) > 1:
            _, oldest = self._known.popitem(last=False)
            self._groups -= len(oldest.groups)


def _any_between(ids: Sequence[str], first: str, last: str | None) -> bool:
    return bisect_left(ids, first) < (len(ids) if last is None else bisect_right(ids, last))


class _Pieces(io.RawIOBase):
    """A file of which only some pieces are there, which is enough for a reader who wants no other."""

    def __init__(self, size: int, pieces: Iterable[tuple[int, bytes]]) -> None:
        self._size = size
        self._pieces = list(pieces)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._at)
        for start, data in self._pieces:
            if start <= self._at and self._at + wanted <= start + len(data):
                buffer[:wanted] = memoryview(data)[self._at - start : self._at - start + wanted]
                self._at += wanted
                return wanted
        raise OSError(f"bytes {self._at} to {self._at + wanted} were not fetched")


def _described(stored: Stored, footer: tuple[int, bytes]) -> LogFile:
    try:
        metadata = pq.read_metadata(_Pieces(stored.size, [footer]))
        schema = metadata.schema.to_arrow_schema()
        column = schema.names.index("request_id")
        groups = tuple(_row_group(metadata.row_group(i), column) for i in range(metadata.num_row_groups))
    except (pa.ArrowException, ValueError, OSError) as error:
        raise FileDamaged(stored.key, error) from error
    return LogFile(stored.key, stored.size, schema, groups)


def _row_group(group: Any, column: int) -> RowGroup:
    found = group.column(column).statistics
    known = found is not None and found.has_min_max
    columns = [group.column(i) for i in range(group.num_columns)]
    starts = [c.dictionary_page_offset or c.data_page_offset for c in columns]
    ends = [start + c.total_compressed_size for start, c in zip(starts, columns, strict=True)]
    return RowGroup(group.num_rows, found.min if known else "", found.max if known else None, min(starts), max(ends))


def _runs(file: LogFile, groups: Sequence[int]) -> Iterable[list[int]]:
    """Join groups that lie beside each other, as long as they are not too much to hold."""
    run: list[int] = []
    for group in sorted(groups):
        if run and (group != run[-1] + 1 or file.groups[group].end - file.groups[run[0]].start > _AT_ONCE):
            yield run
            run = []
        run.append(group)
    yield run


def _decoded(
    file: LogFile, pieces: Iterable[tuple[int, bytes]], groups: Sequence[int], columns: Sequence[str] | None
) -> pa.Table:
    try:
        # One thread: the other cores belong to what serves.
        return pq.ParquetFile(_Pieces(file.size, pieces)).read_row_groups(groups, columns, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise FileDamaged(file.key, error) from error
