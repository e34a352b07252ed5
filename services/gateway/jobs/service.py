"""What can be done with jobs, whatever the transport."""

from redis.asyncio import Redis

from shared.follower import ModelFollower
from shared.settings import CommonSettings
from shared.store import Store


class Jobs:
    def __init__(self, settings: CommonSettings, store: Store, redis: Redis, follower: ModelFollower) -> None:
        self._settings, self._store, self._redis, self._follower = settings, store, redis, follower
