"""Jobs through real processes: a gateway behind a socket, scorers, and faults in between."""

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from redis.asyncio import Redis

from shared import artifact
from shared.engine import load_model
from shared.jobs import new_job_id
from shared.store import Store
from tests.artifacts import a_champion, an_artifact
from tests.faulty import Faults, environment
from tests.integration.by_hand import a_csv
from tests.integration.test_gateway_process import a_process, announced
from tests.pipelines import a_table
from tests.processes import ServiceProcess
from tests.waiting import eventually

ROWS = 20_000
CSV = {"Content-Type": "text/csv"}


@pytest.fixture
async def gateway(
    tmp_path: Path, redis_url: str, redis: Redis, store: Store
) -> AsyncIterator[tuple[httpx.AsyncClient, ServiceProcess]]:
    await a_champion(store)
    with a_process(tmp_path, redis_url, store, gateway_chunk_rows=500) as process:
        address = (await announced(redis)).address
        async with httpx.AsyncClient(base_url=address, timeout=120) as client:
            yield client, process


@pytest.fixture
def scorers(tmp_path: Path, redis_url: str, store: Store, gateway: object) -> Iterator[None]:
    """Two scorers, of the champion that the gateway serves."""
    common = {"redis_url": redis_url, "store_url": store.url, "model_name": "model", "state_dir": tmp_path}
    with ServiceProcess("scorer", tmp_path, **common), ServiceProcess("scorer", tmp_path, **common):
        yield


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    records = table.to_dict("records")
    return [{str(name): None if pd.isna(value) else value for name, value in row.items()} for row in records]


async def predictions(store: Store, table: pd.DataFrame, version: str = "1") -> list[float]:
    """What the artifact says of every row, by itself."""
    model = load_model(await artifact.fetch(store, "model", version))
    rows = [model.encoder.encode(row) for row in rows_of(table)]
    found: list[float] = model.predict(np.array(rows)).tolist()
    return found


@pytest.mark.usefixtures("scorers")
async def test_every_row_is_predicted_once_and_in_order(
    gateway: tuple[httpx.AsyncClient, ServiceProcess], store: Store
) -> None:
    client, _ = gateway
    table = a_table(ROWS)
    expected = await predictions(store, table)
    answers = [await client.post("/jobs", content=body, headers={"Content-Type": name}) for name, body in bodies(table)]
    for answer in answers:
        assert answer.status_code == 202, answer.text
        links = answer.json()["links"]
        ended = (await client.get(links["self"], params={"wait": 100})).json()
        assert (ended["state"], ended["rows"]["done"], ended["rows"]["failed"]) == ("completed", ROWS, 0)
        records = [json.loads(line) for line in (await client.get(links["results"])).text.splitlines()]
        assert records == [{"index": index, "prediction": value} for index, value in enumerate(expected)]
        parquet = await client.get(links["results"], headers={"Accept": "application/vnd.apache.parquet"})
        assert pq.read_table(io.BytesIO(parquet.content)).column("prediction").to_pylist() == expected


@pytest.mark.usefixtures("scorers")
async def test_a_job_is_scored_by_the_version_it_names_whatever_serves(
    gateway: tuple[httpx.AsyncClient, ServiceProcess], store: Store
) -> None:
    client, _ = gateway
    table = a_table(2000)
    await an_artifact(store, version="2", seed=1)
    answers = {
        version: await client.post("/jobs", content=table.to_csv(index=False), params=params, headers=CSV)
        for version, params in (("2", {"version": "2"}), ("1", {}))
    }
    for version, answer in answers.items():
        assert answer.status_code == 202, answer.text
        links = answer.json()["links"]
        assert (await client.get(links["self"], params={"wait": 100})).json()["model_version"] == version
        records = [json.loads(line) for line in (await client.get(links["results"])).text.splitlines()]
        assert [record["prediction"] for record in records] == await predictions(store, table, version)


def bodies(table: pd.DataFrame) -> list[tuple[str, bytes]]:
    parquet = io.BytesIO()
    table.to_parquet(parquet)
    return [
        ("text/csv", table.to_csv(index=False).encode()),
        ("application/jsonl", "\n".join(map(json.dumps, rows_of(table))).encode()),
        ("application/vnd.apache.parquet", parquet.getvalue()),
    ]


