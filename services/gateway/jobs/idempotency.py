"""`Idempotency-Key`: the same key and the same request always mean the same job."""

from dataclasses import dataclass

import msgspec
from redis.asyncio import Redis

from services.gateway.problems import ErrorItem, Problem
from shared.keys import Keys

MAX_KEY = 255


class _Entry(msgspec.Struct, frozen=True):
    fingerprint: str
    job: str


@dataclass(frozen=True)
class Reservation:
    """The job that a key stands for. It is `fresh` for whoever came first."""

    job_id: str
    fresh: bool


class Idempotency:
    """Keys in Redis, each with the fingerprint of its request and the id of its job.

    The id is settled before the job exists. Whoever repeats a request that did not get through goes on with the same
    id, and the job's spec in the store, which can be written only once, decides between two at the same time.
    """

    def __init__(self, redis: Redis, keys: Keys, hours: float) -> None:
        self._redis = redis
        self._keys = keys
        self._seconds = max(1, round(hours * 3600))

    async def reserve(self, key: str, fingerprint: str, job_id: str) -> Reservation:
        """Return the job of a key: `job_id` if the key is new.

        Raises:
            Problem: the key stands for another request.
        """
        ours = _Entry(fingerprint, job_id)
        text = msgspec.json.encode(ours)
        found = await self._redis.set(self._keys.idempotency(key), text, nx=True, get=True, ex=self._seconds)
        if found is None:
            return Reservation(job_id, fresh=True)
        entry = msgspec.json.decode(str(found), type=_Entry)
        if entry.fingerprint != fingerprint:
            raise Problem("idempotency-mismatch", f"the key belongs to job {entry.job}, whose request was another")
        return Reservation(entry.job, fresh=False)

    async def forget(self, key: str) -> None:
        """Free a key whose request was refused."""
        await self._redis.delete(self._keys.idempotency(key))


def check_key(key: str) -> str:
    """Return a key that can be used. Raises Problem."""
    if not key.isascii() or not key.isprintable() or not 0 < len(key.strip()) <= MAX_KEY:
        detail = f"expected 1 to {MAX_KEY} printable ASCII characters"
        error = ErrorItem("#/header/Idempotency-Key", "invalid", detail)
        raise Problem("malformed-request", f"Idempotency-Key: {detail}", errors=[error])
    return key.strip()
