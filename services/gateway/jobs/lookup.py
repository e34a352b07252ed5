"""Finding jobs: in Redis while it knows them, in the store in any case."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError
from redis.exceptions import RedisError

from services.gateway.problems import ErrorItem, Problem, unavailable
from shared.clock import utc_now
from shared.jobs import TERMINAL, JobState, JobStatus, eta_seconds, job_time
from shared.records import find_job, stored_job
from shared.scripts import JobQueue
from shared.store import Store
from shared.telemetry import get_logger

POLL_SECONDS = (0.05, 0.5)  # first and longest pause between two looks at a job
POLL_GROWTH = 0.1  # of what was waited, so that its end is told late by no more than a tenth of the wait,
POLL_NEAR_END = 8  # and mostly by less: so many times as often when the end is expected,
POLL_HURRIED = 12  # so many times: what is expected may not come
SCAN = 1000  # jobs looked at for one page of a filtered list
AT_ONCE = 8  # reads of the store

log = get_logger(__name__)


@dataclass(frozen=True)
class Page:
    jobs: Sequence[JobStatus]
    next_cursor: str | None


class Looks:
    """When to look at a job again, for one who waits for its end."""

    def __init__(self) -> None:
        self._pause, self._longest = POLL_SECONDS
        self._hurried = 0

    def until_next(self, status: JobStatus) -> float:
        """Return the seconds: a pause that grows, or half of what the job is expected to take still."""
        wait, left = self._pause, eta_seconds(status, utc_now())
        if left is not None and left / 2 < wait and self._hurried < POLL_HURRIED:
            self._hurried += 1
            wait = max(left / 2, wait / POLL_NEAR_END)
        self._pause = min(self._pause + POLL_GROWTH * wait, self._longest)
        return wait


class Lookup:
    def __init__(
        self, queue: JobQueue, store: Store, retention: timedelta, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self.stopping = stopping
        self._queue = queue
        self._store = store
        self._retention = retention

    async def find(self, job_id: str) -> JobStatus:
        """Return a job that was ever accepted.

        What Redis forgot is answered from the store: its end if it has one; otherwise it waits to be put back into the
        queue. While Redis is away nobody knows how far a job is that has not ended.

        Raises:
            Problem: 404, 410 or 503.
        """
        created = _time_of(job_id)
        try:
            status, away = await find_job(self._queue, self._store, job_id), None
        except RedisError as error:
            status, away = await stored_job(self._store, job_id, self._queue.keys.tenant), error
        if status is None:
            if utc_now() - created > self._retention:
                days = self._retention / timedelta(days=1)
                raise Problem(
                    "job-gone", f"there is no job {job_id} any more: {days:g} days after its end a job is removed"
                )
            raise _not_found(job_id)
        if away is not None and not status.ended:
            raise unavailable("redis-unavailable", "Redis cannot be reached, and the job has not ended") from away
        return status

    async def wait(self, job_id: str, seconds: float, unless: Callable[[JobStatus], bool]) -> JobStatus:
        """Return the job as soon as it has ended or `unless` is true of it, or as it is after so many seconds."""
        deadline = time.monotonic() + seconds
        looks = Looks()
        while True:
            status = await self.find(job_id)
            left = deadline - time.monotonic()
            if status.ended or unless(status) or left <= 0 or self.stopping():
                return status
            await asyncio.sleep(min(looks.until_next(status), left))

    async def page(self, limit: int, cursor: str | None, state: JobState | None) -> Page:
        """Return jobs, the newest first. A filtered page may be shorter than `limit` and yet not be the last.

        Raises:
            Problem: the cursor is none of ours.
        """
        found: list[JobStatus] = []
        seen = 0
        while seen < SCAN:
            ids = await self._ids(limit, cursor)
            for status in await self._statuses(ids, state):
                if state in (None, status.state):
                    found.append(status)
                    if len(found) == limit:
                        return Page(found, status.id)
            if len(ids) < limit:
                return Page(found, None)
            cursor = ids[-1]
            seen += len(ids)
        return Page(found, cursor)

    async def _ids(self, limit: int, cursor: str | None) -> Sequence[str]:
        try:
            return await self._queue.ids(limit, cursor)
        except ValueError:
            error = ErrorItem("#/query/cursor", "invalid", "expected the next_cursor of an earlier answer")
            raise Problem("invalid-parameter", f"cursor: {error.detail}", errors=[error]) from None

    async def _statuses(self, ids: Sequence[str], state: JobState | None) -> Sequence[JobStatus]:
        """Return the jobs in the order given. Redis has those that have not ended, the store what ended long ago."""
        known = await self._queue.statuses(ids)
        missing = [job_id for job_id in ids if job_id not in known] if state is None or state in TERMINAL else []
        for start in range(0, len(missing), AT_ONCE):
            some = await asyncio.gather(*(self._stored(job_id) for job_id in missing[start : start + AT_ONCE]))
            known |= {status.id: status for status in some if status is not None}
        return [known[job_id] for job_id in ids if job_id in known]

    async def _stored(self, job_id: str) -> JobStatus | None:
        try:
            return await stored_job(self._store, job_id, self._queue.keys.tenant)
        except ValidationError as invalid:  # which must not hide the other jobs
            log.error("cannot read the record of a job", job_id=job_id, error=str(invalid))
            return None


def _time_of(job_id: str) -> datetime:
    try:
        return job_time(job_id)
    except ValueError:
        raise _not_found(job_id[:100]) from None


def _not_found(job_id: str) -> Problem:
    return Problem("job-not-found", f"there is no job {job_id!r}")
