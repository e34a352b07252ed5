"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): one key and one request always mean one job."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
from redis.asyncio import Redis

from services.gateway.problems import ErrorItem, Problem
from shared.broker import UNAVAILABLE
from shared.keys import Keys
from shared.lease import Lease

MAX_KEY = 255
LEASE = timedelta(seconds=10)
"""How long the key of a gateway that died stays taken; renewed while it lives."""
RETRY_AFTER = "2"  # seconds

# A holder that was paused past the end of its lease finds somebody else's, or none: then nobody came in between.
# KEYS: lease, entry | ARGV: token, lease (ms), entry, seconds to keep it. Answers false when the lease is lost.
_SETTLE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return false end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[3], 'NX', 'EX', ARGV[4])
return redis.call('GET', KEYS[2])
"""
# KEYS: lease, entry | ARGV: token, entry
_FORGET = """
if redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('GET', KEYS[2]) == ARGV[2] then
  redis.call('DEL', KEYS[2])
end
"""
_STRING = re.compile(r'"((?:[^"\\]|\\["\\])*)"')  # of a structured field (RFC 8941)


class _Entry(msgspec.Struct, frozen=True):
    fingerprint: str
    job: str


@dataclass(frozen=True)
class Reservation:
    """The job that a key stands for. It is `fresh` for whoever came first."""

    job_id: str
    fresh: bool


class Claim:
    """A key while its request is being answered; no other request with it is let in meanwhile."""

    def __init__(self, redis: Redis, lease: Lease, entry_key: str, seconds: int) -> None:
        self._redis = redis
        self._lease = lease
        self._entry_key = entry_key
        self._seconds = seconds
        self._ours = ""

    async def known(self) -> bool:
        """Whether the key stands for a request already."""
        return bool(await self._redis.exists(self._entry_key))

    async def settle(self, fingerprint: str, job_id: str) -> Reservation:
        """Return the job of the key: `job_id` if it is new. From now on a repeat means that job.

        Raises:
            Problem: the key stands for another request, or another request took it over from us.
        """
        self._ours = msgspec.json.encode(_Entry(fingerprint, job_id)).decode()
        keys, lease = (self._lease.key, self._entry_key), int(LEASE.total_seconds() * 1000)
        arguments = (self._lease.token, lease, self._ours, self._seconds)
        found: Any = await self._redis.eval(_SETTLE, len(keys), *keys, *arguments)
        if found is None:
            raise _in_progress()
        entry = msgspec.json.decode(found, type=_Entry)
        if entry.fingerprint != fingerprint:
            raise Problem(
                "idempotency-mismatch",
                f"job {entry.job} was made with it; repeat that request as it was, or take a new key",
            )
        return Reservation(entry.job, fresh=entry.job == job_id)

    async def forget(self) -> None:
        """Free the key of a request that was refused, if it is still ours."""
        keys = (self._lease.key, self._entry_key)
        await self._redis.eval(_FORGET, len(keys), *keys, self._lease.token, self._ours)


class Idempotency:
    """Keys in Redis, each with the fingerprint of its request and the id of its job.

    A key is leased before the body is read, so that of two requests at the same time one is told to come again. The id
    is settled before the job exists: whoever repeats a request whose gateway died goes on with the same id, and the
    job's spec in the store, which can be written only once, decides should the dead one come back.
    """

    def __init__(self, redis: Redis, keys: Keys, hours: float) -> None:
        self._redis = redis
        self._keys = keys
        self._seconds = max(1, round(hours * 3600))

    @asynccontextmanager
    async def claim(self, key: str) -> AsyncIterator[Claim]:
        """Hold a key for the length of a block.

        Raises:
            Problem: another request with this key is being answered.
        """
        lease = Lease(self._redis, self._keys.lease(f"idempotency:{key}"), LEASE)
        if not await lease.acquire():
            raise _in_progress()
        try:
            async with lease.kept():
                yield Claim(self._redis, lease, self._keys.idempotency(key), self._seconds)
        finally:
            with suppress(*UNAVAILABLE):  # then it comes free by itself
                await lease.release()


def check_key(text: str) -> str:
    """Return the key that a header means: `"abc"` and `abc` are the same. Raises Problem."""
    text = text.strip()
    quoted = _STRING.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    broken = text.startswith('"') and quoted is None
    if broken or not key.isascii() or not key.isprintable() or not 0 < len(key.strip()) <= MAX_KEY:
        detail = f"expected 1 to {MAX_KEY} printable ASCII characters, in double quotes or without any"
        error = ErrorItem("#/header/Idempotency-Key", "invalid", detail)
        raise Problem("malformed-request", f"Idempotency-Key: {detail}", errors=[error])
    return key


def _in_progress() -> Problem:
    detail = "another request with this Idempotency-Key is being answered"
    return Problem("idempotency-in-progress", detail, headers={"Retry-After": RETRY_AFTER})
