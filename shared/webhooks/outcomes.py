"""What the store knows of the messages about jobs: losing Redis neither loses one nor sends all of them anew."""

from shared.jobs import JobStatus, job_time
from shared.keys import job_path
from shared.store import ObjectNotFound, Store
from shared.webhooks.messages import Webhook

OUTCOME = "webhook.json"


async def write_outcome(store: Store, message_id: str, outcome: Webhook) -> None:
    """Keep how the message about a job ended. Others have no place in the store, and nothing is kept of them."""
    key = _key(message_id)
    if key is not None:
        await store.put(key, outcome.model_dump_json().encode())


async def read_outcome(store: Store, job_id: str) -> Webhook | None:
    """Return how the message about a job ended; None if it has not."""
    try:
        return Webhook.model_validate_json(await store.get(job_path(job_id, OUTCOME)))
    except ObjectNotFound:
        return None


async def is_untold(store: Store, status: JobStatus) -> bool:
    """Whether a job that has ended has a webhook that neither heard of it nor was given up."""
    return status.webhook is not None and not await store.exists(job_path(status.id, OUTCOME))


async def forget_outcome(store: Store, job_id: str) -> None:
    """The message is about to be sent anew: until that has ended, losing Redis must not lose it."""
    await store.delete(job_path(job_id, OUTCOME))


def _key(message_id: str) -> str | None:
    try:
        job_time(message_id)
    except ValueError:
        return None
    return job_path(message_id, OUTCOME)
