"""The janitor: one scorer at a time looks for work that got lost. Any may be it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from redis.exceptions import RedisError

from services.scorer.mend import Mender
from services.scorer.metrics import Metrics
from services.scorer.patience import STORE_AWAY
from services.scorer.restore import Restorer
from services.scorer.tidy import Tidier
from services.scorer.upkeep import Upkeep
from shared.lease import Lease
from shared.tasks import until_cancelled
from shared.telemetry import get_logger

RESTORE_SECONDS = 600.0  # a look at the whole store even when nothing seems lost
RETIRE_SECONDS = 60.0
SILENT_MS = 600_000  # a consumer that holds nothing and has not read for so long is dead

log = get_logger(__name__)


class Janitor:
    def __init__(
        self,
        lease: Lease,
        upkeep: Upkeep,
        *,
        restorer: Restorer,
        mender: Mender,
        tidier: Tidier,
        metrics: Metrics,
        every: float,
    ) -> None:
        self._lease = lease
        self._upkeep = upkeep
        self._restorer = restorer
        self._mender = mender
        self._tidier = tidier
        self._metrics = metrics
        self._every = every
        self._restored_at = time.monotonic()
        self._retired_at = float("-inf")

    async def run(self) -> None:
        """Look after the queue for ever, while the lease is ours."""
        try:
            for _ in until_cancelled():
                await self._round()
                await asyncio.sleep(self._every)
        finally:
            with suppress(RedisError, OSError):
                await asyncio.wait_for(self._lease.release(), 1.0)

    async def _round(self) -> None:
        leads = False
        with _patience():
            leads = await self._lease.acquire()
        if leads:
            async with self._lease.kept():  # a look at a large store takes longer than the lease
                for step in (self._restore, self._mender.mend, self._tidier.remove, self._tidier.sweep, self._retire):
                    with _patience():  # what one cannot do now must not keep the others from it
                        await step()
        self._metrics.leader.set(leads)

    async def _restore(self) -> None:
        now = time.monotonic()
        if now - self._restored_at > RESTORE_SECONDS or not await self._upkeep.is_restored():
            await self._restorer.restore()
            self._restored_at = now

    async def _retire(self) -> None:
        now = time.monotonic()
        if now - self._retired_at > RETIRE_SECONDS:
            self._retired_at = now
            await self._upkeep.retire_silent(SILENT_MS)


@contextmanager
def _patience() -> Iterator[None]:
    """Leave for the next round what cannot be done in this one."""
    try:
        yield
    except (RedisError, *STORE_AWAY) as error:
        log.debug("cannot look after the queue now", error=str(error))
    except Exception:
        log.exception("the janitor failed")
