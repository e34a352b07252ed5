"""What the gateway needs to know of the scorers."""

import math
from statistics import fmean

from redis.asyncio import Redis

from shared.keys import Keys
from shared.replica import ReplicaInfo, live_replicas

UNKNOWN_SECONDS = 30
LONGEST_SECONDS = 3600


class Fleet:
    def __init__(self, redis: Redis, keys: Keys) -> None:
        self.seconds_per_row: float | None = None
        """As this gateway measured it for the last job, for scorers that have not worked yet."""
        self._redis = redis
        self._keys = keys

    async def scorers(self) -> int:
        return len(await self._live())

    async def seconds_for(self, rows: int) -> int:
        """Estimate how long so many rows take, from the speed of the scorers when they last had work."""
        speed = self._speed(await self._live())
        return min(max(1, math.ceil(rows / speed)), LONGEST_SECONDS) if speed else UNKNOWN_SECONDS

    def _speed(self, scorers: list[ReplicaInfo]) -> float:
        """Return rows per second of all; 0 where it is not known, or there is nobody to score them."""
        known = [speed for scorer in scorers if (speed := float(scorer.extra.get("capacity") or 0))]
        if known:
            return fmean(known) * len(scorers)
        return len(scorers) / self.seconds_per_row if self.seconds_per_row else 0.0

    async def _live(self) -> list[ReplicaInfo]:
        return await live_replicas(self._redis, self._keys, ("scorer",))
