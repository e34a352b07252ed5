"""`POST /feedback` on a real server: what is taken is all there, what is refused leaves nothing behind."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from services.gateway.publish import ALL, appender
from shared.broker import ensure_group
from shared.events import FeedbackReceived
from shared.keys import Keys
from shared.store import Store
from tests.integration.by_hand import problem
from tests.integration.gateway import Gateway, a_gateway
from tests.redis_server import RedisServer
from tests.waiting import eventually

pytestmark = pytest.mark.delivery

JOB = "019aab3c-5b1c-7d0e-9c7f-3f2e5f0c9c1a"
STREAM = Keys().stream(FeedbackReceived.stream)
GOOD = {"feedback": [{"request_id": "a", "actual": 21.5}]}
NDJSON = {"Content-Type": "application/x-ndjson"}
CSV = {"Content-Type": "text/csv"}


@pytest.fixture
async def gateway(redis_url: str, store: Store) -> AsyncIterator[Gateway]:
    """A gateway without a model: feedback needs none."""
    async with a_gateway(redis_url, store) as running:
        yield running


def a_table(rows: int) -> bytes:
    return ("job_id,row,actual\n" + "".join(f"{JOB},{row},{row / 2}\n" for row in range(rows))).encode()


async def send(gateway: Gateway, body: object = GOOD, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await gateway.client.post("/feedback", content=content, headers=headers)


async def received(redis: Redis) -> list[FeedbackReceived]:
    entries: Any = await redis.xrange(STREAM)
    return [FeedbackReceived.of_entry(fields) for _, fields in entries]


async def accepts(gateway: Gateway) -> bool:
    return (await send(gateway)).status_code == 202


async def test_what_is_accepted_is_in_the_stream(gateway: Gateway, redis: Redis) -> None:
    items = [
        {"request_id": "a", "actual": 21.5},
        {"request_id": "a", "index": 0, "actual": 21.5},
        {"job_id": JOB, "row": 17, "actual": 19},
    ]
    answer = await send(gateway, {"feedback": items}, **{"X-Request-Id": "mine"})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "request_id": "mine"})
    (event,) = await received(redis)
    assert (event.request_id, event.job_id) == (["a", None], [None, JOB])
    assert (event.index, event.actual) == ([0, 17], [21.5, 19.0])
    assert (event.model_name, event.brought_by) == ("model", "mine")


async def test_it_waits_for_a_consumer_that_comes_later(gateway: Gateway, redis: Redis) -> None:
    assert await accepts(gateway)
    await ensure_group(redis, STREAM, "later")
    found: Any = await redis.xreadgroup("later", "me", {STREAM: ">"})
    assert len(found[0][1]) == 1


async def test_many_values_are_several_entries(gateway: Gateway, redis: Redis) -> None:
    answer = await send(gateway, a_table(2500), **CSV)
    assert answer.json()["accepted"] == 2500
    events = await received(redis)
    assert [len(event.index) for event in events] == [1000, 1000, 500]
    assert [row for event in events for row in event.index] == list(range(2500))
    assert "tasador_gateway_feedback_rows_total 2500.0" in (await gateway.client.get("/metrics")).text


@pytest.mark.parametrize(
    ("body", "headers", "expected", "says"),
    [
        (b'{"feedback": [', {}, "400 malformed-body", "not JSON"),
        ([GOOD], {}, "422 invalid-body", ": expected"),
        ({"feedback": []}, {}, "422 empty-table", "/feedback: expected"),
        ({"feedback": [*GOOD["feedback"], {"request_id": "b"}]}, {}, "422 invalid-feedback", "/feedback/1/actual: is"),
        (a_table(1500) + b"x,1,2\n", CSV, "422 invalid-feedback", "/feedback/1500/job_id: line 1502: no job"),
        (a_table(3) + b"1,2\n", CSV, "400 malformed-body", "line 5: expected 3 fields"),
        (b'{"request_id": "a", "actual": 1}\n{"request_id"', NDJSON, "400 malformed-body", "line 2, column "),
        (b'{"request_id": "a", "actual": 1}\n{}', NDJSON, "422 invalid-feedback", "/feedback/1: line 2: expected a"),
        (GOOD, {"Content-Type": "text/plain"}, "415 unsupported-media-type", "text/csv"),
        (GOOD, {"Content-Type": "application/vnd.apache.parquet"}, "415 unsupported-media-type", "text/csv"),
        (GOOD, {"Content-Encoding": "gzip"}, "415 unsupported-media-type", "gzip"),
        (a_table(10_001), CSV, "413 too-many-rows", "up to 10,000 values"),
        (b" " * 4_194_305, {}, "413 payload-too-large", "4,194,304 bytes"),
    ],
)
async def test_what_is_refused_leaves_nothing_behind(
    gateway: Gateway, redis: Redis, *, body: object, headers: dict[str, str], expected: str, says: str
) -> None:
    answer = await send(gateway, body, **headers)
    assert problem(answer) == expected
    found = answer.json()
    assert says in "\n".join([found["detail"], *(f"{e['pointer']}: {e['detail']}" for e in found["errors"])])
    assert await redis.exists(STREAM) == 0
    assert await accepts(gateway)


async def test_a_full_stream_refuses_and_drops_nothing(redis_url: str, redis: Redis, store: Store) -> None:
    async with a_gateway(redis_url, store, gateway_feedback_bytes=300_000) as gateway:
        answers = [await send(gateway, a_table(2000), **CSV) for _ in range(5)]
        statuses = [answer.status_code for answer in answers]
        accepted = statuses.index(503)
        assert 1 <= accepted <= 3
        assert statuses == [202] * accepted + [503] * (5 - accepted)
        assert problem(answers[-1]) == "503 feedback-full"
        assert int(answers[-1].headers["retry-after"]) > 0
        assert await redis.xlen(STREAM) == 2 * accepted
        assert (await redis.memory_usage(STREAM, samples=0) or 0) <= 300_000
        assert await accepts(gateway)  # there is room for less

        await redis.xtrim(STREAM, maxlen=0, approximate=False)  # as if a consumer had taken it
        assert (await send(gateway, a_table(2000), **CSV)).status_code == 202


async def test_what_would_never_find_room_is_too_large(redis_url: str, redis: Redis, store: Store) -> None:
    async with a_gateway(redis_url, store, gateway_feedback_bytes=100_000) as gateway:
        answer = await send(gateway, a_table(2000), **CSV)
        assert problem(answer) == "413 payload-too-large"
        assert await redis.exists(STREAM) == 0


async def test_a_stream_that_began_with_single_values_is_measured_as_a_whole(
    redis_url: str, redis: Redis, store: Store
) -> None:
    async with a_gateway(redis_url, store, gateway_feedback_bytes=200_000) as gateway:
        for _ in range(100):
            assert await accepts(gateway)
        answers = [await send(gateway, a_table(400), **CSV) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {202, 503}
    assert (await redis.memory_usage(STREAM, samples=0) or 0) <= 220_000


async def test_events_are_appended_all_or_none(redis: Redis) -> None:
    append = appender(redis, STREAM, 50_000, ALL)
    assert await append([b"x" * 20_000, b"y" * 20_000]) == "ok"
    assert await append([b"x" * 1_000, b"y" * 20_000]) == "full"
    assert await redis.xlen(STREAM) == 2


async def test_it_stops_when_memory_is_short_and_goes_on_when_it_is_not(
    redis_server: RedisServer, store: Store
) -> None:
    async with (
        a_gateway(redis_server.url, store) as gateway,
        Redis.from_url(redis_server.url, decode_responses=True) as redis,
    ):
        assert await accepts(gateway)
        used = (await redis.info("memory"))["used_memory"]
        await redis.config_set("maxmemory", int(used / 0.85))
        answer = await send(gateway)
        assert problem(answer) == "503 feedback-full"
        assert "memory" in answer.json()["detail"]
        assert await redis.xlen(STREAM) == 1
        await redis.config_set("maxmemory", "256mb")
        assert await accepts(gateway)


async def test_without_redis_it_says_so_and_heals(redis_server: RedisServer, store: Store) -> None:
    async with a_gateway(redis_server.url, store) as gateway:
        assert await accepts(gateway)
        redis_server.kill()
        answer = await send(gateway)
        assert problem(answer) == "503 redis-unavailable"
        assert int(answer.headers["retry-after"]) > 0
        redis_server.start()
        await eventually(lambda: accepts(gateway))
        async with Redis.from_url(redis_server.url, decode_responses=True) as redis:
            assert await redis.xlen(STREAM) == 2  # what was answered 202 before it was killed, and after


async def test_what_is_in_memory_at_once_is_bounded(gateway: Gateway) -> None:
    feedback = gateway.parts.feedback
    with feedback.admitted(), feedback.admitted(), feedback.admitted(), feedback.admitted():
        answer = await send(gateway)
        assert problem(answer) == "503 overloaded"
        assert int(answer.headers["retry-after"]) > 0
    assert await accepts(gateway)


async def test_the_examples_of_the_documentation_are_accepted(gateway: Gateway) -> None:
    route = (await gateway.client.get("/openapi.json")).json()["paths"]["/feedback"]["post"]
    contents = route["requestBody"]["content"]
    assert list(contents) == ["application/json", "application/x-ndjson", "text/csv"]
    for media_type, content in contents.items():
        example = content["schema"].get("example") or content["example"]
        body = example.encode() if isinstance(example, str) else example
        assert (await send(gateway, body, **{"Content-Type": media_type})).status_code == 202
    assert {"202", "400", "408", "413", "415", "422", "503"} == set(route["responses"])
