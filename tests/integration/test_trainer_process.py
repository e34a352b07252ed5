"""The trainer as a process: it makes the first champion, obeys commands, and bears being killed at any time."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from services.trainer.child import TrainingJob, TrainingLine
from shared import artifact
from shared.clock import utc_now
from shared.events import (
    Command,
    Operation,
    PromotionRequested,
    ReloadRequested,
    RetrainRequested,
    RollbackRequested,
    Trigger,
)
from shared.keys import Keys, champion_path
from shared.replica import Replica, ReplicaInfo, live_replicas
from shared.settings import CommonSettings
from shared.store import Store
from tests.artifacts import a_champion, an_artifact, break_graph
from tests.labels import labelled_table, put_labels
from tests.mlflow_database import an_empty_database
from tests.pipelines import a_table, a_target
from tests.processes import ServiceProcess
from tests.redis_server import RedisServer
from tests.waiting import eventually

PARAMS = """
model: {name: goods}
data: {source: goods.csv, target: price}
model_building:
  random_forest: {n_estimators: 20, max_depth: 5}
selection: {cv: 2}
"""


class Trainers:
    """Starts trainers over one state directory, and asks about what they made."""

    def __init__(self, directory: Path, redis_server: RedisServer) -> None:
        table = a_table(400)
        table["price"] = a_target(table)
        table.to_csv(directory / "goods.csv", index=False)
        self.params = directory / "params.yaml"
        self.params.write_text(PARAMS)
        self.store = Store.open((directory / "state" / "store").as_uri())
        self.redis = Redis.from_url(redis_server.url, decode_responses=True)
        self.keys = Keys()
        self._directory = directory
        self.url = redis_server.url

    def trainer(self, *arguments: str, **settings: object) -> ServiceProcess:
        return ServiceProcess(
            "trainer",
            self._directory,
            *arguments,
            redis_url=self.url,
            state_dir=self._directory / "state",
            params_path=self.params,
            **({"trainer_lease_seconds": 2, "presence_seconds": 2} | settings),
        ).start()

    async def ready(self) -> bool:
        return (await self.replica()).state == "ready"

    async def replica(self) -> ReplicaInfo:
        async def announced() -> list[ReplicaInfo]:
            found = await live_replicas(self.redis, self.keys, ["trainer"])
            assert len(found) == 1
            return found

        return (await eventually(announced))[0]

    async def counted(self, what: str) -> dict[str, float]:
        """Return what the trainer's metrics say, by outcome."""
        async with httpx.AsyncClient(base_url=(await self.replica()).address, follow_redirects=True) as client:
            exposition = (await client.get("/metrics")).text
        samples = [s for f in text_string_to_metric_families(exposition) for s in f.samples]
        return {s.labels["outcome"]: s.value for s in samples if s.name == f"tasador_trainer_{what}_total"}

    async def champion(self) -> artifact.Champion:
        found = await artifact.read_champion(self.store, "goods")
        assert found is not None
        return found

    async def ask(self, command: Command) -> Callable[[], Awaitable[Operation]]:
        """Give a command as the gateway does; the result says, awaited, how the operation ended."""
        operation = Operation(id=command.operation_id, kind="retrain", reason=command.reason)
        await self.redis.set(self.keys.operation(operation.id), operation.to_json())
        await self.redis.xadd(self.keys.stream(command.stream), command.entry())  # type: ignore[arg-type]

        async def ended() -> Operation | None:
            text: Any = await self.redis.get(self.keys.operation(operation.id))
            found = Operation.model_validate_json(text)
            return found if found.done else None

        async def outcome() -> Operation:
            found = await eventually(ended, within=240)
            assert found is not None
            return found

        return outcome


@pytest.fixture
async def trainers(tmp_path: Path, redis_server: RedisServer) -> AsyncIterator[Trainers]:
    trainers = Trainers(tmp_path, redis_server)
    an_empty_database(tmp_path / "state" / "mlflow")
    yield trainers
    await trainers.redis.aclose()


@asynccontextmanager
async def training(trainers: Trainers) -> AsyncIterator[ServiceProcess]:
    """A trainer that is in the middle of its first training."""
    with trainers.trainer() as process:

        async def started() -> bool:
            return (await trainers.replica()).detail.startswith("cross-validation")

        await eventually(started, within=90)
        yield process


