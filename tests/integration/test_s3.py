"""Training, promotion and a job with the store on S3: every service as a process, told nothing but AWS_… variables."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from redis.asyncio import Redis

from shared import artifact
from shared.engine import load_model
from shared.jobs import JobRecord
from shared.store import Store
from tests.artifacts import a_champion
from tests.integration.test_gateway_process import announced
from tests.mlflow_database import an_empty_database
from tests.pipelines import a_table, a_target
from tests.processes import ServiceProcess
from tests.s3 import S3Server
from tests.waiting import eventually

ROWS = 3_000
PARAMS = """
model: {name: goods}
data: {source: goods.csv, target: price}
model_building:
  random_forest: {n_estimators: 10, max_depth: 5}
selection: {cv: 2}
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with S3Server().running() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def bucket(server: S3Server) -> str:
    return server.new_bucket()


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_model_is_trained_promoted_and_scores_a_job(
    bucket: str, tmp_path: Path, redis_url: str, redis: Redis
) -> None:
    store = Store.open(f"s3://{bucket}/some where")
    table = a_table(400, nulls=False)
    table.assign(price=a_target(table)).to_csv(tmp_path / "goods.csv", index=False)
    (tmp_path / "params.yaml").write_text(PARAMS)
    an_empty_database(tmp_path / "mlflow")
    common = {
        "redis_url": redis_url,
        "store_url": store.url,
        "state_dir": tmp_path,
        "params_path": tmp_path / "params.yaml",
    }
    with (
        ServiceProcess("trainer", tmp_path, **common, trainer_revision="v1.2-3-gabcdef"),
        ServiceProcess("scorer", tmp_path, **common),
        ServiceProcess("gateway", tmp_path, **common, gateway_port=0, gateway_chunk_rows=500),
    ):
        gateway = await announced(redis, within=120)
        async with httpx.AsyncClient(base_url=gateway.address, timeout=90) as client:
            rows = a_table(ROWS, nulls=False, seed=1)
            job = await submit(client, rows)
            found = await results(client, job)
    assert found == await predictions(store, "goods", rows)
    record = JobRecord.model_validate_json(await store.get(f"jobs/{job['id']}/manifest.json"))
    assert sum(part.rows for part in record.parts) == ROWS
    assert [entry.version for entry in await artifact.read_history(store, "goods")] == ["1"]
    manifest, _ = await artifact.fetch_manifest(store, "goods", "1")
    assert manifest.git_commit == "v1.2-3-gabcdef"  # as an image is told that has no git


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_job_outlives_a_store_that_is_away_for_a_while(
    server: S3Server, bucket: str, tmp_path: Path, redis_url: str, redis: Redis
) -> None:
    store = Store.open(f"s3://{bucket}")
    await a_champion(store)
    common = {"redis_url": redis_url, "store_url": store.url, "state_dir": tmp_path, "model_name": "model"}
    with (
        ServiceProcess("scorer", tmp_path, **common, scorer_max_rows_per_second=1000) as scorer,
        ServiceProcess("gateway", tmp_path, **common, gateway_port=0, gateway_chunk_rows=500) as gateway,
    ):
        address = (await announced(redis, within=60)).address
        async with httpx.AsyncClient(base_url=address, timeout=90) as client:
            rows = a_table(ROWS, nulls=False, seed=1)
            job = await submit(client, rows)
            server.stop()

            async def handed_back() -> bool:
                return "handing an entry back" in scorer.log.read_text()

            await eventually(handed_back)
            refused = await client.post("/jobs", content=rows.to_csv(), headers={"Content-Type": "text/csv"})
            server.start()
            found = await results(client, job)
        assert scorer.running()
        assert gateway.running()
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True), refused.text
    assert found == await predictions(store, "model", rows)


async def submit(client: httpx.AsyncClient, rows: pd.DataFrame) -> dict[str, Any]:
    answer = await client.post("/jobs", content=rows.to_csv(index=False), headers={"Content-Type": "text/csv"})
    assert answer.status_code == 202, answer.text
    accepted: dict[str, Any] = answer.json()
    return accepted


async def results(client: httpx.AsyncClient, job: dict[str, Any]) -> list[float]:
    """Wait for the end of a job without errors, and return its predictions."""
    ended = (await client.get(job["links"]["self"], params={"wait": 80})).json()
    assert (ended["state"], ended["rows"]["done"], ended["rows"]["failed"]) == ("completed", ROWS, 0)
    lines = (await client.get(job["links"]["results"], headers={"Accept": "text/csv"})).text.splitlines()
    return [float(line.split(",")[1]) for line in lines[1:]]


async def predictions(store: Store, name: str, table: pd.DataFrame) -> list[float]:
    """What the artifact in the bucket says of every row."""
    model = load_model(await artifact.fetch(store, name, "1"))
    rows = [model.encoder.encode({str(k): v for k, v in row.items()}) for row in table.to_dict("records")]
    found: list[float] = model.predict(np.array(rows)).tolist()
    return found
