"""Removing what nobody needs any more: jobs past their retention, and what a job left behind that its record omits."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from pydantic import ValidationError
from redis.exceptions import RedisError

from services.scorer.metrics import Metrics
from services.scorer.upkeep import Upkeep
from shared.clock import utc_now
from shared.jobs import JobRecord, JobSpec
from shared.keys import job_path
from shared.records import read_record, read_spec, remove_job
from shared.store import ObjectNotFound, Store
from shared.telemetry import get_logger

SWEEP_AFTER = timedelta(minutes=10)
"""After a job's end: many leases, so that whoever still worked on it has noticed, and readers of parts are done."""
MOST = 100  # jobs of a kind in one look, which must not keep the janitor from mending
AT_ONCE = 8

log = get_logger(__name__)


class Tidier:
    """Whatever is interrupted is done in a later look: Redis forgets a job only after the store."""

    def __init__(
        self,
        upkeep: Upkeep,
        store: Store,
        *,
        retention: timedelta,
        metrics: Metrics,
        sweep_after: timedelta = SWEEP_AFTER,
    ) -> None:
        self._upkeep = upkeep
        self._store = store
        self._retention = retention
        self._sweep_after = sweep_after
        self._metrics = metrics

    async def remove(self) -> None:
        """Remove jobs that ended longer ago than they are kept, a bounded number of them."""
        due = await self._upkeep.ended_before(utc_now() - self._retention, MOST)
        if due:
            await self._upkeep.drop_dead_letters(due)  # without the input nothing can be redriven
        await _for_each(due, self._remove)

    async def sweep(self) -> None:
        """Look for leftovers of jobs that ended a while ago, of a bounded number of them."""
        await _for_each(await self._upkeep.unswept_before(utc_now() - self._sweep_after, MOST), self._sweep)

    async def _remove(self, job_id: str) -> None:
        await remove_job(self._store, job_id)
        await self._upkeep.forget(job_id)
        log.info("removed a job past its retention", job_id=job_id)
        self._metrics.removed.labels("jobs").inc()

    async def _sweep(self, job_id: str) -> None:
        """Delete parts that lost a race or came too late, and inputs of requests that were repeated."""
        try:
            spec, record = await read_spec(self._store, job_id), await read_record(self._store, job_id)
        except (ObjectNotFound, ValidationError) as error:  # who knows what they refer to: it is kept to the end
            log.warning("cannot tell what a job left behind", job_id=job_id, error=str(error))
            record = None
        if record is not None:
            await self._delete_but(job_id, _referred(spec, record))
        await self._upkeep.swept(job_id)

    async def _delete_but(self, job_id: str, referred: set[str]) -> None:
        kinds = {job_path(job_id, kind): kind for kind in ("parts", "input")}
        stray = [key async for key in self._store.list(job_path(job_id, "")) if key not in referred]
        for key in stray:
            kind = next((kind for prefix, kind in kinds.items() if key.startswith(prefix)), None)
            if kind is not None:
                await self._store.delete(key)
                self._metrics.removed.labels(kind).inc()


def _referred(spec: JobSpec, record: JobRecord) -> set[str]:
    return {spec.input_key, *(part.key for part in record.parts)}


async def _for_each(job_ids: Sequence[str], do: Callable[[str], Awaitable[None]]) -> None:
    """Do something for each job, some at a time. One that cannot be helped does not keep the others from it.

    In no order: those that cannot be helped are tried again in every look, and must not always be the first ones.
    """
    jobs = random.sample(job_ids, len(job_ids))
    for start in range(0, len(jobs), AT_ONCE):
        some = jobs[start : start + AT_ONCE]
        found = await asyncio.gather(*map(do, some), return_exceptions=True)
        errors = {job_id: error for job_id, error in zip(some, found, strict=True) if error is not None}
        for job_id, error in errors.items():
            if isinstance(error, RedisError) or len(errors) == AT_ONCE:
                raise error  # the others would fare no better now
            log.warning("could not tidy up after a job", job_id=job_id, error=str(error))
