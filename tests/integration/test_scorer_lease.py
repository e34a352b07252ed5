"""Keeping, losing and settling a lease, on a real server."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from services.scorer.lease import ChunkLease, LeaseLost
from shared.broker import ensure_group
from shared.jobs import Part
from shared.keys import SCORERS_GROUP
from shared.scripts import Held, JobQueue
from tests.builders import a_spec
from tests.waiting import eventually

pytestmark = pytest.mark.delivery

LEASE = timedelta(seconds=0.3)


@pytest.fixture
async def held(redis: Redis, queue: JobQueue) -> Held:
    await ensure_group(redis, queue.keys.chunks, SCORERS_GROUP)
    await queue.submit(a_spec(rows=100), 4)
    found: Any = await redis.xreadgroup(SCORERS_GROUP, "me", {queue.keys.chunks: ">"}, count=1)
    ((_, ((entry, fields),)),) = found
    held = Held.of("me", entry, fields)
    await queue.begin(held)
    return held


async def steal(redis: Redis, queue: JobQueue) -> None:
    await redis.xautoclaim(queue.keys.chunks, SCORERS_GROUP, "thief", 0)


async def test_a_lease_is_kept_for_as_long_as_the_work_takes(redis: Redis, queue: JobQueue, held: Held) -> None:
    idle: list[int] = []

    async def work() -> None:
        for _ in range(12):
            await asyncio.sleep(0.1)
            pending: Any = await redis.xpending_range(queue.keys.chunks, SCORERS_GROUP, "-", "+", 1)
            idle.append(pending[0]["time_since_delivered"])

    await ChunkLease(queue, held, timedelta(seconds=3)).keep(work)
    assert idle != sorted(idle), "it was renewed"


async def test_work_is_cancelled_when_the_lease_is_lost(redis: Redis, queue: JobQueue, held: Held) -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    keeping = asyncio.create_task(ChunkLease(queue, held, LEASE).keep(work))
    await asyncio.sleep(0)
    await steal(redis, queue)
    with pytest.raises(LeaseLost):
        await keeping
    assert cancelled.is_set()


async def test_a_commit_under_way_is_not_a_lost_lease(redis: Redis, queue: JobQueue, held: Held) -> None:
    lease = ChunkLease(queue, held, LEASE)
    part = Part(key="part", sha256="00", rows=100, failed=0)
    answers: list[str] = []

    async def work() -> None:
        lease.settle()
        answers.append((await queue.commit(held, part, window=4))[0])
        await asyncio.sleep(3 * LEASE.total_seconds())  # the answer takes its time, the entry is gone

    await lease.keep(work)
    assert answers == ["ok"]


async def test_cancelling_from_outside_stops_the_work(redis: Redis, queue: JobQueue, held: Held) -> None:
    running, stopped = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    keeping = asyncio.create_task(ChunkLease(queue, held, LEASE).keep(work))
    await running.wait()
    keeping.cancel()
    await eventually(lambda: asyncio.sleep(0, stopped.is_set()))
    with pytest.raises(asyncio.CancelledError):
        await keeping


async def test_an_error_of_the_work_passes_through(queue: JobQueue, held: Held) -> None:
    async def work() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await ChunkLease(queue, held, LEASE).keep(work)
