"""What a commit needs to know of its surroundings, looked up once a second instead of once a chunk."""

from time import monotonic
from typing import Any

from redis.asyncio import Redis

from shared.jobs import target_window
from shared.keys import Keys
from shared.replica import live_replicas

LOOK_SECONDS = 1.0
"""From one look to the next: everyone looks at everyone, which grows with the square of the scorers."""
TELEMETRY_SHARE = 0.7
"""Of maxmemory: above, events are dropped, so that telemetry never takes the memory that jobs need."""


class Fleet:
    """How many scorers live, and whether Redis has room for events."""

    def __init__(self, redis: Redis, keys: Keys, event_bytes: int) -> None:
        self.window = target_window(1)
        """Chunks that a job should have in the stream now."""
        self.event_bytes = event_bytes
        """What the stream of events may hold now; 0 while Redis is short of memory."""
        self._redis = redis
        self._keys = keys
        self._most_event_bytes = event_bytes
        self._look_at = float("-inf")

    async def refresh(self) -> None:
        """Look again, if that was not done within the last second."""
        now = monotonic()
        if now < self._look_at:
            return
        scorers = await live_replicas(self._redis, self._keys, ("scorer",))
        self.window = target_window(sum(scorer.state != "draining" for scorer in scorers))
        memory: Any = await self._redis.info("memory")
        limit = int(memory.get("maxmemory", 0))
        room = limit == 0 or int(memory["used_memory"]) < TELEMETRY_SHARE * limit
        self.event_bytes = self._most_event_bytes if room else 0
        self._look_at = now + LOOK_SECONDS
