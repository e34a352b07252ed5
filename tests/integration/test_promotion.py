"""A promotion happens everywhere or nowhere: real store, real Valkey, real replicas with real models."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from services.trainer.decision import Decision
from services.trainer.promote import ChampionChanged, Promoter, PromotionRefused, wait_converged
from shared import artifact, keys
from shared.follower import ModelFollower
from shared.lease import Lease, LeaseTaken
from shared.replica import Replica
from shared.settings import CommonSettings
from shared.store import Store
from shared.tasks import end
from tests.artifacts import a_champion, an_artifact, break_graph
from tests.redis_server import RedisServer
from tests.waiting import eventually

pytestmark = pytest.mark.delivery

NAMES = keys.Keys()


class FakeRegistry:
    """Remembers the alias."""

    def __init__(self) -> None:
        self.champion: str | None = None

    async def set_champion(self, name: str, version: str) -> None:
        self.champion = version


class Place:
    """A store, a broker, and the settings of whoever meets there."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        self.settings = CommonSettings(
            state_dir=directory,
            redis_url=redis_url,
            store_url=(directory / "store").as_uri(),
            model_name="model",
            presence_seconds=30,
            announce_seconds=0.2,
            poll_seconds=0.2,
        )
        self.store = Store.open(self.settings.store_url)
        self.redis = self.client()
        self.registry = FakeRegistry()
        self.outcomes: list[str] = []
        """What promoters counted."""

    def client(self) -> Redis:
        return Redis.from_url(self.settings.redis_url.get_secret_value(), decode_responses=True)

    def promoter(self, deadline: float = 10.0) -> Promoter:
        patience = timedelta(seconds=deadline)
        return Promoter(self.settings, self.store, self.redis, self.registry, patience, counted=self.outcomes.append)

    @asynccontextmanager
    async def replica(
        self, number: int, store: Store | None = None, service: str = "gateway"
    ) -> AsyncIterator[ModelFollower]:
        """A process that serves, as gateway and scorer do; here it is a task."""
        settings = self.settings.model_copy(update={"replica_id": f"r{number}"})
        redis = self.client()
        async with aclosing(redis), Replica(service, settings, redis) as replica:
            replica.state = "ready"
            follower = ModelFollower(settings, redis, store or self.store, replica)
            running = asyncio.create_task(follower.run())
            try:
                yield follower
            finally:
                await end([running])  # before its connection is closed, or it opens another that nobody closes

    async def actions(self) -> list[str]:
        return [entry.action for entry in await artifact.read_history(self.store, "model")]


@pytest.fixture
async def place(tmp_path: Path, redis_url: str) -> AsyncIterator[Place]:
    place = Place(tmp_path, redis_url)
    yield place
    await place.redis.aclose()


async def quiet(_: str) -> None:
    return


def version_of(follower: ModelFollower) -> str | None:
    return follower.current.model.version if follower.current else None


async def serving(version: str, *followers: ModelFollower) -> None:
    async def all_serve() -> bool:
        return all(version_of(follower) == version for follower in followers)

    await eventually(all_serve)


async def test_every_replica_swaps_to_the_new_version(place: Place) -> None:
    await a_champion(place.store)
    await an_artifact(place.store, version="2", seed=1)
    async with place.replica(1) as one, place.replica(2) as two:
        await serving("1", one, two)
        promoter = place.promoter()
        champion = await promoter.promote("2", "better", quiet)
        await serving("2", one, two)
        assert one.current is not None
        assert one.current.epoch == champion.epoch == 2
        assert await wait_converged(place.redis, NAMES, 2, patience=5) == []
        await promoter.mirror.tried()
    assert await artifact.read_champion(place.store, "model") == champion
    assert place.registry.champion == "2"
    assert await place.actions() == ["promoted"]


async def test_a_broken_artifact_is_refused_before_any_replica_is_asked(place: Place) -> None:
    await a_champion(place.store)
    await an_artifact(place.store, version="2", seed=1)
    await break_graph(place.store, "model", "2")
    async with place.replica(1) as one:
        await serving("1", one)
        with pytest.raises(PromotionRefused, match="digest"):
            await place.promoter().promote("2", "better", quiet)
        assert version_of(one) == "1"
    assert await place.actions() == [], "what was staged and refused is told as aborted"


