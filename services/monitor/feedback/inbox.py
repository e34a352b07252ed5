"""Feedback in Redis: what arrived, what waits for its prediction, and the one step that takes it out and counts it.

There is no consumer group. One monitor at a time works on it, under a lease that the script looks at: it takes entries
out, counts them and puts back what found no prediction yet, all or nothing. So each is counted once, whoever dies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from redis.asyncio import Redis

from services.monitor.buckets import Target, packed_arguments, with_prelude
from services.monitor.feedback.values import time_of
from shared.events import FeedbackReceived
from shared.keys import QUALITY_FORMAT, Keys
from shared.lease import Lease

_SETTLE = Path(__file__).parent.parent / "scripts" / "feedback.lua"
_FIELD = "__data__"
_SINCE = f"since:{QUALITY_FORMAT}"
"""Milliseconds; among the counts, and lost with them. Sums of another format are others."""


@dataclass(frozen=True)
class Arrived:
    """An entry that is to be joined. `tries` is how often that was tried."""

    id: str
    body: str
    tries: int = 0

    @property
    def waited(self) -> bool:
        return self.tries > 0


@dataclass(frozen=True)
class Postponed:
    """Values that found no prediction, to be tried again."""

    id: str
    body: str
    tries: int
    due: float
    """Unix time."""
    values: int
    """How many they are."""


class Inbox:
    """Feedback of one tenant. `redis` decodes responses."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._stream = keys.stream(FeedbackReceived.stream)
        self._settle = redis.register_script(with_prelude(_SETTLE.read_text()))

    async def fresh(self, limit: int) -> list[Arrived]:
        """Return what nobody has tried to join, oldest first."""
        found: Any = await self._redis.xrange(self._stream, count=limit)
        return [Arrived(entry, fields.get(_FIELD, "")) for entry, fields in found]

    async def due(self, now: float, limit: int) -> list[Arrived]:
        """Return what is to be tried again, what waits longest first."""
        ids: Any = await self._redis.zrangebyscore(self._keys.feedback_due, "-inf", now, 0, limit)
        bodies: Any = await self._redis.hmget(self._keys.feedback_waiting, ids) if ids else []
        # Of an id without a body, the other half is gone with a part of Redis; it goes when it is settled.
        return [_waiting(entry, body or "0 ") for entry, body in zip(ids, bodies, strict=True)]

    async def find(self, entries: Sequence[str]) -> list[Arrived]:
        """Return those of some entries that are still to be joined."""
        if not entries:
            return []
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hmget(self._keys.feedback_waiting, list(entries))
            for entry in entries:
                pipe.xrange(self._stream, entry, entry)
            bodies, *fresh = await pipe.execute()
        waiting = [_waiting(entry, body) for entry, body in zip(entries, bodies, strict=True) if body is not None]
        return waiting + [Arrived(entry, fields.get(_FIELD, "")) for found in fresh for entry, fields in found]

    async def since(self) -> datetime:
        """Return from when on feedback was counted here: what was counted before is lost with Redis' data.

        To be called under the lease, before anything is counted.
        """
        key = self._keys.feedback
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hget(key, _SINCE)
            pipe.xrange(self._stream, count=1)
            pipe.time()
            known, first, (seconds, microseconds) = await pipe.execute()
        if known is None:
            known = first[0][0].partition("-")[0] if first else seconds * 1000 + microseconds // 1000
            await self._redis.hset(key, _SINCE, known)
        return time_of(f"{known}-0")

    async def waiting(self) -> int:
        """Return how many values wait for their prediction."""
        return int(await self._redis.hget(self._keys.feedback, "waiting") or 0)

    async def length(self) -> int:
        """Return how many entries nobody has tried to join."""
        return int(await self._redis.xlen(self._stream))

    async def settle(
        self,
        lease: Lease,
        done: Sequence[Arrived],
        postponed: Sequence[Postponed],
        counts: Mapping[str, int],
        targets: Sequence[Target],
    ) -> Literal["ok", "lost", "gone"]:
        """Take entries out, count them, and put back what is postponed.

        `lost`: the lease is somebody else's, and `gone`: an entry was taken out before; nothing is changed then.
        """
        fresh = [entry.id for entry in done if not entry.waited]
        waited = [entry.id for entry in done if entry.waited]
        names, packed = packed_arguments(targets)
        arguments: list[str | int | float] = [lease.token, len(fresh), *fresh, len(waited), *waited, len(postponed)]
        for each in postponed:
            arguments += [each.id, each.due, f"{each.tries} {each.body}"]
        arguments += [len(counts), *(part for count in counts.items() for part in count), *packed]
        keys = self._keys
        first = [lease.key, self._stream, keys.feedback_due, keys.feedback_waiting, keys.feedback]
        answer = await self._settle(keys=[*first, *names], args=arguments)
        return str(answer)  # type: ignore[return-value]  # what the script returns


def _waiting(entry: str, body: str) -> Arrived:
    tries, _, event = body.partition(" ")
    return Arrived(entry, event, max(int(tries), 1))
