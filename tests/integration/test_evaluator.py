"""The schedule of evaluations, on a real server: whoever leads, each period of the clock has one."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from redis.asyncio import Redis

from services.monitor import evaluator
from services.monitor.__main__ import build
from services.monitor.buckets import Application, Buckets
from services.monitor.evaluations import period
from services.monitor.evaluator import AlertPolicy, Evaluator
from services.monitor.layout import HEAD
from services.monitor.monitor import VERSIONS, NoModel
from services.monitor.routes import create_app
from services.monitor.runtime import Runtime
from services.monitor.settings import MonitorSettings
from services.monitor.versions import CAPACITY
from services.monitor.watch import Memory, Watch
from services.monitor.windows import HOUR, MINUTE
from shared.broker import ensure_group
from shared.events import PredictionsLogged
from shared.keys import STATS_GROUP, Keys
from shared.store import Store
from tests.artifacts import a_champion
from tests.integration.test_monitor_counters import deliver
from tests.integration.test_watch import ALERT

EVERY = 1e7
"""Seconds; a test must not run into the next period."""


@dataclass
class Site:
    redis: Redis
    keys: Keys
    store: Store
    runtime: Runtime

    @property
    def watch(self) -> Watch:
        return self.runtime.watch

    async def look(self, every: float = EVERY) -> None:
        """As a monitor that starts now, and leads."""
        assert await self.runtime.leader.lease.acquire()
        evaluator = Evaluator(
            self.runtime.monitor, self.runtime.quality, self.watch, AlertPolicy(every, latency_limit=0.1)
        )
        await evaluator.look(self.runtime.leader.lease)

    async def serve(self, version: str) -> None:
        await self.redis.hset(self.keys.model("model"), "version", version)


@pytest.fixture
async def site(redis_url: str, redis: Redis, store: Store, keys: Keys, tmp_path: Path) -> AsyncIterator[Site]:
    settings = MonitorSettings.load(redis_url=redis_url, store_url=store.url, state_dir=tmp_path, model_name="model")
    runtime = build(settings)
    yield Site(redis, keys, store, runtime)
    await runtime.redis.aclose()


async def test_a_period_is_evaluated_once_whoever_starts_in_it(site: Site) -> None:
    await a_champion(site.store)
    for _ in range(3):
        await site.look()
    (found,) = await site.watch.evaluations(10)
    assert found.scheduled_at.timestamp() % EVERY == 0
    assert (found.rows, found.model_version) == (0, "1")
    assert {each.state for each in found.columns.values()} == {"unsure"}

    before = await site.watch.read()
    assert before.memory.scheduled_at == found.scheduled_at.timestamp()
    earlier = replace(before.memory, scheduled_at=before.memory.scheduled_at - 3 * EVERY)
    lease = site.runtime.leader.lease
    assert await site.watch.record(lease, before, earlier, []) == "ok"  # all monitors were away for a while
    for _ in range(2):
        await site.look()
    assert [each.scheduled_at for each in await site.watch.evaluations(10)] == [found.scheduled_at] * 2


async def test_a_leader_whose_clock_was_wrong_does_not_end_evaluations(site: Site) -> None:
    await a_champion(site.store)
    before, year = await site.watch.read(), 365 * 24 * HOUR
    future = Memory(scheduled_at=period(time.time() + year, EVERY))
    assert await site.runtime.leader.lease.acquire()
    assert await site.watch.record(site.runtime.leader.lease, before, future, []) == "ok"
    for _ in range(2):
        await site.look()
    assert len(await site.watch.evaluations(10)) == 1


class AnHourAhead(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(hours=1)


async def test_what_a_leader_stamps_is_by_the_clock_of_redis(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await a_champion(site.store)
    monkeypatch.setattr(evaluator, "datetime", AnHourAhead)
    began: Any = await site.redis.time()
    await site.look()
    (found,), watched = await site.watch.evaluations(1), await site.watch.read()
    assert found.at.timestamp() == pytest.approx(began[0], abs=600)
    assert watched.memory.evaluated_at == found.at <= watched.at
    assert found.scheduled_at <= found.at


async def test_an_evaluation_reaches_back_to_where_the_one_before_ended(site: Site) -> None:
    await a_champion(site.store)
    every = 4 * HOUR
    before = period(time.time(), every) - every
    stream = site.keys.stream(PredictionsLogged.stream)
    await ensure_group(site.redis, stream, STATS_GROUP)
    (entry,) = await deliver(site.redis, stream)
    profile = (await site.runtime.monitor.champion()).profile
    seven = Application(
        stream, entry, version=("model", "1"), profile=profile, minutes={int(before // MINUTE): {"n": 7}}
    )
    buckets = Buckets(site.redis, site.keys, STATS_GROUP, "me", keep_days=8)
    assert await buckets.apply([seven], time.time()) == ["applied"]
    await site.look(every)
    (found,) = await site.watch.evaluations(1)
    assert found.rows == 7


async def test_however_many_versions_there_were_only_the_newest_are_told_apart(site: Site) -> None:
    """Their artifacts stay in memory: a scrape would read each of them from the store else."""
    await a_champion(site.store, version="40")
    rows = HEAD.index("rows:single")
    for version in range(1, 41):
        await site.redis.zadd(site.keys.monitored("model"), {str(version): time.time() - 60 * (40 - version)})
        hour = site.keys.bucket("model", str(version), HOUR, int(time.time()) // HOUR - 1)
        for name in (site.keys.totals("model", str(version)), hour):
            await site.redis.bitfield(name).incrby("i64", f"#{rows}", version).execute()
    stats = await site.runtime.monitor.stats()
    assert VERSIONS < CAPACITY
    for found in (stats.lifetime, stats.windows["24h"]):
        assert list(found.by_version) == [str(version) for version in range(41 - VERSIONS, 41)]
        assert found.all.by_mode["single"] == sum(range(1, 41))
    assert (await site.runtime.monitor.totals())["rows:single"] == sum(range(1, 41))
    assert list((await site.runtime.quality.report()).versions) == ["40"]


async def test_a_promotion_ends_alerts_at_once_and_is_no_evaluation(site: Site) -> None:
    await a_champion(site.store)
    await site.look()
    before = await site.watch.read()
    await site.watch.record(site.runtime.leader.lease, before, before.memory, [ALERT])
    there = await site.watch.read()
    assert there.alerts == (ALERT,)
    for version in ("1", "2"):  # of the second one only Redis knows yet, and the store decides
        await site.serve(version)
        await site.look()
        assert await site.watch.read() == replace(there, serving=version)

    await a_champion(site.store, version="2")
    await site.look()
    (ended,) = (await site.watch.read()).alerts
    assert (ended.state, ended.reason) == ("resolved", "version 2 of model serves now")
    assert len(await site.watch.evaluations(10)) == 1


async def test_errors_are_answered_as_a_gateway_answers_them(site: Site) -> None:
    transport = httpx.ASGITransport(create_app(site.runtime), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as client:
        refused = await client.post("/drift")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET")
        broken = await client.post("/alerts/a1/acknowledge", content=b"{", headers={"Content-Type": "application/json"})
        assert (broken.status_code, broken.json()["type"]) == (400, "/problems/malformed-body")
        await site.redis.hset(site.keys.watch, "memory", "of another release")
        failed = await client.get("/alerts", headers={"X-Request-ID": "r1"})
        assert (failed.status_code, failed.json()["request_id"], failed.headers["x-request-id"]) == (500, "r1", "r1")


async def test_without_a_model_the_evaluation_is_made_up_for_later(site: Site) -> None:
    with pytest.raises(NoModel):
        await site.look()
    assert (await site.watch.read()).memory == Memory()
    await a_champion(site.store)
    await site.look()
    assert len(await site.watch.evaluations(10)) == 1
