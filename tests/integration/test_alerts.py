"""Alerts and retrain requests of monitors as processes: told once and asked once, whoever leads and whoever dies."""

import json
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from services.monitor.evaluations import KEPT, Evaluation
from services.monitor.watch import Watch
from shared import artifact
from shared.artifact import Champion
from shared.events import Operation, RetrainRequested
from shared.keys import Keys
from shared.store import Store
from shared.webhooks.signing import key_of, signature
from tests.artifacts import an_artifact
from tests.integration.test_monitor import Monitors, get
from tests.processes import ServiceProcess
from tests.receiver import Received, Receiver, receiver
from tests.redis_server import RedisServer
from tests.unit.webhooks.test_signing import SECRET
from tests.waiting import eventually

PATIENCE = 60.0
EVERY = 0.5
LEASE = 2.0


class Site(Monitors):
    """Monitors that evaluate twice a second and tell a receiver."""

    there: Receiver

    def settings(self, **settings: object) -> dict[str, object]:
        own: dict[str, object] = {
            "monitor_evaluate_seconds": EVERY,
            "monitor_lease_seconds": LEASE,
            "monitor_alert_webhook": self.there.url,
            "webhook_secrets": SECRET,
            "webhook_allowed_networks": "127.0.0.0/8",
            "monitor_webhook_retry_seconds": 0.2,
        }
        return super().settings(**(own | settings))

    async def promote(self, version: str, epoch: int) -> None:
        """What a trainer leaves behind."""
        champion = Champion(version=version, epoch=epoch, digest=await an_artifact(self.store, "model", version))
        await artifact.write_champion(self.store, "model", champion)
        await self.redis.hset(self.keys.model("model"), mapping={"version": version, "epoch": str(epoch)})

    async def drift(self) -> None:
        """Rows of which each column is far from the reference."""
        await self.send(self.event(2000, 0, 1, shift=6.0))

    async def evaluations(self) -> list[Evaluation]:
        return await Watch(self.redis, self.keys, "model").evaluations(KEPT)

    async def evaluated_more(self, times: int = 2) -> None:
        before = {each.at for each in await self.evaluations()}

        async def enough() -> bool:
            return sum(each.at not in before for each in await self.evaluations()) >= times

        await eventually(enough, within=PATIENCE)

    async def requested(self) -> list[Operation]:
        """Operations of the requests for a new model."""
        found = [key async for key in self.redis.scan_iter(self.keys.operation("*"))]
        return [Operation.model_validate_json(await self.redis.get(key) or "") for key in found]

    async def leader(self, *monitors: ServiceProcess) -> ServiceProcess:
        """Return the monitor that says that it leads."""

        async def found() -> ServiceProcess | None:
            for each in monitors:
                async with self.client(each) as client:
                    if "tasador_monitor_leading 1.0" in (await client.get("/metrics")).text:
                        return each
            return None

        leading = await eventually(found, within=PATIENCE)
        assert leading is not None
        return leading


@asynccontextmanager
async def a_site(
    directory: Path, server: RedisServer, keys: Keys, there: Receiver, **retrain: float
) -> AsyncIterator[Site]:
    store = Store.open((directory / "state" / "store").as_uri())
    digest = await an_artifact(store, retrain=retrain)
    await artifact.write_champion(store, "model", Champion(version="1", epoch=1, digest=digest))
    found = await artifact.fetch(store, "model", "1")
    async with Redis.from_url(server.url, decode_responses=True) as redis:
        site = Site(directory, server, redis, store, found.signature, found.profile, keys)
        site.there = there
        yield site


@pytest.fixture
async def there() -> AsyncIterator[Receiver]:
    async with receiver(200) as found:
        yield found


@pytest.fixture
async def site(tmp_path: Path, redis_server: RedisServer, keys: Keys, there: Receiver) -> AsyncIterator[Site]:
    async with a_site(tmp_path, redis_server, keys, there, after=2, cooldown=3600, per_day=2) as found:
        yield found


def told(there: Receiver) -> Counter[tuple[str, str]]:
    """Return how often which subject came into which state; one message may arrive again when its sender was killed."""
    bodies = {each.headers["webhook-id"]: json.loads(each.body) for each in there.received}
    return Counter((body["data"]["subject"], body["type"]) for body in bodies.values())


async def firing(client: httpx.AsyncClient, state: str = "firing") -> dict[str, dict[str, Any]]:
    return {each["subject"]: each for each in (await get(client, f"/alerts?state={state}"))["alerts"]}


def has(client: httpx.AsyncClient, subject: str) -> Callable[[], Awaitable[dict[str, Any] | None]]:
    async def found() -> dict[str, Any] | None:
        return (await firing(client)).get(subject)

    return found


