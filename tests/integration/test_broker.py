"""Connections to a real server that goes away and comes back."""

import asyncio
from contextlib import aclosing

import pytest

from shared.broker import connect
from shared.settings import CommonSettings
from tests.redis_server import RedisServer

pytestmark = pytest.mark.delivery

AT_ONCE = 8


async def test_no_command_fails_once_the_server_is_back(redis_server: RedisServer) -> None:
    """Whatever connections were left behind when it died."""
    async with aclosing(connect(CommonSettings(redis_url=redis_server.url))) as redis:
        await asyncio.gather(*(redis.ping() for _ in range(AT_ONCE)))
        await asyncio.to_thread(redis_server.kill)
        await asyncio.to_thread(redis_server.start)
        assert await asyncio.gather(*(redis.ping() for _ in range(AT_ONCE))) == [True] * AT_ONCE
