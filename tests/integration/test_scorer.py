"""Scorer processes, and what happens to a job when they or Redis fail."""

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from shared.jobs import JobSpec
from shared.records import read_record
from shared.scripts import JobQueue
from shared.store import Store
from tests.scorers import Fleet, Jobs, ScorerProcess, ready_scorers
from tests.valkey import ValkeyServer
from tests.waiting import eventually

SLOW = 500  # rows/s: a chunk of 100 rows takes 0.2 s, so that faults land inside a job


@pytest.fixture
async def redis(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    client = Redis.from_url(valkey.url, decode_responses=True)
    yield client
    await client.aclose()


@pytest.fixture
def fleet(tmp_path: Path, valkey: ValkeyServer, store: Store) -> Iterator[Fleet]:
    with Fleet(tmp_path, valkey.url, store) as fleet:
        yield fleet


@pytest.fixture
async def jobs(queue: JobQueue, store: Store) -> Jobs:
    return await Jobs.of(queue, store)


async def ready(redis: Redis, count: int = 1) -> None:
    async def enough() -> bool:
        return len(await ready_scorers(redis)) >= count

    await eventually(enough, within=30)


async def reached(jobs: Jobs, spec: JobSpec, state: str, within: float = 40) -> None:
    async def there() -> bool:
        status = await jobs.status(spec)
        assert status.state == state, f"{status.state}: {status.done} of {status.rows} rows, {status.error}"
        return True

    await eventually(there, within=within)


async def some_done(jobs: Jobs, spec: JobSpec, rows: int = 1) -> None:
    async def done() -> bool:
        return (await jobs.status(spec)).done >= rows

    await eventually(done)


async def is_working(redis: Redis, jobs: Jobs, scorer: ScorerProcess) -> None:
    """Wait until this scorer holds a chunk."""

    async def holds() -> bool:
        replicas = {replica.pid: replica.id for replica in await ready_scorers(redis)}
        consumers = await redis.xinfo_consumers(jobs.queue.keys.chunks, "scorers")
        return any(c["name"].startswith(replicas[scorer.pid]) and c["pending"] for c in consumers)

    await eventually(holds)


async def test_a_job_is_scored_in_order_by_two_scorers(redis: Redis, jobs: Jobs, fleet: Fleet) -> None:
    first, second = fleet.start(), fleet.start()
    await ready(redis, 2)
    x = jobs.rows(3_050)
    spec = await jobs.submit(x, 100)
    await reached(jobs, spec, "completed")
    await jobs.assert_complete(spec, x)
    record = await read_record(jobs.store, spec.id)
    assert record is not None
    assert (record.status.state, record.status.done, len(record.parts)) == ("completed", 3_050, 31)
    assert await jobs.queue.backlog() == 0
    for scorer in (first, second):
        scorer.signal(signal.SIGTERM)
    assert [scorer.wait(15) for scorer in (first, second)] == [0, 0]
    assert await redis.xinfo_consumers(jobs.queue.keys.chunks, "scorers") == [], "they left nothing behind"
