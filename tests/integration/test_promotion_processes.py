"""A gateway process that is paused through a promotion: no veto, and no answer of the old version once it is ready."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.trainer.promote import wait_converged
from shared.replica import live_replicas
from tests.artifacts import a_champion, an_artifact
from tests.integration.test_gateway_http import ROW
from tests.integration.test_gateway_process import a_process, announced
from tests.integration.test_promotion import NAMES, Place, quiet
from tests.processes import ServiceProcess
from tests.redis_server import RedisServer
from tests.waiting import eventually

HANGS = 15  # seconds: two rounds of looking for the desired version, each until it times out
READY = "/health/ready"


@pytest.fixture
async def place(tmp_path: Path, redis_server: RedisServer) -> AsyncIterator[Place]:
    place = Place(tmp_path, redis_server.url)
    await a_champion(place.store)
    await an_artifact(place.store, version="2", seed=1)
    async with place.replica(1, service="scorer"):  # without one no gateway is ready
        yield place
    await place.redis.aclose()


def a_gateway(place: Place, url: str, **settings: object) -> ServiceProcess:
    return a_process(place.settings.state_dir, url, place.store, **settings)


async def ready(client: httpx.AsyncClient) -> bool:
    return (await client.get(READY)).status_code == 200


async def version(client: httpx.AsyncClient) -> str:
    return str((await client.post("/predict", json=ROW)).json()["model_version"])


async def pause(place: Place, gateway: ServiceProcess) -> None:
    """Stop the process, and return when nobody counts it any more."""
    gateway.send(signal.SIGSTOP)

    async def gone() -> bool:
        return not await live_replicas(place.redis, NAMES, ["gateway"])

    await eventually(gone)


async def test_a_paused_gateway_does_not_veto_and_converges_before_it_is_ready(
    place: Place, redis_server: RedisServer
) -> None:
    with a_gateway(place, redis_server.url, presence_seconds=2, announce_seconds=0.3) as gateway:
        address = (await announced(place.redis)).address
        async with httpx.AsyncClient(base_url=address, timeout=30) as client:
            await eventually(lambda: ready(client))
            await pause(place, gateway)
            champion = await place.promoter().promote("2", "better", quiet)
            answer, request = await asked(httpx.URL(address).join(READY))  # lies in its socket when it wakes up
            redis_server.pause()  # so that it cannot learn of the promotion in an instant
            gateway.send(signal.SIGCONT)
            assert (await answer.read()).startswith(b"HTTP/1.1 503 ")
            request.close()
            await eventually(lambda: ready(client))
            assert await version(client) == "2"  # from the store
            redis_server.resume()
            assert await wait_converged(place.redis, NAMES, champion.epoch, patience=20) == []
            await eventually(lambda: ready(client))


async def asked(url: httpx.URL) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request, and return where its answer will come, and what to close."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"GET {url.path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()
    return reader, writer


async def test_a_gateway_stays_ready_while_redis_hangs(place: Place, redis_server: RedisServer) -> None:
    with a_gateway(place, redis_server.url, presence_seconds=20):
        address = (await announced(place.redis)).address
        async with httpx.AsyncClient(base_url=address, timeout=30) as client:
            await eventually(lambda: ready(client))
            redis_server.pause()
            started = time.monotonic()
            while time.monotonic() < started + HANGS:
                assert await ready(client)
                await asyncio.sleep(0.1)
            redis_server.resume()
