"""A server that has no memory left: what is under way goes on, and makes room."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.broker import ensure_group
from shared.keys import SCORERS_GROUP, Keys
from shared.lease import Lease
from shared.replica import Replica, live_replicas
from shared.scripts import JobQueue
from shared.settings import CommonSettings
from shared.store import Store
from tests.scorers import Fleet, Jobs, ready_scorers
from tests.waiting import eventually

pytestmark = pytest.mark.delivery


@pytest.fixture
async def full(redis: Redis) -> AsyncIterator[Redis]:
    """A server that is made full by `fill`."""
    yield redis
    await redis.config_set("maxmemory", "256mb")


async def fill(redis: Redis) -> None:
    await redis.config_set("maxmemory", 1)
    with pytest.raises(ResponseError, match=r"OOM|maxmemory"):
        await redis.set("more", "x")


async def test_leases_are_taken_renewed_and_followed(full: Redis, keys: Keys) -> None:
    await fill(full)
    first, second = (Lease(full, keys.lease("janitor"), timedelta(seconds=30)) for _ in range(2))
    assert [await first.acquire(), await first.acquire(), await first.renew()] == [True, True, True]
    assert not await second.acquire()
    await first.release()
    assert await second.acquire()


async def test_replicas_announce_themselves(full: Redis, keys: Keys) -> None:
    await fill(full)
    replica = Replica("scorer", CommonSettings.load(model_name="model"), full)
    await replica.announce()
    assert replica.redis_up
    assert [found.id for found in await live_replicas(full, keys)] == [replica.id]


async def test_a_group_is_there_for_whoever_starts(full: Redis, keys: Keys) -> None:
    await fill(full)
    for _ in range(2):
        await ensure_group(full, keys.chunks, SCORERS_GROUP)
    await full.config_set("maxmemory", "256mb")
    await full.set("text", "x")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await ensure_group(full, "text", SCORERS_GROUP)


async def test_an_accepted_job_is_completed_by_a_scorer_that_starts_then(
    full: Redis, queue: JobQueue, store: Store, redis_url: str, tmp_path: Path
) -> None:
    jobs = await Jobs.of(queue, store)
    x = jobs.rows(300)
    spec = await jobs.submit(x, 100)
    await fill(full)
    with Fleet(tmp_path, redis_url, store) as fleet:
        fleet.start()
        await eventually(lambda: ready_scorers(full))

        async def completed() -> bool:
            return (await jobs.status(spec)).state == "completed"

        await eventually(completed)
    await jobs.assert_complete(spec, x)