async def nothing_fires(client: httpx.AsyncClient) -> bool:
    return not await firing(client, "firing&state=acknowledged")


async def test_an_alert_is_told_once_although_the_leader_is_killed(site: Site, there: Receiver) -> None:
    with site.start() as one, site.start() as other:
        first = await site.leader(one, other)
        second = other if first is one else one
        await site.drift()
        async with site.client(first) as a, site.client(second) as b:
            alert = await eventually(has(a, "length"), within=PATIENCE)
            assert alert is not None
            assert (alert["rule"], alert["model_version"], alert["acknowledged"]) == ("drift", "1", None)
            same = (await firing(b))["length"]
            assert (same["id"], same["since"]) == (alert["id"], alert["since"])

        first.kill()
        await site.evaluated_more()
        assert await site.leader(second) is second
        async with site.client(second) as client:
            assert (await firing(client))["length"]["id"] == alert["id"]
            fired = set(await firing(client))
            await site.promote("2", 2)
            await eventually(lambda: nothing_fires(client), within=PATIENCE)
            resolved = (await get(client, f"/alerts/{alert['id']}"))["reason"]

        async def everything_told() -> bool:
            return set(told(there)) == {(each, f"alert.{s}") for each in fired for s in ("firing", "resolved")}

        await eventually(everything_told, within=PATIENCE)
    assert resolved == "version 2 of model serves now"
    assert set(told(there).values()) == {1}
    firing_id = f"msg_alert-{alert['id']}-firing"
    message = next(each for each in there.received if each.headers["webhook-id"] == firing_id)
    check_signed(message, firing_id)
    assert json.loads(message.body)["data"]["id"] == alert["id"]
    scheduled = [each.scheduled_at for each in await site.evaluations()]
    assert len(scheduled) == len(set(scheduled))
    logs = first.log.read_text() + second.log.read_text()
    said = [json.loads(line) for line in logs.splitlines() if '"event": "alert"' in line]
    assert Counter(each["state"] for each in said if each["alert_id"] == alert["id"]) == {"firing": 1, "resolved": 1}
    assert "token=secret" not in logs


def check_signed(message: Received, message_id: str) -> None:
    assert message.headers["webhook-id"] == message_id
    at = int(message.headers["webhook-timestamp"])
    assert message.headers["webhook-signature"] == signature([key_of(SECRET)], message_id, at, message.body)


async def test_a_leader_that_was_paused_writes_nothing_when_it_wakes_up(site: Site, there: Receiver) -> None:
    with site.start() as one, site.start() as other:
        for turn in range(3):
            leading = await site.leader(one, other)
            leading.send(signal.SIGSTOP)
            if not turn:
                await site.drift()
            await site.evaluated_more(3)  # by the other one, once the lease has run out
            leading.send(signal.SIGCONT)
            await site.evaluated_more(3)
        async with site.client(one) as client:
            fired = set(await firing(client))
            assert "length" in fired

            async def everything_told() -> bool:
                return set(told(there)) == {(each, "alert.firing") for each in fired}

            await eventually(everything_told, within=PATIENCE)
    assert set(told(there).values()) == {1}
    scheduled = [each.scheduled_at for each in await site.evaluations()]
    assert scheduled == sorted(set(scheduled), reverse=True)
    assert len(await site.requested()) == 1


async def test_a_new_model_is_asked_for_once_although_the_leader_is_killed(site: Site) -> None:
    stream = site.keys.stream(RetrainRequested.stream)
    with site.start() as first:
        await site.leader(first)
        await site.drift()

        async def asked() -> bool:
            return bool(await site.redis.xlen(stream))

        await eventually(asked, within=PATIENCE)
        first.kill()
    entries: Any = await site.redis.xrange(stream)
    ((_, entry),) = entries
    command = RetrainRequested.of_entry(entry)
    assert command.trigger == "drift"
    assert re.match(r"drift of \w+ since", command.reason)  # it names five of six
    (operation,) = await site.requested()
    assert (operation.id, operation.kind, operation.state) == (command.operation_id, "retrain", "queued")
    with site.start() as second:
        async with site.client(second) as client:
            await eventually(lambda: decided(client, "busy"), within=PATIENCE)
            await site.redis.delete(stream)  # the trainer is done, and the drift goes on
            await eventually(lambda: decided(client, "cooldown"), within=PATIENCE)
            await site.evaluated_more()
            found = await get(client, "/retraining")
    assert (found["remaining"], found["training"]) == (1, False)
    assert [each["operation_id"] for each in found["requests"]] == [command.operation_id]
    assert len(await site.requested()) == 1


