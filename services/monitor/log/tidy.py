"""Keeping the log in order: old days go, deleted rows stay gone, and small files become large ones, also of labels.

Of several monitors one does it at a time, by a lease. All of it is safe without one, as it may be after a long pause:
what two do at once is done twice.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime, timedelta

from redis.asyncio import Redis

from services.monitor.log.compaction import Compactor
from services.monitor.log.deletions import DeletionRecords
from services.monitor.log.files import Files
from services.monitor.log.layout import LABELS, LOG, Partition, days_of, is_closed, is_expired
from services.monitor.log.purge import Purge
from shared.broker import UNAVAILABLE
from shared.clock import utc_now
from shared.lease import Lease
from shared.store import Store
from shared.telemetry import get_logger

_LEASE = timedelta(seconds=30)

log = get_logger(__name__)


class LogKeeper:
    """Looks after the log of all models.

    Args:
        lease: the key of the lease.
        keep_days: days are removed when they are over for as long; 0 keeps them for ever.
    """

    def __init__(
        self,
        redis: Redis,
        lease: str,
        store: Store,
        files: Files,
        *,
        keep_days: int,
        records: DeletionRecords,
        purge: Purge,
        compactor: Compactor,
        counted: Callable[[str, int], None],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._lease = Lease(redis, lease, _LEASE)
        self._store = store
        self._files = files
        self._keep_days = keep_days
        self._records = records
        self._purge = purge
        self._compactor = compactor
        self._counted = counted
        self._clock = clock
        self._settled: dict[Partition, tuple[frozenset[str], bool]] = {}
        """Files in which there was nothing to do, and whether their day was over then."""

    async def tidy(self) -> None:
        """Do what there is to do, unless another monitor is at it. Raises RedisError, OSError: not now."""
        if not await self._lease.acquire():
            return
        try:
            async with self._lease.kept():
                await self._tidy()
        except OSError as error:
            log.warning("cannot tidy the prediction log; trying again", error=str(error))
            raise
        finally:
            with suppress(*UNAVAILABLE):
                await self._lease.release()

    async def _tidy(self) -> None:
        now = self._clock()
        async for partition in self._partitions(LOG):
            if is_expired(partition.day, self._keep_days, now):
                await self._store.delete_all(partition.prefix)
                self._counted("days_removed", 1)
                log.info("removed a day of the prediction log", partition=partition.prefix)
        found = await self._purge.again()
        self._counted("rows_deleted", found.rows)
        await self._records.retire(now)
        async for partition in self._partitions(LOG):
            await self._compact(partition, closed=is_closed(partition.day, now))
        async for partition in self._partitions(LABELS):  # a day's labels may come at any time: it never closes
            await self._compact(partition, closed=False)

    async def _compact(self, partition: Partition, *, closed: bool) -> None:
        found = frozenset(stored.key for stored in await self._files.list(partition)), closed
        if self._settled.get(partition) == found:
            return
        if not await self._compactor.compact(partition, closed=closed):
            self._settled[partition] = found

    async def _partitions(self, root: str) -> AsyncIterator[Partition]:
        for model in await self._store.directories(root):
            for day in days_of(await self._store.directories(f"{root}/{model}")):
                yield Partition(root, model, day)
