"""The queue as the janitor sees it, read page by page: thousands of open jobs must not hold Redis up.

The pages are of different moments, in an order that makes nothing look lost which is not:

1. The jobs, each with the number of its parts in the same transaction, so that its counts fit.
2. How far the stream was delivered, who holds what, and the stream itself, upwards.
3. Later, for jobs that seem to lack a chunk, which chunks have a part (`Upkeep.committed_chunks`).

A chunk that a job had fed by 1 is in the stream until its part is recorded; handed back, it gets a higher id, which the
reading has yet to come to. So what 2 does not find and 3 does not know is lost. An entry that had been delivered by 2
is held until it leaves the stream. So what the stream still has and nobody held is stranded. Only jobs that went on to
their end meanwhile look wrong; but `feed` and `requeue` look again in the step in which they change anything, and an
entry too many costs no more than a `begin` that drops it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from shared.jobs import JobStatus
from shared.keys import SCORERS_GROUP, Keys

JOBS, ENTRIES = 100, 1000  # read at once: a millisecond or so of Redis's time


@dataclass(frozen=True)
class Snapshot:
    jobs: Sequence[JobStatus]
    parts: Mapping[str, int]
    """Committed parts per job."""
    entries: Mapping[str, tuple[str, int]]
    """The stream: entry → (job, chunk)."""
    stranded: Sequence[str]
    """Entries that were delivered and are held by nobody: no consumer would ever see them again."""


async def take_snapshot(redis: Redis, keys: Keys, job_ids: Sequence[str]) -> Snapshot:
    """Raises ResponseError when the stream or its group does not exist."""
    jobs: list[JobStatus] = []
    parts: dict[str, int] = {}
    for start in range(0, len(job_ids), JOBS):
        async for status, committed in _jobs(redis, keys, job_ids[start : start + JOBS]):
            jobs.append(status)
            parts[status.id] = committed
    groups: Any = await redis.xinfo_groups(keys.chunks)
    delivered = next((group["last-delivered-id"] for group in groups if group["name"] == SCORERS_GROUP), "0-0")
    held = {entry async for entry in _held(redis, keys)}
    entries = {entry: fields async for entry, fields in _entries(redis, keys)}
    return Snapshot(
        jobs=jobs,
        parts=parts,
        entries={entry: (fields.get("job", ""), int(fields.get("chunk", 0))) for entry, fields in entries.items()},
        stranded=[entry for entry in entries if _position(entry) <= _position(delivered) and entry not in held],
    )


async def _jobs(redis: Redis, keys: Keys, job_ids: Sequence[str]) -> AsyncIterator[tuple[JobStatus, int]]:
    async with redis.pipeline(transaction=True) as pipe:
        for job_id in job_ids:
            pipe.hgetall(keys.job(job_id))
            pipe.hlen(keys.parts(job_id))
        found: Any = await pipe.execute()
    for fields, committed in zip(found[::2], found[1::2], strict=True):
        if fields:
            yield JobStatus.of_hash(fields), committed


async def _held(redis: Redis, keys: Keys) -> AsyncIterator[str]:
    first = "-"
    while True:
        page: Any = await redis.xpending_range(keys.chunks, SCORERS_GROUP, first, "+", ENTRIES)
        for pending in page:
            yield pending["message_id"]
        if len(page) < ENTRIES:
            return
        first = f"({page[-1]['message_id']}"


async def _entries(redis: Redis, keys: Keys) -> AsyncIterator[tuple[str, Mapping[str, str]]]:
    first = "-"
    while True:
        page: Any = await redis.xrange(keys.chunks, first, "+", ENTRIES)
        for entry, fields in page:
            yield entry, fields
        if len(page) < ENTRIES:
            return
        first = f"({page[-1][0]}"


def _position(entry: str) -> tuple[int, ...]:
    return tuple(int(number) for number in entry.split("-"))