async def test_the_budget_of_a_day_holds_however_often_it_is_evaluated(
    tmp_path: Path, redis_server: RedisServer, keys: Keys, there: Receiver
) -> None:
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(a_site(tmp_path, redis_server, keys, there, after=1, cooldown=0))
        client = await stack.enter_async_context(site.running())
        await site.drift()

        async def spent() -> bool:
            await site.redis.delete(site.keys.stream(RetrainRequested.stream))  # a trainer that is quick
            return await decided(client, "budget")

        await eventually(spent, within=PATIENCE)
        await site.evaluated_more()
        assert (await get(client, "/retraining"))["remaining"] == 0
        assert len(await site.requested()) == 2
        assert not await site.redis.exists(site.keys.stream(RetrainRequested.stream))


async def decided(client: httpx.AsyncClient, verdict: str) -> bool:
    decision = (await get(client, "/retraining"))["decision"]
    return bool(decision and decision["verdict"] == verdict)


async def test_what_somebody_has_seen_is_quiet_until_it_ends(site: Site) -> None:
    async with site.running() as client:
        await site.drift()
        await eventually(has(client, "length"), within=PATIENCE)
        await site.evaluated_more()
        alerts = await firing(client)
        health = await get(client, "/health")
        assert health["status"] == "warning"
        assert any(alerts["length"]["id"] in each for each in health["warnings"])
        for subject, alert in alerts.items():
            seen = {"by": "me", "comment": f"a new district: {subject}"}
            answer = await client.post(f"/alerts/{alert['id']}/acknowledge", json=seen)
            assert answer.status_code == 200
            first = answer.json()["acknowledged"]
            assert (first["by"], first["comment"]) == ("me", seen["comment"])
            again = await client.post(f"/alerts/{alert['id']}/acknowledge")
            assert (again.status_code, again.json()["acknowledged"]) == (200, first)
        await site.evaluated_more()  # an evaluation leaves it
        assert await firing(client) == {}
        seen_by = {each["acknowledged"]["by"] for each in (await firing(client, "acknowledged")).values()}
        assert seen_by == {"me"}
        both = await get(client, "/alerts?state=resolved&state=acknowledged")
        assert {each["state"] for each in both["alerts"]} == {"acknowledged"}
        assert (await get(client, "/health"))["status"] == "healthy"
        shown = (await client.get("/metrics")).text
        for name in ("firing", "acknowledged"):
            assert f'tasador_monitor_alerts_{name}{{rule="drift",subject="length"}} 1.0' in shown
        assert "tasador_monitor_last_evaluation_timestamp_seconds" in shown

        await site.promote("2", 2)
        await eventually(lambda: nothing_fires(client), within=PATIENCE)
        assert 'subject="length"' not in (await client.get("/metrics")).text
        gone = await client.post(f"/alerts/{alerts['length']['id']}/acknowledge")
        assert (gone.status_code, gone.json()["acknowledged"]["by"]) == (200, "me")  # it was, once
        for path in ("/alerts/nobody", "/alerts/nobody/acknowledge"):
            answer = await client.request("POST" if path.endswith("acknowledge") else "GET", path)
            assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
        refused = await client.post("/alerts/x/acknowledge", json={"who": "me"})
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-parameter")
        assert (await client.get("/alerts?state=open")).status_code == 422
        newest, *_ = (await get(client, "/evaluations?limit=3"))["evaluations"]
        assert set(newest["columns"]) == {*(f.name for f in site.signature.features), "prediction"}
        assert newest["model_version"] in ("1", "2")


async def test_an_alert_that_ended_unseen_cannot_be_acknowledged(site: Site) -> None:
    async with site.running() as client:
        await site.drift()
        alert = await eventually(has(client, "length"), within=PATIENCE)
        assert alert is not None
        await site.promote("2", 2)
        await eventually(lambda: nothing_fires(client), within=PATIENCE)
        refused = await client.post(f"/alerts/{alert['id']}/acknowledge")
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/conflict")


async def test_engine_time_over_the_limit_is_an_alert_of_its_own(site: Site, there: Receiver) -> None:
    async with site.running(monitor_latency_p99_seconds=0.2) as client:
        await site.send(site.event(500, 0, 1, latency=[0.5] * 500))
        alert = await eventually(has(client, "single"), within=PATIENCE)
        assert alert is not None
        assert (alert["rule"], alert["threshold"], alert["model_version"]) == ("latency", 0.2, None)
        assert alert["value"] == pytest.approx(0.5, rel=0.05)
        await site.send(site.event(60_000, 500, 2, latency=[0.01] * 60_000))
        await eventually(lambda: nothing_of(client, "latency"), within=PATIENCE)

        async def both_told() -> bool:
            return told(there)["single", "alert.resolved"] == 1

        await eventually(both_told, within=PATIENCE)


async def nothing_of(client: httpx.AsyncClient, rule: str) -> bool:
    return all(each["rule"] != rule for each in (await firing(client)).values())
