"""Accepting a job whose input is in the store, once and only once."""

from services.gateway.jobs.admission import Admission
from services.gateway.jobs.fleet import Fleet
from services.gateway.problems import unavailable
from services.gateway.settings import GatewaySettings
from shared.jobs import JobSpec, JobStatus, target_window
from shared.records import find_job, read_spec, submit_job
from shared.scripts import JobQueue
from shared.store import Store
from shared.telemetry import get_logger

log = get_logger(__name__)


class Acceptance:
    def __init__(self, settings: GatewaySettings, store: Store, queue: JobQueue, fleet: Fleet) -> None:
        self.admission = Admission(settings, queue, fleet)
        self._store = store
        self._queue = queue
        self._fleet = fleet

    async def enqueue(self, spec: JobSpec) -> JobStatus:
        """Return the accepted job, or the one that another request has just made under this id.

        Raises:
            Problem: it was refused; neither its input nor its spec is left.
        """
        answer = await submit_job(
            self._queue,
            self._store,
            spec,
            window=await self._window(),
            backlog_limit_rows=self.admission.backlog_rows,
            open_limit=self.admission.open_jobs,
        )
        if answer == "ok":
            log.info("job accepted", job_id=spec.id, rows=spec.rows, version=spec.model_version)
            return JobStatus.submitted(spec)
        await self._store.delete(spec.input_key)
        if answer == "busy":
            raise await self.admission.busy(spec.rows)
        if answer == "crowded":
            raise await self.admission.crowded()
        known = await self.resumed(spec.id)
        if known is None:  # the other request for this job has just been refused
            raise unavailable("overloaded", "another request for the same job got in the way", retry_after=1)
        return known

    async def resumed(self, job_id: str) -> JobStatus | None:
        """Return the job that an earlier request made, put back into the queue if it did not get so far."""
        status = await find_job(self._queue, self._store, job_id)
        if status is None or status.ended:
            return status
        await self._queue.submit(await read_spec(self._store, job_id), await self._window())
        return await self._queue.status(job_id) or status

    async def _window(self) -> int:
        return target_window(await self._fleet.scorers())
