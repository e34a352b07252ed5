"""Jobs that end before their last row, while a real scorer works on them."""

from datetime import timedelta

import pytest
from redis.asyncio import Redis

from shared.clock import utc_now
from shared.jobs import JobSpec
from shared.records import end_job, read_record
from tests.scorers import Fleet, Jobs, ready_scorers
from tests.waiting import eventually

pytestmark = pytest.mark.delivery


async def reached(jobs: Jobs, spec: JobSpec, state: str) -> None:
    async def there() -> bool:
        return (await jobs.status(spec)).state == state

    await eventually(there)


async def test_a_scorer_leaves_the_chunk_of_a_cancelled_job(jobs: Jobs, fleet: Fleet) -> None:
    fleet.start(scorer_max_rows_per_second=1)
    endless = await jobs.submit(jobs.rows(1000), 1000)  # a chunk of a quarter of an hour
    await reached(jobs, endless, "running")
    await end_job(jobs.queue, jobs.store, endless.id, "cancelled")
    x = jobs.rows(1)
    small = await jobs.submit(x, 1)
    await reached(jobs, small, "completed")
    await jobs.assert_complete(small, x)
    assert (await jobs.status(endless)).state == "cancelled"


async def test_a_job_expires_at_its_deadline_with_what_is_done(redis: Redis, jobs: Jobs, fleet: Fleet) -> None:
    fleet.start(scorer_max_rows_per_second=500, scorer_janitor_seconds=600)  # it is the worker that looks
    await eventually(lambda: ready_scorers(redis))
    x = jobs.rows(10_000)
    deadline = utc_now() + timedelta(seconds=2)
    spec = await jobs.submit(x, 100, deadline=deadline)
    await reached(jobs, spec, "expired")
    assert utc_now() > deadline

    async def recorded() -> bool:
        return await read_record(jobs.store, spec.id) is not None

    await eventually(recorded)
    status = await jobs.status(spec)
    records = await jobs.results(spec)
    assert [record["index"] for record in records] == list(range(status.done))
    assert [record["prediction"] for record in records] == jobs.model.predict(x)[: status.done].tolist()
    assert await jobs.queue.backlog() == 0


async def test_a_job_expires_although_its_chunk_takes_for_ever(redis: Redis, jobs: Jobs, fleet: Fleet) -> None:
    fleet.start(scorer_max_rows_per_second=1)
    await eventually(lambda: ready_scorers(redis))
    late = await jobs.submit(jobs.rows(1000), 1000, deadline=utc_now() + timedelta(seconds=5))
    await reached(jobs, late, "expired")
    assert (await jobs.status(late)).started_at is not None
    x = jobs.rows(1)
    small = await jobs.submit(x, 1)
    await reached(jobs, small, "completed")
    await jobs.assert_complete(small, x)
