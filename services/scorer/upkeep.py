"""Looking after the queue: what scorers take over, hand back and put right."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from services.scorer.snapshot import Snapshot, take_snapshot
from shared.dead_letters import DeadLetters
from shared.keys import SCORERS_GROUP
from shared.scripts import Held, JobQueue

_MANY = 1_000_000  # more than the stream can hold
_RESTORED = "yes"


class Upkeep:
    def __init__(self, queue: JobQueue, redis: Redis) -> None:
        self._queue = queue
        self._redis = redis
        self._keys = queue.keys
        self._dead = DeadLetters(redis, queue.keys)

    async def requeue(self, entry: str) -> bool:
        """Add a stranded entry anew; False when somebody holds it, or it is gone."""
        return bool(await self._queue.run("requeue", "", entry))

    async def discard(self, entry: str) -> None:
        """Delete an entry that is none of ours."""
        await self._redis.xack(self._keys.chunks, SCORERS_GROUP, entry)
        await self._redis.xdel(self._keys.chunks, entry)

    async def held_by(self, consumer: str) -> Sequence[Held]:
        """Return the entries that a consumer holds."""
        found: Any = await self._redis.xpending_range(
            self._keys.chunks, SCORERS_GROUP, "-", "+", _MANY, consumername=consumer
        )
        held = []
        for pending in found:
            entry = pending["message_id"]
            entries: Any = await self._redis.xrange(self._keys.chunks, entry, entry)
            held += [Held.of(consumer, entry, fields) for _, fields in entries]
        return held

    async def claim(self, consumer: str, idle: timedelta) -> Held | None:
        """Take over an entry whose holder was silent for `idle`, if there is one. It counts as a delivery."""
        start = "0-0"
        while True:
            found: Any = await self._redis.xautoclaim(
                self._keys.chunks, SCORERS_GROUP, consumer, int(idle.total_seconds() * 1000), start, count=1
            )
            start, entries = found[0], found[1]
            for entry, fields in entries:
                try:
                    return Held.of(consumer, entry, fields)
                except (KeyError, ValueError):
                    await self.discard(entry)
            if start == "0-0":
                return None

    async def snapshot(self) -> Snapshot:
        """Look at all open jobs. Raises ResponseError when the stream or its group does not exist."""
        return await take_snapshot(self._redis, self._keys, await self._queue.open_jobs())

    async def committed_chunks(self, job_id: str) -> set[int]:
        """Return the chunks that have a part."""
        found: Any = await self._redis.hkeys(self._keys.parts(job_id))
        return {int(chunk) for chunk in found}

    async def ended_before(self, at: datetime, limit: int) -> Sequence[str]:
        """Return up to `limit` jobs that ended before, those that ended first."""
        return await self._before(self._keys.ended_jobs, at, limit)

    async def unswept_before(self, at: datetime, limit: int) -> Sequence[str]:
        """As `ended_before`, of those after which nobody has swept yet."""
        return await self._before(self._keys.unswept_jobs, at, limit)

    async def swept(self, job_id: str) -> None:
        await self._redis.zrem(self._keys.unswept_jobs, job_id)

    async def forget(self, job_id: str) -> None:
        """Remove all that Redis knows of an ended job."""
        await self._queue.run("forget", job_id, job_id)

    async def drop_dead_letters(self, job_ids: Sequence[str]) -> None:
        """Drop the dead letters of these jobs."""
        letters: Any = await self._redis.zrange(self._keys.dead_letters, 0, -1)
        gone = set(job_ids)
        await self._dead.drop([letter for letter in letters if letter.rpartition(":")[0] in gone])

    async def unknown(self, job_ids: Sequence[str]) -> Sequence[str]:
        """Return those jobs that Redis does not know. The hash of a job that has ended goes before the job does."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.exists(self._keys.job(job_id))
                pipe.zscore(self._keys.ended_jobs, job_id)
            found: Any = await pipe.execute()
        known = zip(found[::2], found[1::2], strict=True)
        return [job_id for job_id, (hashed, ended) in zip(job_ids, known, strict=True) if not hashed and ended is None]

    async def is_restored(self) -> bool:
        """Whether every job of the store was brought back since the last flush."""
        return await self._redis.get(self._keys.jobs_restored) == _RESTORED

    async def begin_restoring(self, token: str) -> None:
        await self._redis.set(self._keys.jobs_restored, token)

    async def end_restoring(self, token: str) -> bool:
        """Note that all jobs are known; False when Redis was flushed since `begin_restoring`."""
        return bool(await self._queue.run("restored", "", token, _RESTORED))

    async def retire(self, consumer: str) -> bool:
        """Delete a consumer unless it holds entries."""
        return bool(await self._queue.run("retire", "", consumer))

    async def retire_silent(self, idle_ms: int) -> int:
        """Delete the consumers that hold nothing and have not read for so long; returns how many."""
        found: Any = await self._redis.xinfo_consumers(self._keys.chunks, SCORERS_GROUP)
        silent = [c["name"] for c in found if c["pending"] == 0 and c["idle"] > idle_ms]
        return sum([await self.retire(name) for name in silent])

    async def _before(self, key: str, at: datetime, limit: int) -> Sequence[str]:
        found: Any = await self._redis.zrangebyscore(key, "-inf", int(at.timestamp() * 1000), 0, limit)
        return list(found)
