"""Commands are carried out once, whatever happens to Redis meanwhile: a real Valkey, handlers of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from services.trainer.commands import CONSUMER, CommandFailed, Lane, Report
from shared.broker import connect, ensure_group
from shared.events import Operation, RetrainRequested
from shared.keys import TRAINERS_GROUP, Keys
from shared.settings import CommonSettings
from shared.tasks import end
from tests.redis_server import RedisServer
from tests.waiting import eventually

pytestmark = pytest.mark.delivery

KEYS = Keys()
STREAM = KEYS.stream(RetrainRequested.stream)


class Desk:
    """Gives commands, and counts how often each is carried out."""

    def __init__(self, redis_server: RedisServer) -> None:
        self.server = redis_server
        self.redis = connect(CommonSettings(redis_url=redis_server.url, model_name="model"))
        self.carried_out: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.fails: Exception | None = None

    async def handle(self, command: RetrainRequested, report: Report) -> dict[str, Any]:
        self.carried_out.append(command.operation_id)
        await report("half way")
        self.meanwhile()
        await report("nearly there")
        if self.fails is not None:
            raise self.fails
        return {"version": "2"}

    @asynccontextmanager
    async def lane(self) -> AsyncIterator[None]:
        running = asyncio.create_task(Lane(self.redis, KEYS, {RetrainRequested: self.handle}).run())
        try:
            yield
        finally:
            await end([running])

    async def give(self, operation_id: str) -> None:
        operation = Operation(id=operation_id, kind="retrain", reason="")
        await self.redis.set(KEYS.operation(operation_id), operation.to_json())
        fields: Any = RetrainRequested(operation_id=operation_id, reason="").entry()
        await self.redis.xadd(STREAM, fields)

    async def ended(self, operation_id: str) -> Operation:
        async def found() -> Operation | None:
            text: Any = await self.redis.get(KEYS.operation(operation_id))
            operation = Operation.model_validate_json(text)
            return operation if operation.done else None

        operation = await eventually(found)
        assert operation is not None
        return operation


@pytest.fixture
async def desk(redis_server: RedisServer) -> AsyncIterator[Desk]:
    desk = Desk(redis_server)
    yield desk
    await desk.redis.aclose()


async def test_redis_away_at_the_end_does_not_carry_a_command_out_again(desk: Desk) -> None:
    async with desk.lane():
        desk.meanwhile = desk.server.kill
        await desk.give("a")
        await eventually(lambda: asyncio.sleep(0, not desk.server.running))
        desk.server.start()
        desk.meanwhile = lambda: None
        assert (await desk.ended("a")).state == "succeeded"
        await desk.give("b")
        await desk.ended("b")

        async def acknowledged() -> bool:
            return await desk.redis.xlen(STREAM) == 0

        await eventually(acknowledged)
    assert desk.carried_out == ["a", "b"]


async def test_a_full_disk_ends_the_command_and_says_so(desk: Desk) -> None:
    desk.fails = OSError(28, "No space left on device")
    async with desk.lane():
        await desk.give("a")
        operation = await desk.ended("a")
    assert (operation.state, desk.carried_out) == ("failed", ["a"])
    assert "No space left on device" in operation.detail


async def test_a_command_that_failed_says_why(desk: Desk) -> None:
    desk.fails = CommandFailed("the data has no column price")
    async with desk.lane():
        await desk.give("a")
        assert (await desk.ended("a")).detail == "the data has no column price"


async def test_a_command_whose_delivery_was_lost_with_the_connection_is_read_again(desk: Desk) -> None:
    await ensure_group(desk.redis, STREAM, TRAINERS_GROUP)
    async with desk.lane():
        await desk.give("a")
        await desk.ended("a")
        other: Any = RetrainRequested(operation_id="b", reason="").entry()
        await desk.redis.set(KEYS.operation("b"), Operation(id="b", kind="retrain", reason="").to_json())
        await _delivered_to_nobody(desk.redis, other)
        desk.server.kill()
        desk.server.start()
        assert (await desk.ended("b")).state == "succeeded"


async def _delivered_to_nobody(redis: Redis, fields: Any) -> None:
    """Add an entry, and read it under the lane's name in one transaction: as if the answer never reached it."""
    async with redis.pipeline(transaction=True) as pipe:
        pipe.xadd(STREAM, fields)
        pipe.xreadgroup(TRAINERS_GROUP, CONSUMER, {STREAM: ">"}, count=1)
        await pipe.execute()
