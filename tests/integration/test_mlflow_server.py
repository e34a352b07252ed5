"""MLflow as a server of its own: what a training leaves in it, and what goes on without it."""

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.trainer.tracking import RegistryUnusable, check_registry
from shared.events import PromotionRequested, RetrainRequested
from shared.settings import ROOT
from tests.integration.test_trainer_process import Trainers
from tests.logs import events, lines
from tests.mlflow_database import an_empty_database
from tests.mlflow_server import MlflowServer
from tests.redis_server import RedisServer
from tests.waiting import eventually

PATIENCE = 90.0  # seconds that a training may wait for a server that has gone: once half a minute, not twice
CANDIDATES = {"linear_regression", "ridge", "random_forest", "gradient_boosting"}
PLOTS = {"feature_importance.png", "predicted_vs_actual.png", "residual_distribution.png", "residuals.png"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[MlflowServer]:
    server = MlflowServer(tmp_path / "mlflow server")
    yield server
    server.kill()


@pytest.fixture
async def trainers(tmp_path: Path, redis_server: RedisServer) -> AsyncIterator[Trainers]:
    trainers = Trainers(tmp_path, redis_server)
    yield trainers
    await trainers.redis.aclose()


async def retrained(trainers: Trainers, name: str) -> str:
    operation = await (await trainers.ask(RetrainRequested(operation_id=name, reason="")))()
    assert operation.state == "succeeded", operation.detail
    return str(operation.result["version"])


async def alias(server: MlflowServer, version: str) -> None:
    """Return when the server says that it is the champion."""

    async def moved() -> bool:
        return await server.champion("goods") == version

    await eventually(moved, within=120)


async def test_a_trainer_waits_for_a_server_and_survives_one_that_goes_and_the_alias_follows(
    trainers: Trainers, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One server and one trainer through all of it: each takes seconds to start."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # whoever sets it is less patient than we are
    an_empty_database(server.directory)
    with trainers.trainer(mlflow_uri=server.url) as process:
        await it_waits_for(server, trainers)
        assert (await trainers.champion()).version == "1"
        await alias(server, "1")
        await the_server_has_everything_of(server, "1")
        assert not list((trainers.params.parent / "state").glob("mlflow*")), "something was written beside the server"
        assert await retrained(trainers, "again") == "2"
        await alias(server, "2")

        await it_goes_while_a_training_registers(server, trainers)
        assert "command failed" in events(process.log, operation_id="registers")
        assert await trainers.store.directories("models/goods") == ["1", "2"]

        failing = await trainers.ask(RetrainRequested(operation_id="fails", reason=""))
        back = await (await trainers.ask(PromotionRequested(operation_id="p", version="1", reason="")))()
        assert (back.state, back.result["version"]) == ("succeeded", "1")
        failed = await failing()
        assert failed.state == "failed"
        progress = [line["detail"] for line in lines(process.log, operation_id="fails", event="progress")]
        assert progress == ["load"], "hours of training would have been lost"
        assert failed.detail.startswith(f"MLflow at {server.url} did not answer within ")
        assert "Connection refused" in failed.detail
        assert failed.detail.endswith("correct TASADOR_MLFLOW_URI; then train again")

        async def alias_not_set() -> bool:
            told = lines(process.log, event="the registry's alias could not be set; trying again", operation_id="p")
            return any("did not answer" in line["error"] for line in told)

        await eventually(alias_not_set)
    await server.start()
    assert await server.champion("goods") == "2"
    with trainers.trainer(mlflow_uri=server.url):
        await alias(server, "1")  # without anybody asking for it


async def it_waits_for(server: MlflowServer, trainers: Trainers) -> None:
    async def waits() -> bool:
        replica = await trainers.replica()
        return replica.state == "starting" and "did not answer" in (replica.error or "")

    await eventually(waits, within=120)
    await server.start()
    await eventually(trainers.ready, within=120)

    async def complains_no_more() -> bool:
        return (await trainers.replica()).error is None

    await eventually(complains_no_more)


async def it_goes_while_a_training_registers(server: MlflowServer, trainers: Trainers) -> None:
    async def registers() -> bool:
        running = {"experiment_ids": ["1"], "filter": "attributes.status = 'RUNNING'"}
        return bool((await server.ask("runs/search", running)).get("runs"))

    failing = await trainers.ask(RetrainRequested(operation_id="registers", reason=""))
    await eventually(registers)
    server.kill()
    began = time.monotonic()
    failed = await failing()
    assert time.monotonic() - began < PATIENCE
    assert f"MLflow at {server.url} did not answer" in failed.detail


async def the_server_has_everything_of(server: MlflowServer, version: str) -> None:
    found = (await server.ask("model-versions/get", name="goods", version=version))["model_version"]
    run = (await server.ask("runs/get", run_id=found["run_id"]))["run"]
    assert run["info"]["status"] == "FINISHED"
    of_it = f"tags.mlflow.parentRunId = '{found['run_id']}'"
    nested = await server.ask("runs/search", {"experiment_ids": [run["info"]["experiment_id"]], "filter": of_it})
    assert {child["info"]["run_name"] for child in nested["runs"]} == CANDIDATES
    plots = await server.ask("artifacts/list", run_id=found["run_id"], path="plots")
    assert {Path(file["path"]).name for file in plots["files"]} == PLOTS
    assert list(server.directory.rglob("model.skops")), "the model is not among the server's artifacts"


async def test_a_server_that_refuses_the_name_it_is_called_by_says_how_to_start_it(server: MlflowServer) -> None:
    an_empty_database(server.directory)
    await server.start()
    check_registry(server.url)
    with pytest.raises(
        RegistryUnusable, match=r"refuses: .*Invalid Host header.*--allowed-hosts localhost:"
    ) as refused:
        check_registry(server.other_url)
    assert not refused.value.away


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without a name")
def test_a_user_without_a_name_gets_one() -> None:
    """As in a container; MLflow would warn for every run, and not note where it came from."""
    program = "import os, pwd; from services.trainer.tracking import _user; os.setuid(54321); print(_user())"
    environment = {"PATH": os.environ["PATH"]}
    said = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, env=environment, text=True)
    assert said == "{'LOGNAME': 'tasador'}\n"