async def test_one_replica_that_refuses_stops_it_for_all(place: Place, tmp_path: Path) -> None:
    await a_champion(place.store)
    elsewhere = Store.open((tmp_path / "elsewhere").as_uri())  # a disk that never got version 2
    await a_champion(elsewhere)
    await an_artifact(place.store, version="2", seed=1)
    async with place.replica(1) as one, place.replica(2, elsewhere) as two:
        await serving("1", one)
        with pytest.raises(PromotionRefused, match=r"gateway:r2 refused version 2: .*no object"):
            await place.promoter().promote("2", "better", quiet)
        assert await place.redis.hget(NAMES.model("model"), "promotion_id") is None
        await one.reconcile()
        await two.reconcile()
        assert version_of(one) == "1"
        assert version_of(two) != "2"
    assert await place.actions() == ["aborted"]
    assert place.outcomes == ["refused"]


async def test_a_replica_that_does_not_answer_in_time_stops_it(place: Place) -> None:
    await a_champion(place.store)
    await an_artifact(place.store, version="2", seed=1)
    async with Replica("gateway", place.settings.model_copy(update={"replica_id": "mute"}), place.redis):
        with pytest.raises(PromotionRefused, match="no receipt within 1 s from gateway:mute"):
            await place.promoter(deadline=1).promote("2", "better", quiet)


async def test_a_replica_that_died_does_not_veto(place: Place) -> None:
    await a_champion(place.store)
    await an_artifact(place.store, version="2", seed=1)
    mortal = place.settings.model_copy(update={"replica_id": "dead", "presence_seconds": 1})
    dead = Replica("scorer", mortal, place.redis)
    await dead.announce()  # and never again
    async with place.replica(1) as one:
        await place.promoter().promote("2", "better", quiet)
        await serving("2", one)


async def test_a_replica_that_missed_everything_converges(place: Place) -> None:
    await a_champion(place.store)
    await an_artifact(place.store, version="2", seed=1)
    await place.promoter().promote("2", "better", quiet)
    async with place.replica(1) as late:
        await serving("2", late)


async def test_rolling_back_twice_goes_back_two_versions(place: Place) -> None:
    await a_champion(place.store)
    promoter = place.promoter()
    for version in ("2", "3", "4"):
        await an_artifact(place.store, version=version, seed=int(version))
        await promoter.promote(version, "better", quiet)
    assert await promoter.ledger.rolled_back() is None
    assert (await promoter.rollback(None, "worse", quiet)).version == "3"
    assert await promoter.ledger.rolled_back() == "4"
    champion = await promoter.rollback(None, "worse", quiet)
    assert (champion.version, champion.epoch) == ("2", 6)
    assert await place.actions() == ["promoted"] * 3 + ["rolled_back"] * 2
    assert place.outcomes == await place.actions()


async def test_there_is_nothing_to_roll_back_to_at_first(place: Place) -> None:
    await a_champion(place.store)
    with pytest.raises(PromotionRefused, match="no earlier version"):
        await place.promoter().rollback(None, "worse", quiet)
    assert place.outcomes == ["refused"]


async def test_a_trainer_that_died_before_the_decision_is_aborted_by_the_next(place: Place) -> None:
    await a_champion(place.store)
    await an_artifact(place.store, version="2", seed=1)
    async with place.replica(1) as one:
        await serving("1", one)
        dying = place.promoter()
        lease = dying._lease()
        assert await lease.acquire()
        record = await dying._record("2", "better", "promoted", await artifact.read_champion(place.store, "model"))
        await dying._stage(lease, record)
        await lease.release()
        await place.promoter().recover()
        assert await place.redis.hget(NAMES.model("model"), "promotion_id") is None
        assert version_of(one) == "1"
    assert await place.actions() == ["aborted"]


async def test_a_trainer_that_died_after_the_decision_is_finished_by_the_next(place: Place) -> None:
    await a_champion(place.store)
    await an_artifact(place.store, version="2", seed=1)
    async with place.replica(1) as one:
        dying = place.promoter()
        record = await dying._record("2", "better", "promoted", await artifact.read_champion(place.store, "model"))
        await artifact.write_champion(place.store, "model", record.champion)
        await place.promoter().recover()
        await serving("2", one)
        await place.promoter().recover()
    assert await place.actions() == ["promoted"]
    assert place.outcomes == ["promoted"], "what is finished twice is counted twice"