async def submitted(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.post("/jobs", content=b"count\n" + b"1\n" * 5000, headers={"Content-Type": "text/csv"})
    job: dict[str, Any] = answer.raise_for_status().json()
    return job


async def test_whoever_waits_is_answered_when_the_gateway_stops(
    gateway: tuple[httpx.AsyncClient, ServiceProcess],
) -> None:
    client, process = gateway
    links = (await submitted(client))["links"]
    events = asyncio.create_task(client.get(links["events"]))
    waiting = asyncio.create_task(client.get(links["self"], params={"wait": 100}))

    async def both_arrived() -> bool:
        return "in_flight 3.0" in (await client.get("/metrics")).text

    await eventually(both_arrived)
    assert await asyncio.to_thread(process.stop, 20) == 0
    assert (await waiting).json()["state"] == "queued"
    assert "event: job" in (await events).text


async def test_events_arrive_while_the_job_runs(
    gateway: tuple[httpx.AsyncClient, ServiceProcess], redis: Redis
) -> None:
    client, _ = gateway
    links = (await submitted(client))["links"]
    async with client.stream("GET", links["events"]) as stream:
        states = (json.loads(line[6:])["state"] async for line in stream.aiter_lines() if line.startswith("data: "))
        assert await anext(states) == "queued"
        await client.delete(links["self"])
        assert await anext(states) == "cancelled"
        assert [state async for state in states] == []


async def test_an_upload_that_breaks_off_leaves_nothing(
    gateway: tuple[httpx.AsyncClient, ServiceProcess], store: Store, tmp_path: Path
) -> None:
    client, process = gateway
    _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write(
        b"POST /jobs HTTP/1.1\r\nHost: h\r\nContent-Type: text/csv\r\nContent-Length: 9999999\r\n\r\ncount\n1\n"
    )
    await writer.drain()

    async def spooling(files: int) -> bool:
        return len(open_spools(process.pid)) == files

    await eventually(lambda: spooling(1))
    writer.close()
    await eventually(lambda: spooling(0))
    assert (await client.get("/jobs")).json()["jobs"] == []
    assert [key async for key in store.list("jobs")] == []
    assert (await client.get(f"/jobs/{new_job_id()}")).status_code == 404


async def test_a_gateway_killed_in_an_upload_frees_the_key_and_leaves_nothing(
    gateway: tuple[httpx.AsyncClient, ServiceProcess], redis: Redis, redis_url: str, store: Store, tmp_path: Path
) -> None:
    client, process = gateway
    _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    head = "POST /jobs HTTP/1.1\r\nHost: h\r\nContent-Type: text/csv\r\nIdempotency-Key: k\r\nContent-Length: 99999\r\n"
    writer.write(head.encode() + b"\r\ncount\n1\n")
    await writer.drain()

    async def spooling() -> bool:
        return len(open_spools(process.pid)) == 1

    await eventually(spooling)
    headers = {"Content-Type": "text/csv", "Idempotency-Key": '"k"'}
    with a_process(tmp_path, redis_url, store) as other, httpx.Client(timeout=60) as second:
        jobs = f"{(await announced(redis, pid=other.pid)).address}/jobs"
        refused = await asyncio.to_thread(second.post, jobs, content=b"count\n1\n", headers=headers)
        assert refused.json()["type"] == "/problems/idempotency-in-progress"
        process.kill()

        async def accepted() -> Any:
            answer = await asyncio.to_thread(second.post, jobs, content=b"count\n1\n", headers=headers)
            return answer.status_code == 202 and answer.json()

        job = await eventually(accepted)
    writer.close()
    assert {key.split("/")[1] async for key in store.list("jobs")} == {job["id"]}
    assert os.listdir(tmp_path / "spool") == []


def open_spools(pid: int) -> list[str]:
    """Return the nameless files that a process has open below its spool directory."""
    links = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return [link for link in links if "/spool/" in link]


async def test_a_gateway_takes_rows_that_its_own_engine_would_die_of(
    tmp_path: Path, redis_url: str, redis: Redis, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It measures what rows cost, to size their chunks, and answers predictions at the same time."""
    for name, value in environment(Faults(exit_at=-666)).items():
        monkeypatch.setenv(name, value)
    await a_champion(store)
    with a_process(tmp_path, redis_url, store) as process:
        async with httpx.AsyncClient(base_url=(await announced(redis)).address, timeout=60) as client:
            answer = await client.post("/jobs", content=a_csv(3, row_1="-666,10.5,2,north,a"), headers=CSV)
        assert answer.status_code == 202, answer.text
        assert process.running()
