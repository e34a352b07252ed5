"""Replicas: every running process announces itself in Redis with a key that expires."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.broker import refusal
from shared.clock import utc_now
from shared.keys import Keys
from shared.settings import CommonSettings
from shared.tasks import end, until_cancelled
from shared.telemetry import get_logger

SERVING = ("gateway", "scorer")
"""Services that load models, and whose replicas must agree to a promotion."""

# Beyond maxmemory too: who cannot announce himself counts as gone.
# KEYS: replica, replicas | ARGV: text, seconds, member
_ANNOUNCE = """#!lua flags=allow-oom
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('SADD', KEYS[2], ARGV[3])
"""

# One that announced itself again since it was looked for stays, or a promotion would pass over it.
# KEYS: replicas, replica... | ARGV: member...
_FORGET = """
for i,member in ipairs(ARGV) do
  if redis.call('EXISTS',KEYS[i+1])==0 then redis.call('SREM',KEYS[1],member) end
end
"""

log = get_logger(__name__)


class ReplicaInfo(BaseModel):
    """What a replica says of itself."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    service: str
    id: str
    pid: int
    address: str = ""
    """Base URL of its health and metrics."""
    version: str | None = None
    epoch: int | None = None
    engine: str | None = None
    """What computes the version's predictions there."""
    state: str = "starting"
    """starting, ready, draining; training in the trainer."""
    detail: str = ""
    error: str | None = None
    seen_at: AwareDatetime
    extra: dict[str, Any] = Field(default_factory=dict)
    """Figures of the service: in-flight, rows/s."""

    @property
    def member(self) -> str:
        return f"{self.service}:{self.id}"


class Replica:
    """This process, as others see it. Set the attributes; they are announced within a second."""

    def __init__(self, service: str, settings: CommonSettings, redis: Redis) -> None:
        self.service = service
        self.id = settings.replica_id
        self.address = ""
        self.version: str | None = None
        self.epoch: int | None = None
        self.engine: str | None = None
        self.state = "starting"
        self.detail = ""
        self.error: str | None = None
        self.extra: dict[str, Any] = {}
        self.redis_up = False
        """Whether the last announcement reached Redis."""
        self.refusal = ""
        """Why Redis does not let us in, if it is that."""
        self._trouble = ""
        self._redis = redis
        self._keys = Keys(settings.tenant)
        self._interval = settings.announce_seconds
        self._presence = settings.presence_seconds
        self._task: asyncio.Task[None] | None = None

    @property
    def member(self) -> str:
        return f"{self.service}:{self.id}"

    def info(self) -> ReplicaInfo:
        return ReplicaInfo(
            service=self.service,
            id=self.id,
            pid=os.getpid(),
            address=self.address,
            version=self.version,
            epoch=self.epoch,
            engine=self.engine,
            state=self.state,
            detail=self.detail,
            error=self.error,
            seen_at=utc_now(),
            extra=self.extra,
        )

    async def announce(self) -> None:
        """Say now what would otherwise be said within a second. Never raises for a server that is away."""
        try:
            names = (self._keys.replica(self.service, self.id), self._keys.replicas)
            text = self.info().model_dump_json()
            await self._redis.eval(_ANNOUNCE, len(names), *names, text, self._presence, self.member)
        except (RedisError, OSError) as error:
            self._lose(error)
        else:
            self.redis_up, self.refusal, self._trouble = True, "", ""

    def _lose(self, error: Exception) -> None:
        """Say it once, and again when it is something else: we are called every second."""
        self.redis_up, self.refusal = False, refusal(error)
        trouble = self.refusal or "redis is away"
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if self.refusal:
            log.error("redis refuses us", error=self.refusal)
        else:
            log.warning(trouble, error=str(error))

    async def __aenter__(self) -> Self:
        await self.announce()
        self._task = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            await end([self._task])
        with suppress(RedisError, OSError):
            await self._redis.delete(self._keys.replica(self.service, self.id))
            await self._redis.srem(self._keys.replicas, self.member)

    async def _keep(self) -> None:
        for _ in until_cancelled():
            await asyncio.sleep(self._interval)
            await self.announce()


async def live_replicas(redis: Redis, keys: Keys, services: Sequence[str] | None = None) -> list[ReplicaInfo]:
    """Return the replicas whose announcement has not expired, ordered by service and id."""
    members: list[Any] = sorted(await redis.smembers(keys.replicas))
    if not members:
        return []
    names = [keys.replica(*member.split(":", 1)) for member in members]
    found: list[ReplicaInfo] = []
    gone: list[str] = []
    for member, text in zip(members, await redis.mget(names), strict=True):
        if text is None:
            gone.append(member)
            continue
        with suppress(ValidationError):
            found.append(ReplicaInfo.model_validate_json(text))
    if gone:
        names = [keys.replicas, *(keys.replica(*member.split(":", 1)) for member in gone)]
        await redis.eval(_FORGET, len(names), *names, *gone)
    return [replica for replica in found if services is None or replica.service in services]
