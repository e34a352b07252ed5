"""What can be done with jobs, whatever the transport."""

from collections.abc import Callable

from redis.asyncio import Redis

from services.gateway.jobs.acceptance import Acceptance
from services.gateway.jobs.fleet import Fleet
from services.gateway.jobs.idempotency import Idempotency
from services.gateway.jobs.lookup import Lookup
from services.gateway.jobs.parse import Parser
from services.gateway.jobs.results import Results
from services.gateway.jobs.submit import Submission
from services.gateway.jobs.versions import Versions
from services.gateway.settings import GatewaySettings
from shared.follower import ModelFollower
from shared.jobs import JobStatus
from shared.keys import Keys
from shared.records import end_job, read_spec
from shared.scripts import JobQueue
from shared.store import Store
from shared.telemetry import get_logger, trace

log = get_logger(__name__)


class Jobs:
    """The jobs of one gateway.

    Args:
        stopping: whether the process is about to end; what waits for a job answers then.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        store: Store,
        redis: Redis,
        follower: ModelFollower,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        keys = Keys(settings.tenant)
        self._queue = JobQueue(redis, keys)
        self._store = store
        idempotency = Idempotency(redis, keys, settings.gateway_idempotency_hours)
        self.settings = settings
        self.lookup = Lookup(self._queue, store, settings.job_retention, stopping)
        fleet = Fleet(redis, keys)
        self.versions = Versions(follower, store, settings.model_name)
        self.acceptance = Acceptance(settings, store, self._queue, fleet)
        self.submission = Submission(
            settings,
            store,
            versions=self.versions,
            parser=Parser(settings, fleet),
            acceptance=self.acceptance,
            idempotency=idempotency,
        )
        self.results = Results(self._queue, store)

    async def cancel(self, job_id: str) -> JobStatus:
        """End a job early and return it; one that has ended stays as it is.

        Raises:
            Problem: there is no such job.
        """
        status = await self.lookup.find(job_id)
        if status.ended:
            return status
        ended = await end_job(self._queue, self._store, job_id, "cancelled")
        if ended is None:  # Redis forgot it: bring it back without work, so that its end is recorded as any other
            await self._queue.submit(await read_spec(self._store, job_id), window=0)
            ended = await end_job(self._queue, self._store, job_id, "cancelled")
        if ended is not None and ended.state == "cancelled":
            # Two requests: the one that submitted the job, and this one.
            log.info("job finished", **ended.outcome(), cancelled_by=trace().get("request_id"))
        return ended or status
