"""Bringing back the jobs that Redis forgot, from their records in the store."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from secrets import token_hex

from pydantic import ValidationError

from services.scorer.fleet import Fleet
from services.scorer.metrics import Metrics
from services.scorer.upkeep import Upkeep
from shared.clock import utc_now
from shared.jobs import job_time
from shared.records import read_record, read_spec, remove_job
from shared.scripts import JobQueue
from shared.store import ObjectNotFound, Store
from shared.telemetry import get_logger
from shared.webhooks.outcomes import is_untold

AT_ONCE = 32  # jobs; their records are small, and read over the network perhaps
ABANDONED = timedelta(days=2)
"""An id may be reserved for a day, by an Idempotency-Key, before its job is submitted."""
PAGE = 500

log = get_logger(__name__)


class Restorer:
    """An ended job comes back as it ended. Any other starts anew: only Redis knew which parts were committed.

    What lies in the store without a spec, and is older than anything that is still being submitted, is removed.

    Args:
        tenant: jobs of others are left alone.
    """

    def __init__(
        self, queue: JobQueue, upkeep: Upkeep, store: Store, *, fleet: Fleet, metrics: Metrics, tenant: str
    ) -> None:
        self._queue = queue
        self._upkeep = upkeep
        self._store = store
        self._fleet = fleet
        self._metrics = metrics
        self._tenant = tenant

    async def restore(self) -> None:
        """Bring back every job of the store that Redis does not know.

        The newest pages come first, since it is there that jobs wait; within a page those that came first.
        """
        token = token_hex(8)
        await self._upkeep.begin_restoring(token)
        ids = sorted(filter(_is_job, await self._store.directories("jobs")))
        for start in reversed(range(0, len(ids), PAGE)):
            await self._page(await self._upkeep.unknown(ids[start : start + PAGE]))
        if not await self._upkeep.end_restoring(token):
            log.warning("redis was flushed while jobs were restored; starting over")

    async def _page(self, unknown: Sequence[str]) -> None:
        for start in range(0, len(unknown), AT_ONCE):
            await asyncio.gather(*(self._job(job_id) for job_id in unknown[start : start + AT_ONCE]))

    async def _job(self, job_id: str) -> None:
        try:
            spec = await read_spec(self._store, job_id)
            if spec.tenant != self._tenant:
                return
            record = await read_record(self._store, job_id)
        except ObjectNotFound:
            await self._unsubmitted(job_id)
            return
        except ValidationError as invalid:
            log.error("cannot read the record of a job", job_id=job_id, error=str(invalid))
            return
        if record is not None:
            untold = await is_untold(self._store, record.status)
            restored = await self._queue.restore(record.status, record.parts, untold=untold)
        else:
            restored = await self._queue.submit(spec, self._fleet.window) == "ok"
        if restored:
            state = record.status.state if record else "queued"
            told = {"state": state, "job_id": job_id, "request_id": spec.request_id}
            log.warning("redis forgot a job: restored it from the store", **told)
            self._metrics.mended.labels("restored").inc()

    async def _unsubmitted(self, job_id: str) -> None:
        """Remove what was never submitted, or half removed; its input may still be on its way."""
        if utc_now() - job_time(job_id) > ABANDONED:
            await remove_job(self._store, job_id)
            log.info("removed what was left of a job", job_id=job_id)
            self._metrics.removed.labels("leftovers").inc()


def _is_job(name: str) -> bool:
    try:
        job_time(name)
    except ValueError:
        return False
    return True
