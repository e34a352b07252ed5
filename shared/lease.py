"""Leases in Redis: at most one holder at a time, and one that died is followed after the time to live."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from secrets import token_hex

from redis.asyncio import Redis

from shared.broker import UNAVAILABLE
from shared.tasks import end, until_cancelled

# Leases may be taken and renewed beyond maxmemory: what they are for makes room again.
_ACQUIRE = """#!lua flags=allow-oom
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if holder then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RENEW = "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('PEXPIRE',KEYS[1],ARGV[2]) end return 0"
_RELEASE = "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0"


class LeaseTaken(RuntimeError):
    """Somebody else holds the lease."""


class Lease:
    """A named lease.

    `token` identifies this holder; scripts that write under the lease compare it with the key's value, so that a
    holder who was paused past the end of its lease cannot write any more.
    """

    def __init__(self, redis: Redis, key: str, ttl: timedelta) -> None:
        self.key = key
        self.token = token_hex(8)
        self._redis = redis
        self._ttl = ttl

    async def acquire(self) -> bool:
        """Take the lease if it is free; True also when we hold it already (and it is renewed)."""
        ttl = int(self._ttl.total_seconds() * 1000)
        return bool(await self._redis.eval(_ACQUIRE, 1, self.key, self.token, ttl))

    async def renew(self) -> bool:
        """Extend the lease; False when it is no longer ours."""
        ttl = int(self._ttl.total_seconds() * 1000)
        return bool(await self._redis.eval(_RENEW, 1, self.key, self.token, ttl))

    async def release(self) -> None:
        """Give the lease up; harmless when it is not ours."""
        await self._redis.eval(_RELEASE, 1, self.key, self.token)

    @asynccontextmanager
    async def held(self, patience: timedelta) -> AsyncIterator[None]:
        """Hold the lease, renewed in the background, for the length of a block.

        Raises:
            LeaseTaken: it did not come free within `patience`.
        """
        deadline = asyncio.get_running_loop().time() + patience.total_seconds()
        while not await self.acquire():
            if asyncio.get_running_loop().time() > deadline:
                raise LeaseTaken(f"{self.key} is held by another process")
            await asyncio.sleep(0.2)
        try:
            async with self.kept():
                yield
        finally:
            with suppress(*UNAVAILABLE):
                await self.release()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renew a lease that is held, in the background, for the length of a block."""
        renewing = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            await end([renewing])

    async def _keep(self) -> None:
        for _ in until_cancelled():
            await asyncio.sleep(self._ttl.total_seconds() / 3)
            with suppress(*UNAVAILABLE):
                await self.renew()
