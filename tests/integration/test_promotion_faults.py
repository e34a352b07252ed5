"""What goes wrong in the middle of a promotion: real store, real Valkey; the faults are injected where they happen."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from services.trainer.ledger import PromotionRecord
from services.trainer.promote import Promoter, PromotionRefused
from shared import artifact, keys
from shared.artifact import ArtifactInvalid
from shared.lease import Lease
from shared.replica import Replica, live_replicas
from shared.store import Store
from shared.tasks import end
from tests.artifacts import a_champion, an_artifact
from tests.integration.test_promotion import NAMES, Place, quiet, serving, version_of
from tests.redis_server import RedisServer
from tests.waiting import eventually

pytestmark = pytest.mark.delivery

MODEL = NAMES.model("model")


@pytest.fixture
async def place(tmp_path: Path, redis_url: str) -> AsyncIterator[Place]:
    place = Place(tmp_path, redis_url)
    await a_champion(place.store)
    await an_artifact(place.store, version="2", seed=1)
    await an_artifact(place.store, version="3", seed=2)
    yield place
    await place.redis.aclose()


class FullDisk(Store):
    """A store whose disk has no room for one object."""

    refused = ""

    async def put(self, key: str, data: bytes) -> None:
        if key == self.refused:
            raise OSError(28, "No space left on device")
        await super().put(key, data)


def full_disk(place: Place, refused: str) -> FullDisk:
    store = FullDisk.open(place.settings.store_url)
    assert isinstance(store, FullDisk)
    store.refused = refused
    return store


class Withholding(Store):
    """A store that gives out nothing of version 2 until it may."""

    may: asyncio.Event

    async def get(self, key: str) -> bytes:
        if key.startswith(keys.artifact_prefix("model", "2")):
            await self.may.wait()
        return await super().get(key)


def withholding(place: Place) -> Withholding:
    store = Withholding.open(place.settings.store_url)
    assert isinstance(store, Withholding)
    store.may = asyncio.Event()
    return store


def with_store(place: Place, store: Store) -> Promoter:
    patience = timedelta(seconds=10)
    return Promoter(place.settings, store, place.redis, place.registry, patience, counted=place.outcomes.append)


async def record_of(place: Place) -> PromotionRecord:
    return PromotionRecord.model_validate_json(await place.store.get(keys.promotion_path("model")))


async def staged(place: Place, version: str) -> tuple[Promoter, Lease, PromotionRecord]:
    """Begin a promotion and leave it there."""
    promoter = place.promoter()
    lease = promoter._lease()
    assert await lease.acquire()
    champion = await artifact.read_champion(place.store, "model")
    record = await promoter._record(version, "better", "promoted", champion)
    await promoter._stage(lease, record)
    return promoter, lease, record


async def test_who_lost_the_lease_does_not_touch_the_promotion_of_who_took_it(place: Place) -> None:
    paused, lost, record = await staged(place, "2")
    await place.redis.delete(lost.key)
    _, _, other = await staged(place, "3")
    with pytest.raises(PromotionRefused, match="lease was lost"):
        await paused._decide(lost, record)
    assert await record_of(place) == other
    assert await place.redis.hget(MODEL, "promotion_id") == other.id


async def test_recovering_waits_for_the_promotion_under_way_and_then_leaves_it_alone(place: Place) -> None:
    promoter, lease, record = await staged(place, "2")
    recovering = asyncio.create_task(place.promoter().recover())
    await asyncio.sleep(0.3)  # it has begun to wait
    await promoter._decide(lease, record)
    await lease.release()
    await place.promoter().promote("3", "better still", quiet)
    await recovering
    assert await place.actions() == ["promoted", "promoted"]
    assert (await record_of(place)).version == "3"


async def test_the_next_promotion_first_settles_what_a_dead_trainer_left(place: Place) -> None:
    _, lease, _ = await staged(place, "2")
    await lease.release()
    await place.promoter().promote("3", "better", quiet)
    assert await place.actions() == ["aborted", "promoted"]


async def test_a_decision_that_could_not_be_written_is_an_abort(place: Place) -> None:
    store = full_disk(place, keys.champion_path("model"))
    async with place.replica(1) as one:
        with pytest.raises(PromotionRefused, match="No space left"):
            await with_store(place, store).promote("2", "better", quiet)
        assert await place.redis.hget(MODEL, "promotion_id") is None
        await serving("1", one)
    assert await place.actions() == ["aborted"]


async def test_a_decision_that_was_written_is_finished_although_the_history_could_not_be(place: Place) -> None:
    promoter = with_store(place, full_disk(place, keys.history_path("model")))
    async with place.replica(1) as one:
        await promoter.promote("2", "better", quiet)
        await serving("2", one)
    await place.promoter().promote("3", "better still", quiet)
    assert await place.actions() == ["promoted", "promoted"]


async def test_redis_flushed_in_the_middle_aborts_and_leaves_no_candidate(
    place: Place, redis_server: RedisServer
) -> None:
    store = withholding(place)  # a replica that agreed at once would leave no time for it

    async def flush(_: str) -> None:
        if not store.may.is_set():
            redis_server.flush()
            store.may.set()

    async with place.replica(1, store) as one:
        await serving("1", one)
        promoter = place.promoter()
        keeping = asyncio.create_task(promoter.keep_published(0.1))
        with pytest.raises(PromotionRefused):
            await promoter.promote("2", "better", flush)
        assert store.may.is_set()

        async def healed() -> bool:
            fields: Any = await place.redis.hgetall(MODEL)
            return fields.get("version") == "1" and "promotion_id" not in fields

        await eventually(healed)
        assert version_of(one) == "1"
        assert await place.actions() == ["aborted"]
        await promoter.promote("2", "better", quiet)
        await serving("2", one)
        await end([keeping])


async def test_redis_away_at_the_abort_leaves_no_candidate_for_long(place: Place, redis_server: RedisServer) -> None:
    promoter, lease, _ = await staged(place, "2")
    await lease.release()
    redis_server.kill()
    with capture_logs() as told:
        keeping = asyncio.create_task(promoter.keep_published(0.1))
        await eventually(lambda: asyncio.sleep(0, "could not look after the desired version" in str(told)))
    redis_server.start()

    async def cleared() -> bool:
        return await place.redis.hget(MODEL, "promotion_id") is None

    await eventually(cleared)
    await end([keeping])
    assert await place.actions() == ["aborted"]


async def test_a_store_that_was_emptied_does_not_set_the_epoch_back(place: Place) -> None:
    for version in ("2", "3"):
        await place.promoter().promote(version, "better", quiet)
    async with place.replica(1) as one:
        await serving("3", one)
        await place.store.delete(keys.champion_path("model"))  # and Redis still remembers epoch 3
        champion = await place.promoter().promote("1", "after the loss", quiet)
        assert champion.epoch == 4
        await serving("1", one)


async def test_live_replicas_remember_the_epoch_when_store_and_redis_do_not(
    place: Place, redis_server: RedisServer
) -> None:
    await place.promoter().promote("2", "better", quiet)
    async with place.replica(1) as one:
        await serving("2", one)
        await place.store.delete(keys.champion_path("model"))
        redis_server.flush()

        async def announced() -> bool:
            return bool(await place.redis.scard(NAMES.replicas))

        await eventually(announced)
        await place.promoter().promote("3", "after the loss", quiet)
        await serving("3", one)


async def test_a_command_that_comes_again_is_not_carried_out_again(place: Place) -> None:
    promoter = place.promoter()
    for version in ("2", "3", "1"):
        await promoter.promote(version, "better", quiet)
    first = await promoter.rollback(None, "worse", quiet, operation="a")
    assert first.version == "3"
    assert await place.promoter().rollback(None, "worse", quiet, operation="a") == first
    assert (await promoter.rollback(None, "worse still", quiet, operation="b")).version == "2"


async def test_a_command_that_comes_again_is_known_although_the_trainer_died_at_the_decision(place: Place) -> None:
    promoter = place.promoter()
    await promoter.promote("2", "better", quiet)
    champion = await artifact.read_champion(place.store, "model")
    record = await promoter._record("1", "worse", "rolled_back", champion, operation="a")
    await artifact.write_champion(place.store, "model", record.champion)
    after = place.promoter()
    assert await after.rollback(None, "worse", quiet, operation="a") == record.champion
    assert await place.actions() == ["promoted", "rolled_back"]


async def test_a_champion_that_cannot_be_read_is_named(place: Place) -> None:
    await place.store.put(keys.champion_path("model"), b'{"version": "1", ')
    with pytest.raises(ArtifactInvalid, match=r"models/model/champion\.json is not readable"):
        await artifact.read_champion(place.store, "model")
    with pytest.raises(PromotionRefused, match=r"champion\.json"):
        await place.promoter().promote("2", "better", quiet)
    with capture_logs() as told:
        keeping = asyncio.create_task(place.promoter().keep_published(0.01))
        looked = "cannot look after the desired version"
        await eventually(lambda: asyncio.sleep(0, [each["event"] for each in told].count(looked) > 1))
    assert not keeping.done()
    await end([keeping])


async def test_a_history_with_an_unreadable_line_keeps_it_and_goes_on(place: Place) -> None:
    await place.promoter().promote("2", "better", quiet)
    path = keys.history_path("model")
    await place.store.put(path, await place.store.get(path) + b'{"torn": \n')
    await place.promoter().promote("3", "better still", quiet)
    assert await place.actions() == ["promoted", "promoted"]
    assert b"torn" in await place.store.get(path)


class SlowRegistry:
    """Takes longer for version 2 than for the others."""

    def __init__(self) -> None:
        self.champion: str | None = None

    async def set_champion(self, name: str, version: str) -> None:
        await asyncio.sleep(0.5 if version == "2" else 0)
        self.champion = version


async def test_a_slow_registry_does_not_end_with_an_older_alias(place: Place) -> None:
    registry = SlowRegistry()
    patience = timedelta(seconds=10)
    promoter = Promoter(place.settings, place.store, place.redis, registry, patience, counted=place.outcomes.append)
    await promoter.promote("2", "better", quiet)
    first = promoter.mirror._telling
    assert first is not None
    await promoter.promote("3", "better still", quiet)
    await promoter.mirror.tried()
    await asyncio.wait({first})
    assert registry.champion == "3"


class Slow(Redis):
    """A client between whose commands somebody else has a word."""

    meanwhile: Replica

    async def mget(self, *args: Any, **options: Any) -> Any:
        found = await super().mget(*args, **options)
        await self.meanwhile.announce()
        return found


async def test_a_replica_that_comes_back_while_it_is_forgotten_is_not_lost(place: Place) -> None:
    waking = Replica("gateway", place.settings.model_copy(update={"replica_id": "w"}), place.redis)
    await waking.announce()
    await place.redis.delete(NAMES.replica("gateway", "w"))  # it was away for longer than its presence
    reader = Slow.from_url(place.settings.redis_url.get_secret_value(), decode_responses=True)
    assert isinstance(reader, Slow)
    reader.meanwhile = waking
    assert await live_replicas(reader, NAMES) == []
    assert [r.id for r in await live_replicas(place.redis, NAMES)] == ["w"]
    await reader.aclose()
