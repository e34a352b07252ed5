"""Which records of a job a reader gets: from a cursor on, up to a limit, and where the next reader should begin."""

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from shared.jobs import JobStatus, Part


@dataclass(frozen=True)
class Wanted:
    """What a reader asks for. `cursor` is the index of the first row that is of interest."""

    errors_only: bool = False
    cursor: int = 0
    limit: int | None = None

    def records_in(self, part: Part) -> int:
        return part.failed if self.errors_only else part.rows


@dataclass(frozen=True)
class Readable:
    """The rows of a job that can be read now: all of them, or the finished ones before the first gap."""

    status: JobStatus
    parts: Sequence[Part]

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def partial(self) -> bool:
        return self.rows < self.status.rows

    @property
    def growing(self) -> bool:
        return self.partial and not self.status.ended


@dataclass(frozen=True)
class Slice:
    """Some of a part's records, of those that are wanted at all: `rows` of them from the `start`th on."""

    part: Part
    start: int
    rows: int


@dataclass(frozen=True)
class Selection:
    slices: Sequence[Slice]
    next_cursor: int | None
    """Where to go on; None when nothing can follow."""

    @property
    def rows(self) -> int:
        return sum(piece.rows for piece in self.slices)


ErrorRows = Callable[[Part], Awaitable[Sequence[int]]]


async def select(readable: Readable, wanted: Wanted, error_rows: ErrorRows) -> Selection:
    """Find the slices that hold the wanted records.

    Args:
        error_rows: reads the indices of a part's rows in error; asked only where a part is cut, twice at most.
    """
    slices: list[Slice] = []
    left = wanted.limit if wanted.limit is not None else readable.status.rows
    end = 0
    for part in readable.parts:
        first, end = end, end + part.rows
        records = wanted.records_in(part)
        if end <= wanted.cursor or not records:
            continue

        async def index(part: Part = part, rows: Sequence[int] = range(first, end)) -> Sequence[int]:
            return await error_rows(part) if wanted.errors_only else rows

        start = bisect_left(await index(), wanted.cursor) if wanted.cursor > first else 0
        rows = min(records - start, left)
        if rows:
            slices.append(Slice(part, start, rows))
        if rows < records - start:
            return Selection(slices, (await index())[start + rows])
        left -= rows
    return Selection(slices, max(end, wanted.cursor) if readable.growing else None)