async def test_it_trains_the_first_champion_and_obeys_commands(trainers: Trainers) -> None:
    trainers.params.write_text(PARAMS + "promotion: {automatic: false}\n")  # the first has nothing to be held back for
    with trainers.trainer() as process:
        assert (await eventually(trainers.champion, within=90)).version == "1"
        retrained = await trainers.ask(RetrainRequested(operation_id="a", reason="by hand"))
        operation = await retrained()
        assert operation.state == "succeeded", operation.detail
        assert (operation.result["version"], operation.result["promoted"]) == ("2", False)
        assert (await trainers.champion()).version == "1"
        promoted = await (await trainers.ask(PromotionRequested(operation_id="p", version="2", reason="checked")))()
        assert promoted.result["version"] == "2"
        assert (await trainers.champion()).version == "2"

        back = await (await trainers.ask(RollbackRequested(operation_id="b", reason="worse")))()
        assert back.result["version"] == "1"
        reloaded = await (await trainers.ask(ReloadRequested(operation_id="c", reason="")))()
        assert reloaded.result["converged"]

        trainers.params.write_text(PARAMS.replace("price", "prise"))
        failed = await (await trainers.ask(RetrainRequested(operation_id="d", reason="")))()
        assert failed.state == "failed"
        assert "prise" in failed.detail
        assert await trainers.counted("trainings") == {"trained": 2, "failed": 1}
        assert await trainers.counted("promotions") == {"promoted": 2, "rolled_back": 1, "held_back": 1, "refused": 0}
        assert process.stop() == 0
    history = await artifact.read_history(trainers.store, "goods")
    assert [entry.action for entry in history] == ["promoted", "held_back", "promoted", "rolled_back"]


async def test_told_to_stop_in_the_middle_of_a_training_it_ends_soon_and_trains_when_it_is_back(
    trainers: Trainers,
) -> None:
    async with training(trainers) as process:
        assert process.stop(timeout=10) == 0
    assert await artifact.versions(trainers.store, "goods") == []
    with trainers.trainer():
        assert (await eventually(trainers.champion, within=90)).epoch == 1


async def test_killed_in_the_middle_of_a_commanded_training_it_trains_again(trainers: Trainers) -> None:
    await a_champion(trainers.store, "goods")
    with trainers.trainer() as process:
        retrained = await trainers.ask(RetrainRequested(operation_id="a", reason="by hand"))

        async def training_again() -> bool:
            return (await trainers.replica()).detail.startswith("cross-validation")

        await eventually(training_again, within=90)
        process.send(signal.SIGKILL)
        process.wait()
    with trainers.trainer():
        operation = await retrained()
        assert operation.state == "succeeded", operation.detail
        # MLflow knows of no version 1, but the store does.
        assert operation.result["version"] == "2"


async def test_a_second_trainer_stands_by_and_follows(trainers: Trainers) -> None:
    await a_champion(trainers.store, "goods")

    async def states() -> dict[int, str]:
        return {r.pid: r.state for r in await live_replicas(trainers.redis, trainers.keys, ["trainer"])}

    async def first_leads() -> bool:
        return await states() == {first.pid: "ready"}

    async def second_stands_by() -> bool:
        return await states() == {first.pid: "ready", second.pid: "standby"}

    async def second_leads() -> bool:
        return await states() == {second.pid: "ready"}

    patient = {"trainer_lease_seconds": 10, "presence_seconds": 10}
    with trainers.trainer(**patient) as first:
        await eventually(first_leads)
        with trainers.trainer(**patient) as second:
            await eventually(second_stands_by)
            first.kill()
            await eventually(second_leads)


async def test_a_model_that_was_renamed_is_not_trained_under_another_name(trainers: Trainers) -> None:
    await a_champion(trainers.store, "goods")
    with trainers.trainer():
        await eventually(trainers.ready)
        trainers.params.write_text(PARAMS.replace("goods}", "wares}"))
        operation = await (await trainers.ask(RetrainRequested(operation_id="a", reason="")))()
        assert operation.state == "failed"
        assert "model.name" in operation.detail
        assert "'wares', but this trainer serves 'goods'" in operation.detail
    assert await trainers.store.directories("models/wares") == []


