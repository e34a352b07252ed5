"""Webhooks by monitors as processes: a job's end arrives whatever becomes of who sends it."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from services.monitor.webhooks import DIED
from shared.keys import Keys
from shared.replica import live_replicas
from shared.store import Store
from shared.webhooks.messages import Messages
from shared.webhooks.outcomes import read_outcome
from shared.webhooks.signing import key_of, signature
from tests.integration.by_hand import HandScorer, a_csv, gateway, ready_store
from tests.processes import ServiceProcess
from tests.receiver import HANG, Receiver, receiver
from tests.unit.webhooks.test_signing import OTHER, SECRET
from tests.waiting import eventually

PATIENCE = 60.0
DELIVERED = 'tasador_monitor_webhooks_total{outcome="delivered"} 1.0'
SETTINGS: dict[str, Any] = {"webhook_secrets": f"{OTHER},{SECRET}", "webhook_allowed_networks": "127.0.0.0/8"}


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    return await ready_store(tmp_path)


def a_monitor(tmp_path: Path, redis_url: str, store: Store, **settings: object) -> ServiceProcess:
    values = {
        "redis_url": redis_url,
        "store_url": store.url,
        "state_dir": tmp_path,
        "model_name": "model",
        "monitor_port": 0,
        "log_format": "json",
        "monitor_webhook_timeout_seconds": 3,
    }
    return ServiceProcess("monitor", tmp_path, **(values | SETTINGS | settings))


async def received(there: Receiver, times: int) -> None:
    async def enough() -> bool:
        return len(there.received) >= times

    await eventually(enough, within=PATIENCE)


async def found(redis: Redis, monitor: ServiceProcess) -> str:
    """Return the address of a monitor."""

    async def announced() -> str | None:
        replicas = await live_replicas(redis, Keys(), ["monitor"])
        return next((each.address for each in replicas if each.pid == monitor.pid), None)

    return str(await eventually(announced, within=PATIENCE))


async def test_a_job_s_end_arrives_although_who_sends_it_is_killed(
    redis_url: str, redis: Redis, store: Store, tmp_path: Path
) -> None:
    async with receiver(HANG, 200) as there, gateway(redis_url, store, tmp_path, **SETTINGS) as gate:
        with a_monitor(tmp_path, redis_url, store) as first:
            answer = await gate.client.post(
                "/jobs", params={"webhook": there.url}, content=a_csv(3), headers={"Content-Type": "text/csv"}
            )
            job = answer.raise_for_status().json()
            await HandScorer(redis, store).work()
            await received(there, 1)
            first.kill()
        with a_monitor(tmp_path, redis_url, store) as second:
            await received(there, 2)

            address = await found(redis, second)

            async def counted() -> bool:
                async with httpx.AsyncClient() as client:
                    return DELIVERED in (await client.get(f"{address}/metrics")).text

            await eventually(counted, within=PATIENCE)
            outcome = await read_outcome(store, job["id"])
            assert outcome is not None
            assert (await gate.client.get(job["links"]["webhook"])).json() == outcome.model_dump(mode="json")
    errors = [attempt.error for attempt in outcome.attempts]  # a busy machine may add a timeout in between
    assert (outcome.state, errors[0], errors[-1]) == ("delivered", DIED, None)
    for got in there.received:
        assert got.headers["webhook-id"] == f"msg_{job['id']}"
        timestamp = int(got.headers["webhook-timestamp"])
        keys = [key_of(OTHER), key_of(SECRET)]
        assert got.headers["webhook-signature"] == signature(keys, f"msg_{job['id']}", timestamp, got.body)
    log = first.log.read_text() + second.log.read_text()
    assert "127.0.0.1" in log
    assert "token=secret" not in log


async def test_a_monitor_that_is_told_to_stop_finishes_what_it_sends(
    redis_url: str, redis: Redis, store: Store, tmp_path: Path
) -> None:
    messages = Messages(redis, Keys())
    async with receiver(200) as there:
        there.released.clear()
        with a_monitor(
            tmp_path, redis_url, store, monitor_webhook_timeout_seconds=60, monitor_drain_seconds=60
        ) as monitor:
            await messages.enqueue("m1", there.url, "{}")
            await received(there, 1)
            monitor.send(signal.SIGTERM)

            async def draining() -> bool:
                return [each.state for each in await live_replicas(redis, Keys(), ["monitor"])] == ["draining"]

            await eventually(draining, within=PATIENCE)
            there.released.set()
            assert await asyncio.to_thread(monitor.wait, PATIENCE) == 0
    webhook = await messages.find("m1")
    assert webhook is not None
    assert webhook.state == "delivered"
