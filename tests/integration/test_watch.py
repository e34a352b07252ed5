"""What monitors remember together, on a real server: only who leads writes, and only over what was read."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from services.monitor.alerts import Acknowledgement, Alert
from services.monitor.evaluations import KEPT, Evaluation
from services.monitor.watch import Memory, Message, Watch, Watched
from shared.commands import give
from shared.events import Operation, RetrainRequested
from shared.keys import Keys
from shared.lease import Lease
from shared.webhooks.messages import Messages, alert_message_id

pytestmark = pytest.mark.delivery

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)
ALERT = Alert(
    id="a1",
    rule="drift",
    subject="size",
    state="firing",
    reason="psi 0.4, over 0.2",
    since=NOW,
    updated_at=NOW,
    value=0.4,
    threshold=0.2,
    model_name="model",
    model_version="1",
)
EVALUATION = Evaluation(NOW, NOW, "model", "1", 1000, {}, {})
MESSAGE = Message(alert_message_id("a1", "firing"), "https://example.org/", "{}")
COMMAND = RetrainRequested(operation_id="o1", reason="drift", trigger="drift")
MEMORY = Memory(scheduled_at=7200.0, evaluated_at=NOW)
SEEN = Acknowledgement(NOW, "me", "known")


@pytest.fixture
def watch(redis: Redis, keys: Keys) -> Watch:
    return Watch(redis, keys, "model")


@pytest.fixture
async def lease(redis: Redis, keys: Keys) -> Lease:
    found = Lease(redis, keys.lease("monitor"), timedelta(minutes=1))
    assert await found.acquire()
    return found


async def test_one_step_writes_all_of_it(redis: Redis, keys: Keys, watch: Watch, lease: Lease) -> None:
    before = await watch.read()
    assert before == Watched(0, Memory(), (), None, False, NOW)
    answer = await watch.record(
        lease, before, MEMORY, [ALERT], evaluation=EVALUATION, messages=[MESSAGE], command=COMMAND
    )
    assert answer == "ok"
    assert await watch.read() == Watched(1, MEMORY, (ALERT,), None, True, NOW)
    assert await watch.evaluations(10) == [EVALUATION]
    message = await Messages(redis, keys).find(MESSAGE.id)
    assert message is not None
    assert (message.url, message.state) == (MESSAGE.url, "due")
    entries: Any = await redis.xrange(keys.stream(COMMAND.stream))
    ((_, entry),) = entries
    assert RetrainRequested.of_entry(entry) == COMMAND
    operation = Operation.model_validate_json(await redis.get(keys.operation("o1")) or "")
    assert (operation.state, operation.reason, operation.kind) == ("queued", "drift", "retrain")
    assert await redis.ttl(keys.operation("o1")) > 0


@pytest.mark.parametrize("fault", ["lost", "changed", "busy"])
async def test_otherwise_nothing_is_written(redis: Redis, keys: Keys, watch: Watch, lease: Lease, fault: str) -> None:
    before = await watch.read()
    match fault:
        case "lost":
            await lease.release()
            assert await Lease(redis, lease.key, timedelta(minutes=1)).acquire()
        case "changed":  # by ourselves, say, in a call whose answer was lost
            assert await watch.record(lease, before, MEMORY, []) == "ok"
        case "busy":
            await give(redis, keys, RetrainRequested(operation_id="operator", reason="new data"))
    there = await watch.read()
    answer = await watch.record(
        lease, before, MEMORY, [ALERT], evaluation=EVALUATION, messages=[MESSAGE], command=COMMAND
    )
    assert answer == fault
    assert await watch.read() == there
    assert await watch.evaluations(10) == []
    assert await Messages(redis, keys).find(MESSAGE.id) is None
    assert not await redis.exists(keys.operation("o1"))


async def test_an_acknowledgement_stays_whatever_the_leader_writes(watch: Watch, lease: Lease) -> None:
    before = await watch.read()
    await watch.record(lease, before, MEMORY, [ALERT])
    read = await watch.read()
    assert await watch.acknowledge("a1", SEEN) == "ok"
    assert await watch.acknowledge("a1", replace(SEEN, by="another")) == "ok"
    worse = replace(ALERT, value=0.9)
    assert await watch.record(lease, read, MEMORY, [worse]) == "ok"  # read before it was acknowledged
    (found,) = (await watch.read()).alerts
    assert found == replace(worse, state="acknowledged", acknowledged=SEEN)

    ended = replace(found, state="resolved", resolved_at=NOW)
    await watch.record(lease, await watch.read(), MEMORY, [ended])
    assert await watch.acknowledge("a1", SEEN) == "ok"
    assert (await watch.read()).alerts == (ended,)
    unseen = replace(ALERT, id="a2", state="resolved")
    await watch.record(lease, await watch.read(), MEMORY, [unseen])  # the first one is not kept any more
    assert [await watch.acknowledge(each, SEEN) for each in ("a1", "a2")] == ["unknown", "resolved"]
    assert (await watch.read()).alerts == (unseen,)


async def test_an_alert_s_acknowledgement_goes_with_it(redis: Redis, keys: Keys, watch: Watch, lease: Lease) -> None:
    await watch.record(lease, await watch.read(), MEMORY, [ALERT])
    await watch.acknowledge("a1", SEEN)
    await watch.record(lease, await watch.read(), MEMORY, [])
    assert not await redis.exists(keys.alerts, keys.acknowledgements)


async def test_so_many_evaluations_are_kept(redis: Redis, keys: Keys, watch: Watch, lease: Lease) -> None:
    await redis.rpush(keys.evaluations, *["{}"] * KEPT)
    newest = replace(EVALUATION, rows=7)
    await watch.record(lease, await watch.read(), MEMORY, [], evaluation=newest)
    assert await redis.llen(keys.evaluations) == KEPT
    assert await watch.evaluations(1) == [newest]