async def test_a_version_that_nobody_can_load_does_not_stop_the_trainer(trainers: Trainers) -> None:
    await an_artifact(trainers.store, "goods")
    await break_graph(trainers.store, "goods", "1")
    with trainers.trainer():
        await eventually(trainers.ready)
        assert "version 1 could not be promoted" in ((await trainers.replica()).error or "")
        operation = await (await trainers.ask(RetrainRequested(operation_id="a", reason="")))()
        assert operation.state == "succeeded", operation.detail

        async def mended() -> bool:
            return (await trainers.replica()).error is None

        await eventually(mended)


async def test_an_unreadable_champion_is_named_and_does_not_stop_the_trainer(trainers: Trainers) -> None:
    await a_champion(trainers.store, "goods")
    await trainers.store.put(champion_path("goods"), b"{")
    with trainers.trainer() as process:
        await eventually(trainers.ready)
        assert "champion.json is not readable" in ((await trainers.replica()).error or "")
        await trainers.store.delete(champion_path("goods"))
        back = await (await trainers.ask(PromotionRequested(operation_id="a", reason="", version="1")))()
        assert back.state == "succeeded", back.detail
        assert process.running()


async def test_half_an_upload_does_not_stand_in_the_way_of_the_next_training(trainers: Trainers) -> None:
    await trainers.store.put("models/goods/1/model.onnx", b"half")
    with trainers.trainer():
        assert (await eventually(trainers.champion, within=90)).version == "2"


async def test_ctrl_c_ends_a_training_in_the_foreground_without_a_traceback(trainers: Trainers) -> None:
    with trainers.trainer("--once") as process:

        async def started() -> bool:
            return (await trainers.replica()).detail.startswith("cross-validation")

        await eventually(started, within=90)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to everybody
        assert process.wait(timeout=15) == 130
    assert "Traceback" not in process.log.read_text()


async def test_a_training_that_took_effect_before_the_trainer_was_killed_is_not_done_again(trainers: Trainers) -> None:
    await a_champion(trainers.store, "goods")
    settings = CommonSettings(redis_url=trainers.url, model_name="goods")
    leaving = Replica("gateway", settings, trainers.redis)
    leaving.state = "draining"  # nobody asks it, but the operation waits for it to converge
    async with leaving:
        with trainers.trainer(trainer_converge_seconds=60) as process:
            retrained = await trainers.ask(RetrainRequested(operation_id="a", reason="by hand"))

            async def promoted() -> bool:
                return (await trainers.champion()).version == "2"

            await eventually(promoted, within=90)
            process.kill()
    with trainers.trainer():
        operation = await retrained()
        assert operation.result["version"] == "2"
    assert await artifact.versions(trainers.store, "goods") == ["1", "2"]


