"""Keeping the lease on an entry while its work runs."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from redis.exceptions import RedisError

from shared.scripts import Held, JobQueue, Renewed
from shared.tasks import end
from shared.telemetry import get_logger

RETRY_SECONDS = 0.3

log = get_logger(__name__)


class LeaseLost(RuntimeError):
    """Another consumer holds the entry (`lost`), or its job has ended (`gone`): what was done must not be committed."""

    def __init__(self, answer: Renewed) -> None:
        super().__init__(answer)
        self.answer = answer


class ChunkLease:
    """Our hold on one entry.

    It is renewed three times per lease. While Redis is away nobody can know who holds what: the work goes on, and the
    commit decides.
    """

    def __init__(self, queue: JobQueue, held: Held, length: timedelta) -> None:
        self._queue = queue
        self._held = held
        self._every = length.total_seconds() / 3
        self._settling = False

    def settle(self) -> None:
        """The commit is on its way: it takes the entry away itself, which is not losing it."""
        self._settling = True

    async def keep(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work, cancelled as soon as the lease is lost.

        Raises:
            LeaseLost: and the work was cancelled. What it had running in a thread goes on and comes to nothing.
        """
        doing = asyncio.ensure_future(work())
        renewing = asyncio.create_task(self._renew_until_lost())
        try:
            await asyncio.wait({doing, renewing}, return_when=asyncio.FIRST_COMPLETED)
            if doing.done() or self._settling:
                await doing
            else:
                raise LeaseLost(renewing.result())
        finally:
            await end([doing, renewing])

    async def _renew_until_lost(self) -> Renewed:
        pause = self._every
        while True:
            await asyncio.sleep(pause)
            if self._settling:
                return "ok"
            try:
                answer = await self._queue.renew(self._held)
                if answer != "ok":
                    return answer
                pause = self._every
            except (RedisError, OSError) as error:
                pause = min(RETRY_SECONDS, self._every)  # the lease is ageing
                log.debug("could not renew a lease", error=str(error), **self._held.context)
