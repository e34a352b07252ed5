"""One chunk on its way to its commit, on a real server and a store that misbehaves."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from services.scorer.attempt import Attempt
from services.scorer.chunk import ChunkWork
from services.scorer.fleet import Fleet
from services.scorer.inputs import Inputs
from services.scorer.lease import ChunkLease
from services.scorer.metrics import Metrics
from services.scorer.settings import ScorerSettings
from shared.broker import ensure_group
from shared.follower import Models
from shared.keys import SCORERS_GROUP
from shared.scripts import Held, JobQueue
from shared.store import Store
from tests.scorers import Jobs


class Unanswered(Store):
    """Writes its first part, and says that it could not."""

    failed = False

    async def put_new(self, key: str, data: bytes) -> None:
        await super().put_new(key, data)
        if "/parts/" in key and not self.failed:
            self.failed = True
            raise OSError("no answer")


async def test_a_part_whose_write_was_not_answered_is_written_again(
    redis: Redis, redis_url: str, queue: JobQueue, tmp_path: Path
) -> None:
    store = Unanswered.open((tmp_path / "store").as_uri())
    jobs = await Jobs.of(queue, store)
    settings = ScorerSettings.load(redis_url=redis_url, store_url=store.url, state_dir=tmp_path)
    work = ChunkWork(
        settings,
        queue,
        store,
        inputs=Inputs(store, Models(store, "model", 1), "model"),
        fleet=Fleet(redis, queue.keys, 1 << 20),
        metrics=Metrics(CollectorRegistry()),
    )
    await ensure_group(redis, queue.keys.chunks, SCORERS_GROUP)
    x = jobs.rows(100)
    spec = await jobs.submit(x, 100)
    found: Any = await redis.xreadgroup(SCORERS_GROUP, "me", {queue.keys.chunks: ">"}, count=1)
    held = Held.of("me", *found[0][1][0])
    assert await work.do(Attempt(held, 1, ChunkLease(queue, held, timedelta(seconds=60)))) == "ok"
    await jobs.assert_complete(spec, x)
