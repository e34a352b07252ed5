"""Predictions on their way to the monitor, with a real Valkey that fills up, dies and comes back."""

from collections import Counter
from typing import Any

import pytest
from redis.asyncio import Redis

from services.gateway.publish import publisher
from shared.events import PredictionsLogged
from shared.keys import Keys
from shared.store import Store
from tests.artifacts import a_champion
from tests.integration.gateway import Gateway, a_gateway
from tests.integration.test_gateway_http import ROW
from tests.redis_server import RedisServer
from tests.waiting import eventually

pytestmark = pytest.mark.delivery

EVENT = b"x" * 10_000


async def logged(redis: Redis, keys: Keys) -> list[PredictionsLogged]:
    entries: Any = await redis.xrange(keys.stream(PredictionsLogged.stream))
    return [PredictionsLogged.of_entry(fields) for _, fields in entries]


async def predict(gateway: Gateway, times: int) -> None:
    for n in range(times):
        answer = await gateway.client.post("/predict", json=ROW, headers={"X-Request-Id": f"id-{n}"})
        assert answer.status_code == 200


async def test_what_was_answered_is_logged(redis_url: str, redis: Redis, keys: Keys, store: Store) -> None:
    await a_champion(store)
    async with a_gateway(redis_url, store) as gateway:
        await gateway.serves("1")
        await predict(gateway, 3)
        await gateway.client.post("/predict/batch", json={"instances": [{}, ROW]}, headers={"X-Request-Id": "b"})

        async def all_logged() -> bool:
            return sum(event.rows for event in await logged(redis, keys)) == 4

        await eventually(all_logged)
    events = await logged(redis, keys)
    rows = [row for e in events for row in zip(e.request_id, e.index, e.mode, strict=True)]
    assert rows == [("id-0", 0, "single"), ("id-1", 0, "single"), ("id-2", 0, "single"), ("b", 1, "batch")]
    assert [e.sequence for e in events] == list(range(1, len(events) + 1))
    assert sum((Counter(event.failed) for event in events), Counter()) == {"batch": 1}
    assert events[0].features == [[3.0], [9.7], [0.95], [0.0], [9.0]] or events[0].rows > 1


async def test_the_stream_is_bounded_in_bytes(redis: Redis, keys: Keys) -> None:
    publish = publisher(redis, keys, 100_000)
    accepted = [await publish(EVENT) for _ in range(20)]
    assert accepted.index(False) in range(5, 10)
    assert not any(accepted[accepted.index(False) :])
    assert (await redis.memory_usage(keys.stream(PredictionsLogged.stream)) or 0) < 110_000


async def test_telemetry_stops_when_memory_is_short(redis_server: RedisServer, keys: Keys) -> None:
    async with Redis.from_url(redis_server.url, decode_responses=True) as redis:
        publish = publisher(redis, keys, 100_000_000)
        assert await publish(EVENT)
        used = (await redis.info("memory"))["used_memory"]
        await redis.config_set("maxmemory", int(used / 0.72))
        assert not await publish(EVENT)
        await redis.config_set("maxmemory", int(used / 0.6))
        assert await publish(EVENT)
        await redis.config_set("maxmemory", int(used * 0.9))
        assert not await publish(EVENT)  # dropped, and no error: the server would refuse the write


async def test_predictions_go_on_while_redis_is_away_and_are_logged_later(
    redis_server: RedisServer, keys: Keys, store: Store
) -> None:
    await a_champion(store)
    async with a_gateway(redis_server.url, store) as gateway:
        buffer = gateway.parts.logger.buffer
        await gateway.serves("1")
        await predict(gateway, 10)
        redis_server.kill()
        await predict(gateway, 50)
        assert buffer.answered == 60
        redis_server.start()

        async def all_sent() -> bool:
            return buffer.sent == 60

        await eventually(all_sent)
        async with Redis.from_url(redis_server.url, decode_responses=True) as redis:
            events = {event.sequence: event for event in await logged(redis, keys)}
    assert sum(event.rows for event in events.values()) == 60
    assert buffer.dropped == 0


async def test_nothing_is_lost_uncounted_when_the_buffer_is_full(
    redis_server: RedisServer, keys: Keys, store: Store
) -> None:
    await a_champion(store)
    async with a_gateway(redis_server.url, store, gateway_telemetry_buffer=20, gateway_telemetry_rows=10) as gateway:
        buffer = gateway.parts.logger.buffer
        await gateway.serves("1")
        redis_server.kill()
        await predict(gateway, 100)
        assert buffer.dropped >= 70
        assert buffer.sent + buffer.dropped + gateway.parts.logger.waiting == buffer.answered == 100
        assert "telemetry_dropped" in (await gateway.client.get("/health")).text
        redis_server.start()

        async def all_sent() -> bool:
            return gateway.parts.logger.waiting == 0

        await eventually(all_sent)
        await predict(gateway, 1)
        await eventually(all_sent)
        async with Redis.from_url(redis_server.url, decode_responses=True) as redis:
            last = (await logged(redis, keys))[-1]
    assert buffer.sent + buffer.dropped == buffer.answered == last.answered_before + last.rows == 101
