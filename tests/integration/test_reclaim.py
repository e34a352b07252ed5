"""When a scorer takes entries over, on a real server."""

import asyncio
import time
from datetime import timedelta
from typing import Any, Literal

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from services.scorer.metrics import Metrics
from services.scorer.reclaim import Reclaimer
from services.scorer.upkeep import Upkeep
from shared.broker import ensure_group
from shared.keys import SCORERS_GROUP
from shared.scripts import Held, JobQueue
from shared.tasks import end
from tests.builders import a_spec
from tests.waiting import eventually

pytestmark = pytest.mark.delivery

LEASE = timedelta(seconds=8)


class Turns(asyncio.Semaphore):
    """Counts how often somebody had the turn."""

    taken = 0

    async def acquire(self) -> Literal[True]:
        self.taken += 1
        return await super().acquire()


class Hands:
    def __init__(self) -> None:
        self.turns = Turns(1)
        self.turn: asyncio.Semaphore = self.turns
        self.given: list[int] = []
        self.given_at = 0.0

    async def process(self, held: Held) -> None:
        assert self.turn.locked()
        self.given.append(held.chunk)
        self.given_at = time.monotonic()

    async def looked_up_twice(self) -> None:
        before = self.turns.taken
        await eventually(lambda: asyncio.sleep(0, self.turns.taken > before + 1))

    async def was_given(self, *chunks: int) -> None:
        await eventually(lambda: asyncio.sleep(0, self.given == [*chunks]))


@pytest.fixture
async def upkeep(redis: Redis, queue: JobQueue) -> Upkeep:
    """The only chunk is held by a consumer that was silent for a minute."""
    chunks = queue.keys.chunks
    await ensure_group(redis, chunks, SCORERS_GROUP)
    await queue.submit(a_spec(rows=100), 4)
    found: Any = await redis.xreadgroup(SCORERS_GROUP, "silent", {chunks: ">"}, count=1)
    entry = found[0][1][0][0]
    await redis.xclaim(chunks, SCORERS_GROUP, "silent", 0, [entry], idle=60_000, justid=True)
    return Upkeep(queue, redis)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def reclaimer(upkeep: Upkeep, hands: Hands) -> Reclaimer:
    return Reclaimer(upkeep, hands, consumer="me", lease=LEASE, metrics=Metrics(CollectorRegistry()))


async def test_nothing_is_taken_over_before_the_server_was_met(reclaimer: Reclaimer, hands: Hands) -> None:
    """It may have come back this moment, and the holders may not have renewed yet."""
    task = asyncio.create_task(reclaimer.run())
    await hands.looked_up_twice()
    assert hands.given == []
    reclaimer.begin()
    await hands.was_given(0)
    await end([task])


async def test_nothing_is_taken_over_for_a_lease_after_an_outage(reclaimer: Reclaimer, hands: Hands) -> None:
    back = time.monotonic()
    reclaimer.hold_off()
    reclaimer.begin()
    task = asyncio.create_task(reclaimer.run())
    await hands.was_given(0)
    assert hands.given_at >= back + LEASE.total_seconds()
    await end([task])
