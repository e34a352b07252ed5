"""Cursor and limit give the records that a list would give, and following the cursor gives each one once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.jobs.selection import Readable, Selection, Wanted, select
from shared.jobs import JobState, JobStatus, Part
from tests.builders import a_spec

PARTS = st.lists(st.lists(st.booleans(), max_size=5), max_size=6)  # rows of each part: whether they are in error


@dataclass
class Job:
    """Parts of a job, of which some rows are still missing."""

    parts: list[list[bool]]
    missing: int = 0
    state: JobState = "running"
    asked: list[str] = field(default_factory=list)

    @property
    def firsts(self) -> list[int]:
        return list(accumulate(map(len, self.parts), initial=0))

    def readable(self) -> Readable:
        rows = self.firsts[-1] + self.missing
        status = JobStatus.submitted(a_spec(rows=rows)).model_copy(update={"state": self.state})
        return Readable(
            status, [Part(key=str(i), sha256="", rows=len(p), failed=sum(p)) for i, p in enumerate(self.parts)]
        )

    async def error_rows(self, part: Part) -> Sequence[int]:
        self.asked.append(part.key)
        return self.rows_of(part, errors_only=True)

    def rows_of(self, part: Part, *, errors_only: bool) -> list[int]:
        bad = self.parts[int(part.key)]
        return [self.firsts[int(part.key)] + i for i, failed in enumerate(bad) if failed or not errors_only]

    def select(self, wanted: Wanted) -> Selection:
        return asyncio.run(select(self.readable(), wanted, self.error_rows))

    def told(self, wanted: Wanted) -> list[int]:
        found = [(self.rows_of(s.part, errors_only=wanted.errors_only), s) for s in self.select(wanted).slices]
        return [row for rows, s in found for row in rows[s.start : s.start + s.rows]]


@given(PARTS, st.integers(0, 3), st.booleans(), st.integers(0, 20), st.none() | st.integers(1, 9))
def test_it_is_what_a_list_would_give(
    parts: list[list[bool]], missing: int, errors_only: bool, cursor: int, limit: int | None
) -> None:
    job = Job(parts, missing)
    bad = [failed for part in parts for failed in part]
    every = [row for row, failed in enumerate(bad) if (failed or not errors_only) and row >= cursor]
    wanted = Wanted(errors_only, cursor, limit)
    assert job.told(wanted) == every[:limit]
    assert len(job.asked) <= 2, "once for where it begins, and once for where it ends"
    following = job.select(wanted).next_cursor
    if limit is not None and len(every) > limit:
        assert following == every[limit]
    else:
        assert following == (max(cursor, len(bad)) if missing else None)


@given(PARTS, st.booleans(), st.integers(1, 7))
def test_following_the_cursor_gives_every_record_once(parts: list[list[bool]], errors_only: bool, limit: int) -> None:
    job = Job(parts, state="completed")
    found: list[int] = []
    cursor: int | None = 0
    while cursor is not None:
        wanted = Wanted(errors_only, cursor, limit)
        found += job.told(wanted)
        cursor = job.select(wanted).next_cursor
    assert found == job.told(Wanted(errors_only))


def test_nothing_follows_what_was_ended_early() -> None:
    assert Job([[False]], missing=2).select(Wanted()).next_cursor == 1
    assert Job([[False]], missing=2, state="cancelled").select(Wanted()).next_cursor is None
    assert Job([[False] * 3], missing=2, state="cancelled").select(Wanted(limit=2)).next_cursor == 2
