"""What this gateway knows of its surroundings, looked at in the background so that `/health` answers at once."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.broker import UNAVAILABLE, check_server
from shared.follower import ModelFollower
from shared.keys import Keys
from shared.replica import live_replicas
from shared.telemetry import get_logger

_CHECK_SERVER_SECONDS = 60.0
log = get_logger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """As last seen; None where Redis could not be asked."""

    redis_up: bool = False
    scorers: int | None = None
    backlog_rows: int | None = None
    desired_epoch: int | None = None
    server_problems: Sequence[str] = ()


class Watch:
    """Looks every second, and remembers whether this gateway was ever complete."""

    def __init__(self, redis: Redis, keys: Keys, follower: ModelFollower, *, model_name: str, seconds: float) -> None:
        self.seen = Surroundings()
        self.stopping = False
        self._redis = redis
        self._keys = keys
        self._follower = follower
        self._model_name = model_name
        self._seconds = seconds
        self._complete = False
        self._checked_server_at = float("-inf")

    def missing(self) -> list[str]:
        """Return why requests should not be sent here; nothing means that it is ready.

        At first that takes a model, Redis and a scorer. Later the model alone decides, because a gateway that can
        predict must stay in rotation; but one that was paused must first look whether its model is still the right one.
        """
        self._latch()
        loaded = self._follower.current is not None
        lacking = {
            "it is stopping": self.stopping,
            "no model is loaded": not loaded,
            "it was paused and has not caught up with the desired version": loaded and not self._follower.fresh,
            "Redis was not seen yet": not self._complete and not self.seen.redis_up,
            "no scorer was seen yet": not self._complete and not self.seen.scorers,
        }
        return [reason for reason, holds in lacking.items() if holds]

    @property
    def ready(self) -> bool:
        return not self.missing()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(self._seconds)

    async def look(self) -> None:
        try:
            self.seen = await self._look()
        except (RedisError, *UNAVAILABLE):
            self.seen = Surroundings(server_problems=self.seen.server_problems)
        self._latch()

    def _latch(self) -> None:
        """Remember it at once: a gateway that said it was ready must stay so when Redis goes away a moment later."""
        if self._follower.current is not None and self.seen.scorers:
            self._complete = True

    async def _look(self) -> Surroundings:
        replicas = await live_replicas(self._redis, self._keys, ("scorer",))
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.get(self._keys.backlog)
            pipe.hget(self._keys.model(self._model_name), "epoch")
            backlog, epoch = await pipe.execute()
        return Surroundings(
            redis_up=True,
            scorers=sum(replica.state == "ready" for replica in replicas),
            backlog_rows=int(backlog or 0),
            desired_epoch=int(epoch) if epoch else None,
            server_problems=await self._server_problems(),
        )

    async def _server_problems(self) -> Sequence[str]:
        if time.monotonic() - self._checked_server_at < _CHECK_SERVER_SECONDS:
            return self.seen.server_problems
        problems = await check_server(self._redis)
        self._checked_server_at = time.monotonic()
        if problems and problems != list(self.seen.server_problems):
            log.warning("redis is not configured as it should be", problems=problems)
        return problems