async def test_a_trainer_that_lost_its_lease_writes_nothing(place: Place) -> None:
    await a_champion(place.store)
    await an_artifact(place.store, version="2", seed=1)
    paused = place.promoter()
    lease = paused._lease()
    assert await lease.acquire()
    record = await paused._record("2", "better", "promoted", await artifact.read_champion(place.store, "model"))
    await place.redis.delete(lease.key)
    other = Lease(place.redis, lease.key, timedelta(seconds=30))
    assert await other.acquire()
    with pytest.raises(PromotionRefused, match="lease was lost"):
        await paused._stage(lease, record)
    with pytest.raises(PromotionRefused, match="lease was lost"):
        await paused._decide(lease, record)
    champion = await artifact.read_champion(place.store, "model")
    assert champion is not None
    assert champion.version == "1"


async def test_a_flushed_redis_is_told_the_desired_version_again(place: Place, redis_server: RedisServer) -> None:
    await a_champion(place.store)
    await an_artifact(place.store, version="2", seed=1)
    promoter = place.promoter()
    await promoter.promote("2", "better", quiet)
    keeping = asyncio.create_task(promoter.keep_published(0.1))
    async with place.replica(1) as one:
        await serving("2", one)
        redis_server.flush()

        async def told() -> bool:
            return await place.redis.hget(NAMES.model("model"), "epoch") == "2"

        await eventually(told)
        assert version_of(one) == "2"
    await end([keeping])


async def test_a_replica_boots_from_the_store_while_redis_is_down(place: Place, redis_server: RedisServer) -> None:
    await a_champion(place.store)
    redis_server.kill()
    async with place.replica(1) as one:
        await serving("1", one)
        await eventually(lambda: asyncio.sleep(0, one.fresh))  # a busy machine looks like a pause
        await an_artifact(place.store, version="2", seed=1)
        redis_server.start()
        await place.promoter().promote("2", "better", quiet)
        await serving("2", one)


async def test_the_epoch_of_a_replica_never_goes_back(place: Place) -> None:
    await a_champion(place.store)
    await an_artifact(place.store, version="2", seed=1)
    promoter = place.promoter()
    champion = await promoter.promote("2", "better", quiet)
    async with place.replica(1) as one:
        await serving("2", one)
        await place.redis.hset(NAMES.model("model"), mapping={"version": "1", "epoch": 1, "digest": champion.digest})
        await one.reconcile()
        assert version_of(one) == "2"


def a_decision(champion: str | None, *, promote: bool) -> Decision:
    return Decision(trigger="drift", promote=promote, why="the figures", champion=champion, figures={"held_out": {}})


async def test_a_version_replaces_no_other_champion_than_the_one_it_was_compared_with(place: Place) -> None:
    await a_champion(place.store)
    for version in ("2", "3"):
        await an_artifact(place.store, version=version, seed=int(version))
    promoter = place.promoter()
    await promoter.promote("2", "by hand meanwhile", quiet)
    with pytest.raises(ChampionChanged):
        await promoter.promote("3", "better", quiet, decision=a_decision("1", promote=True))
    champion = await promoter.ledger.champion()
    assert champion is not None
    assert champion.version == "2"
    await promoter.promote("3", "better", quiet, decision=a_decision("2", promote=True))
    history = await artifact.read_history(place.store, "model")
    assert [(entry.version, (entry.decision or {}).get("why")) for entry in history] == [
        ("2", None),
        ("3", "the figures"),
    ]
    assert place.outcomes == ["promoted", "promoted"]


async def test_what_is_held_back_is_in_the_history_and_changes_nothing(place: Place) -> None:
    await a_champion(place.store)
    await an_artifact(place.store, version="2", seed=1)
    promoter = place.promoter()
    await promoter.promote("2", "better", quiet)
    decision = a_decision("2", promote=False)
    await promoter.hold_back("3", "drift", decision, operation="a")
    *_, entry = await artifact.read_history(place.store, "model")
    assert (entry.action, entry.version, entry.previous, entry.epoch) == ("held_back", "3", "2", None)
    assert (entry.reason, entry.decision) == ("drift: the figures", decision.document)
    assert await promoter.ledger.outcome("a") is None
    assert await promoter.ledger.held_back("a") == entry
    assert await promoter.ledger.held_back("b") is None
    assert artifact.served_versions(await artifact.read_history(place.store, "model")) == ["2"]
    assert place.outcomes == ["promoted", "held_back"]


async def test_while_somebody_else_promotes_nothing_is_written(place: Place) -> None:
    await a_champion(place.store)
    other = Lease(place.redis, NAMES.lease("promotion"), timedelta(seconds=30))
    assert await other.acquire()
    promoter = place.promoter(deadline=-29)
    with pytest.raises(LeaseTaken):
        await promoter.hold_back("3", "drift", a_decision("1", promote=False))
    assert await artifact.read_history(place.store, "model") == []
