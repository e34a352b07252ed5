"""Accepting and ending jobs while somebody else does the same, or Redis loses everything in between."""

from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from shared.jobs import EndState, JobRecord, JobSpec, JobStatus, Part, new_job_id
from shared.keys import job_path
from shared.records import END, SPEC, end_job, find_job, read_record, record_end, stored_job, submit_job, write_manifest
from shared.scripts import NO_LIMIT, JobQueue, Submitted
from shared.store import Store
from tests.builders import a_spec

pytestmark = pytest.mark.delivery


class Interrupted(JobQueue):
    """A queue to which something else happens once: before it submits, or after it has ended a job."""

    def __init__(self, redis: Redis, queue: JobQueue, what: Callable[[], Awaitable[object]]) -> None:
        super().__init__(redis, queue.keys)
        self._what: Callable[[], Awaitable[object]] | None = what

    async def submit(
        self, spec: JobSpec, window: int, backlog_limit_rows: int = NO_LIMIT, open_limit: int = NO_LIMIT
    ) -> Submitted:
        await self._interrupt()
        return await super().submit(spec, window, backlog_limit_rows, open_limit)

    async def end(self, status: JobStatus, state: EndState, error: str = "") -> str:
        answer = await super().end(status, state, error)
        await self._interrupt()
        return answer

    async def _interrupt(self) -> None:
        what, self._what = self._what, None
        if what is not None:
            await what()


async def test_a_job_that_was_restored_before_it_was_submitted_is_accepted(
    redis: Redis, queue: JobQueue, store: Store
) -> None:
    """The janitor, or a repeat of the request, finds the spec before its writer has told Redis."""
    spec = a_spec(rows=1000)
    slow = Interrupted(redis, queue, lambda: queue.submit(spec, 4))
    assert await submit_job(slow, store, spec, window=4, backlog_limit_rows=1000) == "ok"
    assert await queue.backlog() == 1000


async def test_a_spec_whose_write_was_not_answered_may_be_written_again(queue: JobQueue, store: Store) -> None:
    spec = a_spec()
    await store.put_new(job_path(spec.id, SPEC), spec.model_dump_json().encode())
    assert await submit_job(queue, store, spec, window=4) == "ok"


async def test_the_first_of_two_specs_of_one_id_counts(queue: JobQueue, store: Store) -> None:
    first = a_spec()
    second = a_spec(id=first.id, input_key="another")
    assert await submit_job(queue, store, first, window=4) == "ok"
    assert await submit_job(queue, store, second, window=4) == "duplicate"


async def test_a_job_that_is_restored_while_it_is_cancelled_ends_all_the_same(
    redis: Redis, queue: JobQueue, store: Store
) -> None:
    spec = a_spec()
    await submit_job(queue, store, spec, window=4)

    async def flush_and_restore() -> None:
        await redis.flushall()
        await queue.submit(spec, 4)

    status = await end_job(Interrupted(redis, queue, flush_and_restore), store, spec.id, "cancelled")
    assert status is not None
    assert status.state == "cancelled"
    record = await read_record(store, spec.id)
    assert record is not None
    assert record.status.state == "cancelled"
    assert (await queue.open_jobs(), await queue.backlog()) == ([], 0)


async def test_a_job_whose_spec_is_damaged_can_be_ended(queue: JobQueue, store: Store) -> None:
    spec = a_spec()
    await submit_job(queue, store, spec, window=4)
    await store.put(job_path(spec.id, SPEC), b"damaged")
    status = await end_job(queue, store, spec.id, "failed", "its record is damaged")
    assert status is not None
    assert status.state == "failed"
    assert await store.exists(job_path(spec.id, END))
    assert await queue.open_jobs() == []


async def test_the_first_record_of_an_end_stays(redis: Redis, queue: JobQueue, store: Store) -> None:
    """A janitor that was paused half-way must not write another one, when Redis has let the parts go."""
    spec = a_spec()
    await submit_job(queue, store, spec, window=4)
    part = Part(key="part", sha256="00", rows=100, failed=1)
    await redis.hset(queue.keys.parts(spec.id), "0", part.model_dump_json())
    ended = await end_job(queue, store, spec.id, "cancelled")
    assert ended is not None
    await redis.delete(queue.keys.parts(spec.id))
    assert await record_end(queue, store, ended.model_copy(update={"done": 0})) == ended
    record = await read_record(store, spec.id)
    assert record is not None
    assert (record.status, record.parts) == (ended, (part,))


async def test_an_end_that_is_recorded_after_a_flush_leaves_the_job_to_be_restored(
    redis: Redis, queue: JobQueue, store: Store
) -> None:
    spec = a_spec()
    await submit_job(queue, store, spec, window=4)
    assert await queue.end(JobStatus.submitted(spec), "cancelled") == "queued"
    ended = await queue.status(spec.id)
    assert ended is not None
    await redis.flushall()
    recorded = await record_end(queue, store, ended)
    assert await redis.keys("*") == []
    assert await find_job(queue, store, spec.id) == recorded


async def test_a_job_is_found_after_redis_forgot_it(redis: Redis, queue: JobQueue, store: Store) -> None:
    waiting, ended = a_spec(), a_spec()
    for spec in (waiting, ended):
        await submit_job(queue, store, spec, window=4)
    cancelled = await end_job(queue, store, ended.id, "cancelled")
    await redis.flushall()
    assert await find_job(queue, store, waiting.id) == JobStatus.submitted(waiting)
    assert await find_job(queue, store, ended.id) == cancelled
    assert await find_job(queue, store, new_job_id()) is None


async def test_jobs_of_another_tenant_are_not_found(redis: Redis, queue: JobQueue, store: Store) -> None:
    waiting, ended = a_spec(tenant="somebody"), a_spec(tenant="somebody")
    for spec in (waiting, ended):
        await submit_job(queue, store, spec, window=4)
    await end_job(queue, store, ended.id, "cancelled")
    await redis.flushall()
    for spec in (waiting, ended):
        assert await find_job(queue, store, spec.id) is None
        assert await stored_job(store, spec.id, "somebody") is not None


async def test_who_slept_through_a_flush_cannot_replace_a_manifest(store: Store) -> None:
    """It names the parts of a run that Redis forgot. After the one that replaced it they were swept."""
    spec = a_spec(rows=100)
    status = JobStatus.submitted(spec).model_copy(update={"state": "completed"})
    ours, older = (
        JobRecord(status=status, model_digest="", parts=(Part(key=key, sha256="00", rows=100, failed=0),))
        for key in ("ours", "of the run before")
    )
    assert await write_manifest(store, ours) == ours
    assert await write_manifest(store, older) == ours
    assert await read_record(store, spec.id) == ours
