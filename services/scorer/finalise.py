"""Finalising a job: the manifest into the store, and only then the job's state."""

from services.scorer.attempt import Attempt
from services.scorer.inputs import Inputs
from services.scorer.metrics import Metrics
from services.scorer.patience import JobImpossible, insist, until_answered
from shared.clock import utc_now
from shared.jobs import JobRecord, JobStatus, Part
from shared.records import prefix, write_manifest
from shared.scripts import Committed, JobQueue
from shared.store import Store
from shared.telemetry import get_logger

log = get_logger(__name__)


class PartsMissing(RuntimeError):
    """A job is said to be complete, and is not."""


class Finaliser:
    def __init__(self, queue: JobQueue, store: Store, max_deliveries: int, *, inputs: Inputs, metrics: Metrics) -> None:
        self._max_deliveries = max_deliveries
        self._queue = queue
        self._store = store
        self._inputs = inputs
        self._metrics = metrics

    async def do(self, attempt: Attempt) -> Committed:
        """Write the manifest and complete the job. May run twice: the first manifest stays.

        Raises:
            JobImpossible, StoreAway, PartsMissing
        """
        if attempt.deliveries > self._max_deliveries:
            raise JobImpossible(f"its results could not be put together in {attempt.deliveries - 1} attempts")
        job_id = attempt.held.job
        spec = await self._inputs.spec(job_id)
        status = await until_answered(lambda: self._queue.status(job_id))
        if status is None:
            return "lost"
        parts = prefix(await until_answered(lambda: self._queue.parts(job_id)))
        if len(parts) != spec.chunks or sum(part.rows for part in parts) != spec.rows:
            raise PartsMissing(f"job {job_id} has {len(parts)} parts in a row, not {spec.chunks}")
        ours = JobRecord(status=_completed(status, parts), model_digest=spec.model_digest, parts=parts)
        record = await insist("writing the manifest", lambda: write_manifest(self._store, ours))
        attempt.lease.settle()
        answer = await until_answered(lambda: self._queue.finish(attempt.held, record.status))
        if answer == "ok":
            log.info("job finished", **record.status.outcome())
            self._metrics.jobs.labels("completed").inc()
        return answer


def _completed(status: JobStatus, parts: tuple[Part, ...]) -> JobStatus:
    counts = {"done": sum(part.rows for part in parts), "failed": sum(part.failed for part in parts), "left": 0}
    return status.model_copy(update={"state": "completed", "finished_at": utc_now(), **counts})
