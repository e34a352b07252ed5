"""A heartbeat goes through the queue, a scorer and the monitor, and is in nobody's way."""

import signal
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from services.monitor.heartbeats import Heartbeat, Heartbeats, read_heartbeat
from services.scorer.snapshot import take_snapshot
from services.scorer.upkeep import Upkeep
from shared.broker import ensure_group
from shared.events import HeartbeatPassed
from shared.keys import SCORERS_GROUP, Keys
from shared.scripts import HEARTBEAT, Held, JobQueue
from tests.builders import a_spec
from tests.integration.test_monitor import Monitors, get, monitors
from tests.redis_server import RedisServer
from tests.scorers import Fleet
from tests.waiting import eventually

__all__ = ["monitors"]  # a fixture


@pytest.fixture
async def heartbeats(redis: Redis, keys: Keys) -> Heartbeats:
    await ensure_group(redis, keys.chunks, SCORERS_GROUP)
    return Heartbeats(redis, keys, every=0.01)


async def take(redis: Redis, keys: Keys, consumer: str = "a") -> Held:
    found: Any = await redis.xreadgroup(SCORERS_GROUP, consumer, {keys.chunks: ">"}, count=1)
    entry, fields = found[0][1][0]
    return Held.of(consumer, entry, fields)


async def passed(redis: Redis, keys: Keys) -> list[HeartbeatPassed]:
    entries: Any = await redis.xrange(keys.stream(HeartbeatPassed.stream))
    return [HeartbeatPassed.of_entry(fields) for _, fields in entries]


@pytest.mark.delivery
async def test_a_scorer_passes_it_on_and_nothing_else_happens(
    redis: Redis, keys: Keys, queue: JobQueue, heartbeats: Heartbeats
) -> None:
    assert await heartbeats.send()
    assert not await heartbeats.send(), "one is on its way"
    held = await take(redis, keys)
    assert held.chunk == HEARTBEAT
    assert not await heartbeats.send(), "also while a scorer holds it"
    assert (await queue.begin(held)).answer == "passed"
    assert (await queue.begin(held)).answer == "lost"
    assert await redis.xlen(keys.chunks) == 0
    assert [f"{event.sent:.3f}" for event in await passed(redis, keys)] == [held.job]
    assert await redis.keys(f"{keys.job('')}*") == []
    await eventually(heartbeats.send)


@pytest.mark.delivery
async def test_it_is_passed_on_after_being_handed_back_stranded_and_taken_over(
    redis: Redis, keys: Keys, queue: JobQueue, heartbeats: Heartbeats
) -> None:
    upkeep = Upkeep(queue, redis)
    await heartbeats.send()
    first = await take(redis, keys)
    assert await queue.release(first)
    await take(redis, keys, "dead")
    await redis.xgroup_delconsumer(keys.chunks, SCORERS_GROUP, "dead")
    (stranded,) = (await take_snapshot(redis, keys, [])).stranded
    assert await upkeep.requeue(stranded)
    again = await take(redis, keys, "silent")
    taken: Any = await redis.xautoclaim(keys.chunks, SCORERS_GROUP, "b", 0, again.entry, count=1)
    held = Held.of("b", *taken[1][0])
    assert (await queue.begin(held)).answer == "passed"
    assert (held.job, [f"{event.sent:.3f}" for event in await passed(redis, keys)]) == (first.job, [first.job])


@pytest.mark.delivery
@pytest.mark.parametrize("there", [True, False])
async def test_it_takes_no_place_of_a_chunk(
    redis: Redis, keys: Keys, queue: JobQueue, heartbeats: Heartbeats, there: bool
) -> None:
    """What a job of little weight gets is counted by what is free."""
    await heartbeats.send()
    if not there:
        assert (await queue.begin(await take(redis, keys))).answer == "passed"
    assert await queue.submit(a_spec(rows=400, chunk_rows=100, priority="high"), window=8) == "ok"
    assert await queue.submit(a_spec(rows=2000, chunk_rows=100, priority="low"), window=8) == "ok"
    assert await redis.xlen(keys.chunks) == there + 8


@pytest.mark.delivery
async def test_one_that_a_scorer_of_an_older_release_dropped_is_followed_by_another(
    redis: Redis, keys: Keys, queue: JobQueue, heartbeats: Heartbeats
) -> None:
    """It finds that there is no such job."""
    assert await read_heartbeat(redis, keys) == Heartbeat(lag=None, passed=None)
    await heartbeats.send()
    first = await take(redis, keys)
    await Upkeep(queue, redis).discard(first.entry)
    await eventually(heartbeats.send)
    seconds, micros = await redis.time()
    waits = await read_heartbeat(redis, keys)
    assert waits.passed is None
    assert waits.lag is not None
    assert waits.lag >= seconds + micros / 1e6 - float(first.job)


@pytest.mark.delivery
async def test_a_full_server_refuses_it_and_lets_one_through_that_is_there(
    redis_server: RedisServer, redis: Redis, keys: Keys, queue: JobQueue, heartbeats: Heartbeats
) -> None:
    await heartbeats.send()
    await redis.config_set("maxmemory", 1)
    assert (await queue.begin(await take(redis, keys))).answer == "passed"

    async def refused() -> bool:  # once it is time for the next one
        try:
            return await heartbeats.send()
        except ResponseError as full:
            return "maxmemory" in str(full)

    await eventually(refused)
    assert await redis.xlen(keys.chunks) == 0


async def test_its_lag_grows_while_no_scorer_works(monitors: Monitors) -> None:
    with Fleet(monitors.directory, monitors.server.url, monitors.store) as fleet:
        async with monitors.running(monitor_heartbeat_seconds=0.2) as client:
            assert (await get(client, "/stats"))["flow"]["heartbeat"]["passed"] is None
            scorer = fleet.start()

            async def one_comes_after(passed: float) -> bool:
                newest, lag = await shown(client)
                return newest > passed and lag < 2

            async def is_late() -> bool:
                return (await shown(client))[1] > 3

            await eventually(lambda: one_comes_after(0.0))
            newest, _ = await shown(client)
            await eventually(lambda: one_comes_after(newest))
            scorer.signal(signal.SIGSTOP)
            await eventually(is_late)
            assert await monitors.redis.xlen(monitors.keys.chunks) == 1
            scorer.signal(signal.SIGCONT)
            newest, _ = await shown(client)
            await eventually(lambda: one_comes_after(newest))


async def shown(client: httpx.AsyncClient) -> tuple[float, float]:
    """When the newest that came was sent (0: none has come), and the lag."""
    text = (await client.get("/metrics")).text
    found = {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}
    prefix = "tasador_monitor_heartbeat"
    return found.get(f"{prefix}_timestamp_seconds", 0.0), found[f"{prefix}_lag_seconds"]
