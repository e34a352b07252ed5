"""Chunks on their way to their commits, on a real server and a store that misbehaves."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from services.scorer.attempt import Attempt
from services.scorer.chunk import ChunkWork
from services.scorer.finalise import Finaliser
from services.scorer.fleet import Fleet
from services.scorer.inputs import Inputs
from services.scorer.lease import ChunkLease
from services.scorer.metrics import Metrics
from services.scorer.patience import JobImpossible
from services.scorer.settings import ScorerSettings
from services.scorer.work import Worker
from shared.broker import ensure_group
from shared.follower import Models
from shared.keys import SCORERS_GROUP
from shared.scripts import Held, JobQueue
from shared.store import Store
from shared.tasks import end
from tests.scorers import Jobs
from tests.waiting import eventually

pytestmark = pytest.mark.delivery

LEASE = timedelta(seconds=60)


class Unanswered(Store):
    """Writes its first part, and says that it could not."""

    failed = False

    async def put_new(self, key: str, data: bytes) -> None:
        await super().put_new(key, data)
        if "/parts/" in key and not self.failed:
            self.failed = True
            raise OSError("no answer")


class Slow(Store):
    """Writes no part before it may."""

    def __init__(self, url: str, backend: Any, root: Path | None) -> None:
        super().__init__(url, backend, root)
        self.asked = 0
        self.may = asyncio.Event()

    async def put_new(self, key: str, data: bytes) -> None:
        if "/parts/" in key:
            self.asked += 1
            await self.may.wait()
        await super().put_new(key, data)


@dataclass(frozen=True)
class Bench:
    """Chunks in work: read from the stream, and about to be tried."""

    redis: Redis
    redis_url: str
    queue: JobQueue
    store: Store
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    async def try_first_chunk(self, deliveries: int = 1) -> str:
        work = self._work(self._inputs(), Metrics(self.registry))
        held = await self.next_entry()
        try:
            return await work.do(Attempt(held, deliveries, ChunkLease(self.queue, held, LEASE)))
        finally:
            await work.end()

    def worker(self) -> Worker:
        inputs, metrics = self._inputs(), Metrics(self.registry)
        finaliser = Finaliser(self.queue, self.store, 1, inputs=inputs, metrics=metrics)
        chunks = self._work(inputs, metrics)
        return Worker(self.queue, self.store, LEASE, inputs=inputs, chunks=chunks, finaliser=finaliser, metrics=metrics)

    async def next_entry(self) -> Held:
        chunks = self.queue.keys.chunks
        await ensure_group(self.redis, chunks, SCORERS_GROUP)
        found: Any = await self.redis.xreadgroup(SCORERS_GROUP, "me", {chunks: ">"}, count=1)
        return Held.of("me", *found[0][1][0])

    def _inputs(self) -> Inputs:
        return Inputs(self.store, Models(self.store, "model", 1), "model")

    def _work(self, inputs: Inputs, metrics: Metrics) -> ChunkWork:
        settings = ScorerSettings.load(redis_url=self.redis_url, store_url=self.store.url)
        fleet = Fleet(self.redis, self.queue.keys, 1 << 20)
        return ChunkWork(settings, self.queue, self.store, inputs=inputs, fleet=fleet, metrics=metrics)


@pytest.fixture
def bench(redis: Redis, redis_url: str, queue: JobQueue, store: Store) -> Bench:
    return Bench(redis, redis_url, queue, store)


async def test_a_part_whose_write_was_not_answered_is_written_again(bench: Bench) -> None:
    store = Unanswered.open(bench.store.url)
    jobs = await Jobs.of(bench.queue, store)
    x = jobs.rows(100)
    spec = await jobs.submit(x, 100)
    assert await replace(bench, store=store).try_first_chunk() == "ok"
    await jobs.assert_complete(spec, x)


def slow(bench: Bench) -> Slow:
    store = Slow.open(bench.store.url)
    assert isinstance(store, Slow)
    return store


async def test_a_chunk_is_scored_while_the_part_of_the_one_before_is_written(bench: Bench) -> None:
    store = slow(bench)
    jobs = await Jobs.of(bench.queue, store)
    x = jobs.rows(200)
    spec = await jobs.submit(x, 100)
    bench = replace(bench, store=store)
    worker = bench.worker()
    await worker.process(await bench.next_entry())
    second = asyncio.create_task(worker.process(await bench.next_entry()))
    await eventually(lambda: asyncio.sleep(0, store.asked == 2))
    assert (await jobs.status(spec)).done == 0
    assert not second.done(), "of no more than one"
    store.may.set()
    await second
    await worker.written()
    await worker.process(await bench.next_entry())  # finalises
    await jobs.assert_complete(spec, x)


async def test_a_chunk_that_was_tried_before_is_committed_before_the_next_one_is_scored(bench: Bench) -> None:
    """Rows of that one may end the process; after a few such ends a chunk is given up, all rows of it."""
    store = slow(bench)
    jobs = await Jobs.of(bench.queue, store)
    spec = await jobs.submit(jobs.rows(100), 100)
    await bench.redis.hset(bench.queue.keys.job(spec.id), "suspect", "1")
    bench = replace(bench, store=store)
    worker = bench.worker()
    first = asyncio.create_task(worker.process(await bench.next_entry()))
    await eventually(lambda: asyncio.sleep(0, store.asked == 1))
    assert not first.done(), "the next one may begin"
    store.may.set()
    await first
    await worker.written()
    assert (await jobs.status(spec)).done == 100


async def test_a_part_that_is_abandoned_leaves_its_chunk_to_others(bench: Bench) -> None:
    store = slow(bench)
    jobs = await Jobs.of(bench.queue, store)
    spec = await jobs.submit(jobs.rows(100), 100)
    bench = replace(bench, store=store)
    worker, held = bench.worker(), await bench.next_entry()
    await worker.process(held)
    await worker.abandon()
    store.may.set()
    await worker.written()
    assert (await jobs.status(spec)).done == 0
    assert await bench.queue.release(held), "it is still held"


async def test_who_is_cancelled_while_a_part_waits_for_another_leaves_none(bench: Bench) -> None:
    store = slow(bench)
    jobs = await Jobs.of(bench.queue, store)
    spec = await jobs.submit(jobs.rows(200), 100)
    bench = replace(bench, store=store)
    worker = bench.worker()
    await worker.process(await bench.next_entry())
    second = asyncio.create_task(worker.process(await bench.next_entry()))
    await eventually(lambda: asyncio.sleep(0, store.asked == 2))
    await end([second])
    store.may.set()
    await worker.written()
    assert (await jobs.status(spec)).done == 100


async def test_an_innocent_chunk_is_isolated_and_counted(bench: Bench) -> None:
    jobs = await Jobs.of(bench.queue, bench.store)
    x = jobs.rows(100)
    spec = await jobs.submit(x, 100)
    assert await bench.try_first_chunk(deliveries=2) == "ok"
    await jobs.assert_complete(spec, x)
    assert bench.registry.get_sample_value("tasador_scorer_isolated_chunks_total") == 1
    assert bench.registry.get_sample_value("tasador_scorer_condemned_rows_total") == 0


async def test_a_job_whose_input_was_cut_off_fails(bench: Bench) -> None:
    """A store says of a range behind the end no more than that it cannot; asking again helps nobody."""
    jobs = await Jobs.of(bench.queue, bench.store)
    spec = await jobs.submit(jobs.rows(100), 100)
    await bench.store.put(spec.input_key, b"")
    with pytest.raises(JobImpossible, match=r"the job's input: .* was cut off"):
        await bench.try_first_chunk()


@pytest.mark.parametrize(
    ("deliveries", "reason"),
    [(1, "checksum"), (2, "checksum"), (21, "checksum"), (41, "chunk 0 cannot even be given up")],
)
async def test_a_job_whose_input_cannot_be_read_fails(bench: Bench, deliveries: int, reason: str) -> None:
    """However far it has come by then: a chunk that is always tried again would be a job that never ends."""
    jobs = await Jobs.of(bench.queue, bench.store)
    spec = await jobs.submit(jobs.rows(100), 100)
    await bench.store.put(spec.input_key, b"?" * spec.input_offsets[-1])
    with pytest.raises(JobImpossible, match=reason):
        await bench.try_first_chunk(deliveries)
