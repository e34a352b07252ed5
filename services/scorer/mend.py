"""Putting right what a crash in the wrong moment, a careless hand or a bug of ours left behind in Redis."""

from collections import defaultdict

from redis.exceptions import RedisError

from services.scorer.fleet import Fleet
from services.scorer.metrics import Metrics
from services.scorer.upkeep import Upkeep
from shared.clock import utc_now
from shared.jobs import JobStatus, overdue
from shared.records import end_job, record_end
from shared.scripts import FINALISE, JobQueue
from shared.store import Store
from shared.telemetry import get_logger

log = get_logger(__name__)


class Mender:
    def __init__(self, queue: JobQueue, upkeep: Upkeep, store: Store, *, fleet: Fleet, metrics: Metrics) -> None:
        self._queue = queue
        self._upkeep = upkeep
        self._store = store
        self._fleet = fleet
        self._metrics = metrics

    async def mend(self) -> None:
        """Look at every open job once. Harmless while everything runs."""
        snapshot = await self._upkeep.snapshot()
        jobs = {status.id: status for status in snapshot.jobs}
        for entry in snapshot.stranded:
            if await self._upkeep.requeue(entry):
                self._note("requeued", jobs.get(snapshot.entries[entry][0]))
        there: dict[str, set[int]] = defaultdict(set)
        for job, chunk in snapshot.entries.values():
            there[job].add(chunk)
        for status in snapshot.jobs:
            try:
                await self._job(status, there[status.id], snapshot.parts[status.id])
            except RedisError:
                raise
            except Exception as error:  # one job that cannot be helped must not keep the others from it
                log.warning("could not mend a job", error=str(error), **status.context)

    async def _job(self, status: JobStatus, there: set[int], committed: int) -> None:
        if status.ended:
            if status.state != "completed":
                await record_end(self._queue, self._store, status)
                self._note("recorded", status)
        elif status.state == "finalizing" and committed == status.chunks:
            if FINALISE not in there and await self._queue.feed(status.id, self._fleet.window, [FINALISE]):
                self._note("finalised", status)
        elif status.state != "finalizing" and (late := overdue(status, utc_now())):
            await self._expire(status.id, late)
        else:
            await self._feed(status, there, committed)

    async def _expire(self, job_id: str, late: str) -> None:
        """End a job that nobody works on; a scorer that does finds out for itself."""
        ended = await end_job(self._queue, self._store, job_id, "expired", late)
        if ended is not None and ended.state == "expired":
            log.warning("job finished", reason=late, **ended.outcome())
            self._metrics.jobs.labels("expired").inc()

    async def _feed(self, status: JobStatus, there: set[int], committed: int) -> None:
        """Top up for scorers that joined, and put back chunks that are neither in the stream nor committed."""
        missing: list[int] = []
        consistent = status.left == status.chunks - committed
        if not consistent or sum(0 <= chunk < status.next for chunk in there) < status.next - committed:
            done = await self._upkeep.committed_chunks(status.id)
            missing = [chunk for chunk in range(status.next) if chunk not in there and chunk not in done]
        short = status.next < status.chunks and status.next - committed < self._fleet.window
        fed = 0
        if missing or short or not consistent:
            fed = await self._queue.feed(status.id, self._fleet.window, missing)
        if (missing and fed) or not consistent:
            self._note("fed", status)

    def _note(self, kind: str, job: JobStatus | None) -> None:
        log.warning("mended a job", kind=kind, **(job.context if job else {}))
        self._metrics.mended.labels(kind).inc()
