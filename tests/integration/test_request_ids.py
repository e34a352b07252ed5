"""One id through the logs of all services: that of the HTTP request that asked for it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from shared.store import Store
from tests.artifacts import a_champion
from tests.integration import by_hand
from tests.integration.by_hand import a_csv
from tests.integration.test_gateway_http import ROW
from tests.integration.test_gateway_process import announced
from tests.logs import events, lines
from tests.mlflow_database import an_empty_database
from tests.pipelines import a_table, a_target
from tests.processes import ServiceProcess
from tests.receiver import receiver
from tests.unit.webhooks.test_signing import SECRET
from tests.waiting import eventually

CHUNK_ROWS = 10
PATIENCE = 60.0
CSV = {"Content-Type": "text/csv"}
PARAMS = """
model: {name: model}
data: {source: model.csv, target: price}
model_building:
  random_forest: {n_estimators: 10, max_depth: 4}
selection: {cv: 2}
promotion: {automatic: false}
"""


@dataclass(frozen=True)
class Services:
    """Services as processes, over one Redis and one store."""

    directory: Path
    settings: dict[str, object]

    @contextmanager
    def service(self, name: str, **settings: object) -> Iterator[Path]:
        """Run one and yield its log."""
        with ServiceProcess(name, self.directory, **(self.settings | settings)) as process:
            yield process.log


@pytest.fixture
async def services(tmp_path: Path, redis_url: str, store: Store) -> Services:
    await a_champion(store)
    return Services(
        tmp_path,
        {
            "redis_url": redis_url,
            "store_url": store.url,
            "state_dir": tmp_path,
            "model_name": "model",
            "log_format": "json",
            "webhook_secrets": SECRET,
            "webhook_allowed_networks": "127.0.0.0/8",
        },
    )


@pytest.fixture
def gateway(services: Services) -> Iterator[Path]:
    with services.service("gateway", gateway_port=0, gateway_chunk_rows=CHUNK_ROWS) as log:
        yield log


@pytest.fixture
def scorer(services: Services) -> Iterator[Path]:
    with services.service("scorer") as log:
        yield log


@pytest.fixture
def monitor(services: Services) -> Iterator[Path]:
    with services.service("monitor", monitor_port=0, monitor_evaluate_seconds=1e9) as log:
        yield log


@pytest.fixture
async def client(gateway: Path, redis: Redis) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=(await announced(redis)).address, timeout=120) as client:
        yield client


async def run(client: httpx.AsyncClient, rows: int, request_id: str, **params: str) -> dict[str, Any]:
    """Submit a job and wait for its end."""
    headers = CSV | {"X-Request-ID": request_id}
    job = (await client.post("/jobs", content=a_csv(rows), headers=headers, params=params)).raise_for_status().json()
    ended: dict[str, Any] = (await client.get(job["links"]["self"], params={"wait": 60})).json()
    assert ended["state"] == "completed", ended
    return ended


async def told(log: Path, event: str, **fields: str) -> dict[str, Any]:
    """Wait until a log tells of an event, and return the line."""

    async def found() -> dict[str, Any] | None:
        return next((line for line in lines(log, event=event, **fields)), None)

    line = await eventually(found, within=PATIENCE)
    assert line is not None
    return line


async def test_a_job_is_followed_through_gateway_scorer_and_monitor(
    client: httpx.AsyncClient, gateway: Path, scorer: Path, monitor: Path
) -> None:
    async with receiver(200) as there:
        job = await run(client, 5 * CHUNK_ROWS, "order-7/a", webhook=there.url)
        webhook = await told(monitor, "webhook", request_id="order-7/a")
    ids = {"request_id": "order-7/a", "job_id": str(job["id"])}
    assert events(gateway, **ids) == ["job accepted"]
    await told(scorer, "job finished", **ids)
    assert events(scorer, **ids) == ["job started", "job finished"]
    finished = await told(monitor, "job finished", **ids)
    assert (finished["state"], finished["rows"], finished["failed"]) == ("completed", 50, 0)
    assert webhook["job_id"] == job["id"]
    assert webhook["outcome"] == "delivered"
    (said,) = lines(scorer, event="job finished", **ids)
    assert (said["state"], said["rows"]) == ("completed", 50)
    assert said["seconds"] > 0


@pytest.mark.usefixtures("monitor")
async def test_how_much_is_logged_does_not_depend_on_how_many_chunks_and_rows(
    client: httpx.AsyncClient, gateway: Path, scorer: Path, monitor: Path
) -> None:
    logs = (gateway, scorer, monitor)

    async def added(rows: int, request_id: str) -> int:
        before = sum(len(lines(log)) for log in logs)
        await run(client, rows, request_id)
        for log in (scorer, monitor):
            await told(log, "job finished", request_id=request_id)
        return sum(len(lines(log)) for log in logs) - before

    await added(CHUNK_ROWS, "first")  # whatever is only said once
    await told(scorer, "ready")  # also said once, and perhaps after its first job
    small = await added(2 * CHUNK_ROWS, "small")
    for _ in range(200):
        assert (await client.post("/predict", json=ROW)).status_code == 200
    assert small == 4
    assert await added(200 * CHUNK_ROWS, "large") - small < 2


async def test_a_chunk_is_told_of_where_that_is_asked_for(client: httpx.AsyncClient, services: Services) -> None:
    with services.service("scorer", log_level="debug") as scorer:
        job = await run(client, 3 * CHUNK_ROWS, "r")
        scored = lines(scorer, event="chunk scored", request_id="r", job_id=str(job["id"]))
        assert sorted(line["chunk"] for line in scored) == [0, 1, 2]


async def test_a_cancelled_job_names_who_submitted_it_and_who_cancelled_it(
    client: httpx.AsyncClient, gateway: Path
) -> None:
    answer = await client.post("/jobs", content=a_csv(3), headers=CSV | {"X-Request-ID": "submits"})
    link = answer.raise_for_status().json()["links"]["self"]
    (await client.delete(link, headers={"X-Request-ID": "cancels"})).raise_for_status()
    (line,) = lines(gateway, event="job finished")
    assert (line["state"], line["request_id"], line["cancelled_by"]) == ("cancelled", "submits", "cancels")


async def test_what_cannot_be_done_now_is_told_of_unless_it_is_a_prediction(
    redis_url: str, store: Store, tmp_path: Path
) -> None:
    async with by_hand.gateway(redis_url, store, tmp_path) as gate:  # nothing was trained yet
        with capture_logs() as told:
            answers = [
                await gate.client.post("/predict", json=ROW),
                await gate.client.get("/health/ready"),
                await gate.client.post("/jobs", content=a_csv(3), headers=CSV | {"X-Request-ID": "r"}),
            ]
    (line,) = (line for line in told if line["event"] == "request refused")
    assert [answer.status_code for answer in answers] == [503] * 3
    assert {"request_id": "r", "method": "POST", "path": "/jobs", "status": 503}.items() <= line.items()
    assert answers[-1].json()["type"] == f"/problems/{line['problem']}"


@pytest.mark.timeout(240)
async def test_a_command_is_followed_through_gateway_and_trainer_to_whoever_swaps(
    client: httpx.AsyncClient, gateway: Path, scorer: Path, services: Services, tmp_path: Path
) -> None:
    table = a_table(300)
    table.assign(price=a_target(table)).to_csv(tmp_path / "model.csv", index=False)
    (tmp_path / "params.yaml").write_text(PARAMS)
    an_empty_database(tmp_path / "mlflow")

    async def command(kind: str, request_id: str, **order: str) -> str:
        answer = await client.post(
            f"/admin/{kind}", params={"wait": 100}, json=order, headers={"X-Request-ID": request_id}
        )
        operation = answer.raise_for_status().json()
        assert (operation["state"], operation["request_id"]) == ("succeeded", request_id), operation
        return str(operation["id"])

    with services.service("trainer", params_path=tmp_path / "params.yaml") as trainer:
        operation = await command("retrain", "trains")
        ids = {"request_id": "trains", "operation_id": operation}
        assert events(gateway, **ids) == ["command given"]
        found = events(trainer, **ids)
        assert (found[0], found[-2:]) == ("command taken", ["not promoted", "command succeeded"])
        assert {"data loaded", "version registered"} <= set(found), "the process that trains does not know who asked"

        operation = await command("promote", "promotes", version="2")
        ids = {"request_id": "promotes", "operation_id": operation}
        assert events(gateway, **ids) == ["command given", "accepting a candidate", "serving"]
        assert events(scorer, **ids) == ["accepting a candidate", "serving"]
        assert events(trainer, **ids) == ["command taken", "promotion staged", "promoted", "command succeeded"]
