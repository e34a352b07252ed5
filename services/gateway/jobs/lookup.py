"""Finding jobs: in Redis while it knows them, in the store in any case."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from redis.exceptions import RedisError

from services.gateway.problems import ErrorItem, Problem, unavailable
from shared.clock import utc_now
from shared.jobs import JobState, JobStatus, job_time
from shared.records import read_record, read_spec
from shared.scripts import JobQueue
from shared.store import ObjectNotFound, Store

POLL_SECONDS = (0.05, 0.5)  # first and longest pause between two looks at a job
SCAN = 1000  # jobs looked at for one page of a filtered list


@dataclass(frozen=True)
class Page:
    jobs: Sequence[JobStatus]
    next_cursor: str | None


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
            status, away = await self._queue.status(job_id), None
        except RedisError as error:
            status, away = None, error
        if status is not None:
            return status
        record = await read_record(self._store, job_id)
        if record is not None:
            return record.status
        try:
            spec = await read_spec(self._store, job_id)
        except ObjectNotFound:
            if utc_now() - created > self._retention:
                raise Problem("job-gone", f"job {job_id} is older than {self._retention.days} days") from None
            raise _not_found(job_id) from None
        if away is not None:
            raise unavailable("redis-unavailable", "Redis cannot be reached, and the job has not ended") from away
        return JobStatus.submitted(spec)

    async def wait(self, job_id: str, seconds: float, unless: Callable[[JobStatus], bool]) -> JobStatus:
        """Return the job as soon as it has ended or `unless` is true of it, or as it is after so many seconds."""
        deadline = time.monotonic() + seconds
        pause, longest = POLL_SECONDS
        while True:
            status = await self.find(job_id)
            left = deadline - time.monotonic()
            if status.ended or unless(status) or left <= 0 or self.stopping():
                return status
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, longest)

    async def page(self, limit: int, cursor: str | None, state: JobState | None) -> Page:
        """Return jobs, the newest first. A filtered page may be shorter than `limit` and yet not be the last.

        Raises:
            Problem: the cursor is none of ours.
        """
        found: list[JobStatus] = []
        seen = 0
        while seen < SCAN:
            try:
                some = await self._queue.list(limit, cursor)
            except ValueError:
                error = ErrorItem("#/query/cursor", "invalid", "expected the next_cursor of an earlier answer")
                raise Problem("invalid-parameter", f"cursor: {error.detail}", errors=[error]) from None
            for status in some:
                cursor = status.id
                if state in (None, status.state):
                    found.append(status)
                    if len(found) == limit:
                        return Page(found, cursor)
            if len(some) < limit:
                return Page(found, None)
            seen += len(some)
        return Page(found, cursor)


def _time_of(job_id: str) -> datetime:
    try:
        return job_time(job_id)
    except ValueError:
        raise _not_found(job_id[:100]) from None


def _not_found(job_id: str) -> Problem:
    return Problem("job-not-found", f"there is no job {job_id!r}")
