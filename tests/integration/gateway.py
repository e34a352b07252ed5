"""A gateway in this process, built as `__main__` builds it, with its background tasks and an HTTP client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from redis.asyncio import Redis

from services.gateway.__main__ import build
from services.gateway.app import Parts, create_app
from services.gateway.settings import GatewaySettings
from shared.broker import connect
from shared.follower import ModelFollower
from shared.replica import Replica
from shared.store import Store
from shared.tasks import end
from tests.waiting import eventually

MODEL = "model"


def some_settings(redis_url: str, store: Store, **fields: Any) -> GatewaySettings:
    defaults: dict[str, Any] = {
        "redis_url": redis_url,
        "store_url": store.url,
        "model_name": MODEL,
        "poll_seconds": 0.1,
        "announce_seconds": 0.1,
    }
    return GatewaySettings.load(**(defaults | fields))


@dataclass
class Gateway:
    client: httpx.AsyncClient
    parts: Parts

    async def serves(self, version: str) -> None:
        """Wait until it answers with this version."""

        async def ready() -> bool:
            current = self.parts.follower.current
            return current is not None and current.model.version == version

        await eventually(ready)


@asynccontextmanager
async def a_gateway(redis_url: str, store: Store, **fields: Any) -> AsyncIterator[Gateway]:
    settings = some_settings(redis_url, store, **fields)
    redis = connect(settings)
    parts = build(settings, redis, store, Replica("gateway", settings, redis))
    transport = httpx.ASGITransport(create_app(parts))
    work = [asyncio.create_task(run()) for run in (parts.follower.run, parts.watch.run, parts.logger.run)]
    async with (
        aclosing(redis),
        parts.replica,
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
    ):
        try:
            yield Gateway(client, parts)
        finally:
            await end(work)


@asynccontextmanager
async def a_scorer(redis_url: str, store: Store) -> AsyncIterator[ModelFollower]:
    """A replica that follows as a scorer does, and scores nothing."""
    settings = some_settings(redis_url, store)
    redis = connect(settings)
    replica = Replica("scorer", settings, redis)
    replica.state = "ready"
    follower = ModelFollower(settings, redis, store, replica)
    task = asyncio.create_task(follower.run())
    async with aclosing(redis), replica:
        try:
            yield follower
        finally:
            await end([task])


async def desire(redis: Redis, key: str, version: str, epoch: int, digest: str) -> None:
    """Say which version is desired, as a promotion does at its end."""
    await redis.hset(key, mapping={"version": version, "epoch": str(epoch), "digest": digest})
