"""Which files of a partition are merged, and into how many. Pure.

On a day that goes on, small files become large ones. Once it is over, all that overlap are merged once more, into files
of disjoint ranges of request ids: then no row is there twice, and a request is in one row group of one file.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

import pyarrow as pa

from services.monitor.log.files import LogFile
from services.monitor.log.rows import row_bytes

MANY = 10
"""Fewer small files than this are left as they are while the day goes on: what they grow to would be small again."""
MOST_SOURCES = 1_000
_TOO_LARGE = 4


@dataclass(frozen=True)
class Target:
    """How large a file becomes, and with it what compaction holds in memory: some four times as much."""

    rows: int
    bytes: int
    """In memory; with compression, a file has half as many."""

    def rows_of(self, schema: pa.Schema) -> int:
        """Return how many rows of a schema a file may have."""
        return max(1, min(self.rows, self.bytes // row_bytes(schema)))


@dataclass(frozen=True)
class Merge:
    """Files whose rows become those of new ones, one for each range of request ids between the bounds."""

    sources: tuple[LogFile, ...]
    bounds: tuple[str, ...] = ()

    @property
    def ranges(self) -> Iterable[tuple[str, str | None]]:
        """From an id up to, not including, another; None is without an end."""
        return zip(("", *self.bounds), (*self.bounds, None), strict=True)


def plan(files: Sequence[LogFile], target: Target, *, closed: bool) -> list[Merge]:
    """Return what to merge; nothing when all is as it should be.

    Files of different columns, or of different types of one, stay apart: each keeps what was logged, as it was.

    Args:
        closed: the day is over.
    """
    merges: list[Merge] = []
    for alike in _by_schema(files):
        rows = target.rows_of(alike[0].schema)
        small = [file for file in alike if file.rows * 2 < rows]
        if len(small) >= MANY:
            merges += [Merge(tuple(batch)) for batch in _batches(small, rows) if len(batch) > 1]
        elif closed:
            merges += _closing(alike, small, rows)
    return merges


def _by_schema(files: Iterable[LogFile]) -> list[list[LogFile]]:
    alike: dict[pa.Schema, list[LogFile]] = {}
    for file in files:
        alike.setdefault(file.schema.remove_metadata(), []).append(file)
    return list(alike.values())


def _batches(files: Iterable[LogFile], rows: int) -> Iterable[list[LogFile]]:
    """Put files together as they come, in the order of time, up to the size of one."""
    batch: list[LogFile] = []
    for file in files:
        if len(batch) == MOST_SOURCES or sum(each.rows for each in batch) + file.rows > rows:
            yield batch
            batch = []
        batch.append(file)
    yield batch


def _closing(files: Sequence[LogFile], small: Sequence[LogFile], rows: int) -> list[Merge]:
    chosen = _overlapping(files)
    chosen += [file for file in small if file not in chosen]
    if len(chosen) < 2:
        return []
    merge = Merge(tuple(chosen), _bounds(chosen, rows))
    # Half a million predictions under one request id cannot be told apart by it: they stay in several files.
    return [merge] if all(_rows_between(chosen, *each) <= _TOO_LARGE * rows for each in merge.ranges) else []


def _overlapping(files: Iterable[LogFile]) -> list[LogFile]:
    """Return the files that share a part of their ranges of request ids with another."""
    found: list[LogFile] = []
    together: list[LogFile] = []
    end: str | None = ""
    for file in sorted(files, key=lambda each: each.first):
        if together and end is not None and file.first > end:
            found += together if len(together) > 1 else []
            together, end = [], ""
        together.append(file)
        end = None if end is None or file.last is None else max(end, file.last)
    return found + (together if len(together) > 1 else [])


def _bounds(files: Iterable[LogFile], rows: int) -> tuple[str, ...]:
    """Return the ids that cut all rows into shares of about `rows`, as far as the row groups tell."""
    groups = sorted((group.first, group.rows) for file in files for group in file.groups)
    total = sum(size for _, size in groups)
    share = total / max(1, ceil(total / rows))
    bounds: list[str] = []
    before = 0
    for first, size in groups:
        if before >= share * (len(bounds) + 1) and first > (bounds[-1] if bounds else groups[0][0]):
            bounds.append(first)
        before += size
    return tuple(bounds)


def _rows_between(files: Iterable[LogFile], low: str, high: str | None) -> int:
    """Return the most rows that can be in a range."""
    return sum(group.rows for file in files for group in file.groups if group.may_hold(low, high))
