"""What the gateway needs to know of the scorers."""

import math

from redis.asyncio import Redis

from shared.keys import Keys
from shared.replica import ReplicaInfo, live_replicas

UNKNOWN_SECONDS = 30
LONGEST_SECONDS = 3600


class Fleet:
    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def scorers(self) -> int:
        return len(await self._live())

    async def seconds_for(self, rows: int) -> int:
        """Estimate how long it takes to score so many rows, from what the scorers say they do now."""
        speed = sum(float(scorer.extra.get("rows_per_second") or 0) for scorer in await self._live())
        return min(max(1, math.ceil(rows / speed)), LONGEST_SECONDS) if speed else UNKNOWN_SECONDS

    async def _live(self) -> list[ReplicaInfo]:
        return await live_replicas(self._redis, self._keys, ("scorer",))