async def test_what_nobody_foresaw_is_told_to_whoever_asked(trainers: Trainers, tmp_path: Path) -> None:
    in_the_way = tmp_path / "out"
    in_the_way.write_text("a file where the artifact's directory shall be")
    job = TrainingJob(
        params_path=trainers.params,
        out_dir=in_the_way,
        mlflow_uri="sqlite://",
        model_name="goods",
        store_url=trainers.store.url,
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.trainer.child", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    said, _ = await child.communicate(job.model_dump_json().encode())
    last = TrainingLine.model_validate_json(said.splitlines()[-1])
    assert last.error is not None
    assert last.error.startswith("training failed: FileExistsError")


LOOP = """
model: {name: goods}
data: {source: goods.csv, target: price}
model_building:
  random_forest: {n_estimators: %d, max_depth: %d}
selection: {cv: 2, only: random_forest}
retrain: {labelled_rows: true}
"""
POOR, GOOD = LOOP % (2, 1), LOOP % (20, 6)


def retrain(operation_id: str, trigger: Trigger) -> RetrainRequested:
    return RetrainRequested(operation_id=operation_id, reason="a new look", trigger=trigger)


async def test_a_challenger_goes_into_service_only_if_it_wins_and_the_history_has_the_figures(
    trainers: Trainers,
) -> None:
    trainers.params.write_text(POOR)
    with trainers.trainer():
        await eventually(trainers.champion, within=90)
        held_back = await (await trainers.ask(retrain("same", "drift")))()
        assert (held_back.result["version"], held_back.result["promoted"]) == ("2", False)
        assert "exactly as the champion, version 1: no better" in held_back.result["why"]
        renewed = await (await trainers.ask(retrain("renewed", "request")))()
        assert (renewed.result["version"], renewed.result["promoted"]) == ("3", True)
        trainers.params.write_text(GOOD)
        better = await (await trainers.ask(retrain("better", "drift")))()
        assert (better.result["version"], better.result["promoted"]) == ("4", True)
        trainers.params.write_text(POOR)
        useless = await (await trainers.ask(retrain("useless", "request")))()
        assert (useless.result["version"], useless.result["promoted"]) == ("5", False)
        assert useless.result["figures"]["held_out"]["verdict"] == "worse"
        assert (await trainers.champion()).version == "4"
        again = await (await trainers.ask(retrain("useless", "request")))()  # the stream may bring it twice
        assert again.result == useless.result
        assert await trainers.counted("promotions") == {"promoted": 3, "rolled_back": 0, "held_back": 2, "refused": 0}
    history = await artifact.read_history(trainers.store, "goods")
    assert [(entry.action, entry.version) for entry in history] == [
        ("promoted", "1"),
        ("held_back", "2"),
        ("promoted", "3"),
        ("promoted", "4"),
        ("held_back", "5"),
    ]
    assert artifact.served_versions(history) == ["1", "3", "4"]
    for entry in history[1:]:
        assert entry.decision is not None
        assert entry.decision["figures"]["held_out"]["rows"] > 20
    assert [entry.decision["trigger"] for entry in history if entry.decision] == [
        *("request", "drift", "request", "drift", "request")
    ]
    assert history[1].previous == "1"
    assert history[1].reason.startswith("a new look: it predicts the ")


async def test_labelled_rows_are_trained_on_and_what_they_teach_is_promoted(trainers: Trainers) -> None:
    trainers.params.write_text(GOOD)
    with trainers.trainer():
        await eventually(trainers.champion, within=90)
        changed = a_table(600, seed=9)
        actual = (a_target(changed) + 20).tolist()
        features = {str(name): [None if pd.isna(v) else v for v in values] for name, values in changed.items()}
        table = labelled_table(actual, features, time=utc_now() - timedelta(hours=1))
        await put_labels(trainers.store, "goods", table)
        operation = await (await trainers.ask(retrain("a", "quality")))()
        assert operation.result["promoted"], operation.result
        assert operation.result["figures"]["labelled"]["verdict"] == "better"
    first, _ = await artifact.fetch_manifest(trainers.store, "goods", "1")
    second, _ = await artifact.fetch_manifest(trainers.store, "goods", "2")
    assert (first.rows["labelled"], second.rows["labelled"]) == (0, 600)
    assert second.rows["test"] - first.rows["test"] > 60


async def test_requests_that_waited_behind_a_training_are_answered_by_the_next_one(trainers: Trainers) -> None:
    await a_champion(trainers.store, "goods")
    trainers.params.write_text(POOR)
    waiting = [await trainers.ask(retrain(name, "drift")) for name in ("a", "b", "c")]
    by_hand = await trainers.ask(retrain("d", "request"))
    with trainers.trainer():
        first, second, third = [await ended() for ended in waiting]
        assert "answered_by" not in first.result
        assert [other.result["answered_by"] for other in (second, third)] == ["a", "a"]
        assert second.result["version"] == first.result["version"]
        assert (await by_hand()).result["version"] != first.result["version"]


async def test_a_scheduled_time_is_made_up_for_at_the_start(trainers: Trainers) -> None:
    await a_champion(trainers.store, "goods")
    expression = "0 0 1 1 *"
    text = POOR.replace("labelled_rows: true", f'labelled_rows: true, schedule: "{expression}"')
    trainers.params.write_text(text)
    seen: dict[Any, Any] = {"expression": expression, "at": "2020-01-01T00:00"}
    await trainers.redis.hset(trainers.keys.schedule("goods"), mapping=seen)
    with trainers.trainer():

        async def held_back() -> bool:
            return bool(await artifact.read_history(trainers.store, "goods"))

        await eventually(held_back, within=90)
    (entry,) = await artifact.read_history(trainers.store, "goods")
    assert entry.decision is not None
    assert entry.decision["trigger"] == "schedule"
    assert f"scheduled: {expression}" in entry.reason
