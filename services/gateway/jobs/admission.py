"""What is refused for want of room: asked before a body is read, and once more when its job is to be queued."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from services.gateway.jobs.fleet import Fleet
from services.gateway.problems import Problem, unavailable
from services.gateway.settings import GatewaySettings
from shared.scripts import JobQueue
from shared.telemetry import get_logger

log = get_logger(__name__)


class Admission:
    def __init__(self, settings: GatewaySettings, queue: JobQueue, fleet: Fleet) -> None:
        self.backlog_rows = settings.gateway_max_backlog_rows
        self.open_jobs = settings.gateway_max_open_jobs
        self._max_uploads = settings.gateway_max_uploads
        self._queue = queue
        self._fleet = fleet
        self._uploads = 0

    async def check(self) -> None:
        """Refuse before the body is read what would be refused after it; also finds out whether Redis is there."""
        if await self._queue.open_count() >= self.open_jobs:
            raise await self.crowded()
        if await self._queue.backlog() >= self.backlog_rows:
            raise await self.busy(0)

    async def busy(self, rows: int) -> Problem:
        """Return the problem of a job that does not fit into the backlog, with the time until it does."""
        over = await self._queue.backlog() + max(1, rows) - self.backlog_rows
        headers = {"Retry-After": str(await self._fleet.seconds_for(over))}
        return Problem("over-quota", f"the backlog is limited to {self.backlog_rows:,} rows", headers=headers)

    async def crowded(self) -> Problem:
        """Return the problem of a job too many, with the time that one of those takes that are open."""
        rows = await self._queue.backlog() // max(1, await self._queue.open_count())
        headers = {"Retry-After": str(await self._fleet.seconds_for(rows))}
        return Problem("too-many-jobs", f"up to {self.open_jobs:,} jobs may be open", headers=headers)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take one of the places for uploads, and say it when the disk is full."""
        if self._uploads >= self._max_uploads:
            raise unavailable("overloaded", f"{self._uploads} jobs are being received")
        self._uploads += 1
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            log.error("the disk is full", error=str(error))
            raise unavailable("overloaded", "there is no disk left to receive this", retry_after=60) from error
        finally:
            self._uploads -= 1
