"""What became of the message about a job's end, and sending it again."""

from redis.exceptions import RedisError

from services.gateway.jobs.lookup import Lookup
from services.gateway.problems import Problem, unavailable
from services.gateway.settings import GatewaySettings
from shared.jobs import JobStatus, job_message
from shared.store import Store
from shared.telemetry import get_logger
from shared.webhooks import WebhookRefused, check_url
from shared.webhooks.messages import Messages, Webhook
from shared.webhooks.outcomes import forget_outcome, read_outcome

log = get_logger(__name__)


class JobWebhooks:
    """The messages about the jobs of one gateway. The monitor sends them."""

    def __init__(self, lookup: Lookup, messages: Messages, store: Store, settings: GatewaySettings) -> None:
        self._lookup = lookup
        self._messages = messages
        self._store = store
        self._settings = settings

    async def find(self, job_id: str) -> Webhook:
        """Return what became of a job's message, from Redis, or from the store when Redis is away or has forgotten.

        Raises:
            Problem: there is no such job, it has no webhook, or nobody can tell now.
        """
        status, url = await self._told(job_id)
        if not status.ended:
            return Webhook(url=url, state="waiting")
        try:
            known, away = await self._messages.find(job_id), None
        except RedisError as error:
            known, away = None, error
        known = known or await read_outcome(self._store, job_id)
        if known is None and away is not None:
            raise unavailable("redis-unavailable", "Redis cannot be reached, and the message has not ended") from away
        # The end of the job is recorded in a moment, or Redis forgot it: either way the message is about to be queued.
        return known or Webhook(url=url, state="due")

    async def resend(self, job_id: str) -> Webhook:
        """Have the message sent now, whatever became of it; one that is being sent is left to that.

        Raises:
            Problem: there is no such job, it has no webhook, it has not ended, or its URL is not allowed any more.
        """
        status, url = await self._told(job_id)
        if not status.ended:
            raise Problem("conflict", "the job has not ended: there is nothing to tell yet")
        try:
            check_url(url, self._settings)
        except WebhookRefused as refused:
            raise Problem("conflict", f"the webhook cannot be sent: {refused}") from refused
        # First, so that a Redis that loses what comes next has the message queued again from the store.
        await forget_outcome(self._store, job_id)
        await self._messages.resend(job_id, url, job_message(status), status.request_id)
        log.info("webhook to be sent again", job_id=job_id)
        return await self.find(job_id)

    async def _told(self, job_id: str) -> tuple[JobStatus, str]:
        status = await self._lookup.find(job_id)
        if status.webhook is None:
            raise Problem("webhook-not-found", f"job {job_id} was submitted without a webhook")
        return status, status.webhook
