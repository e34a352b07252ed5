"""One chunk on its way to its commit, on a real server and a store that misbehaves."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from services.scorer.attempt import Attempt
from services.scorer.chunk import ChunkWork
from services.scorer.fleet import Fleet
from services.scorer.inputs import Inputs
from services.scorer.lease import ChunkLease
from services.scorer.metrics import Metrics
from services.scorer.patience import JobImpossible
from services.scorer.settings import ScorerSettings
from shared.broker import ensure_group
from shared.follower import Models
from shared.keys import SCORERS_GROUP
from shared.scripts import Held, JobQueue
from shared.store import Store
from tests.scorers import Jobs

pytestmark = pytest.mark.delivery


class Unanswered(Store):
    """Writes its first part, and says that it could not."""

    failed = False

    async def put_new(self, key: str, data: bytes) -> None:
        await super().put_new(key, data)
        if "/parts/" in key and not self.failed:
            self.failed = True
            raise OSError("no answer")


@dataclass(frozen=True)
class Bench:
    """One chunk in work: read from the stream, and about to be tried."""

    redis: Redis
    redis_url: str
    queue: JobQueue
    store: Store
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    async def try_first_chunk(self, deliveries: int = 1) -> str:
        settings = ScorerSettings.load(redis_url=self.redis_url, store_url=self.store.url)
        work = ChunkWork(
            settings,
            self.queue,
            self.store,
            inputs=Inputs(self.store, Models(self.store, "model", 1), "model"),
            fleet=Fleet(self.redis, self.queue.keys, 1 << 20),
            metrics=Metrics(self.registry),
        )
        chunks = self.queue.keys.chunks
        await ensure_group(self.redis, chunks, SCORERS_GROUP)
        found: Any = await self.redis.xreadgroup(SCORERS_GROUP, "me", {chunks: ">"}, count=1)
        held = Held.of("me", *found[0][1][0])
        try:
            return await work.do(Attempt(held, deliveries, ChunkLease(self.queue, held, timedelta(seconds=60))))
        finally:
            await work.end()


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
