"""What a job can be told beside its table, on a real server and store."""

import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis.asyncio import Redis

from shared.keys import Keys
from shared.records import read_spec
from shared.replica import ReplicaInfo
from shared.store import Store
from tests.artifacts import an_artifact, break_graph
from tests.integration.by_hand import Gateway, HandScorer, a_csv, gateway, problem, ready_store


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    return await ready_store(tmp_path)


@pytest.fixture
async def gate(redis_url: str, store: Store, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(redis_url, store, tmp_path) as running:
        yield running


async def test_a_job_is_as_its_options_say(gate: Gateway, store: Store) -> None:
    job = await gate.submitted(a_csv(3), query="priority=high&deadline=2h&passthrough=grade,place")
    assert (job["priority"], job["passthrough"]) == ("high", ["grade", "place"])
    spec = await read_spec(store, job["id"])
    assert spec.deadline is not None
    assert spec.deadline - spec.created_at == timedelta(hours=2)
    assert datetime.fromisoformat(job["deadline"]) == spec.deadline
    plain = await gate.submitted(a_csv(3))
    assert (plain["priority"], plain["deadline"], plain["passthrough"]) == ("normal", None, [])


async def test_columns_pass_through_to_the_results(gate: Gateway, redis: Redis, store: Store) -> None:
    job = await gate.submitted(b"id,count\na-1,5\nb-2,x\n", query="passthrough=id")
    assert job["ignored_columns"] == []
    await HandScorer(redis, store).work()
    results = (await gate.client.get(job["links"]["results"])).text.splitlines()
    assert [json.loads(line)["id"] for line in results] == ["a-1", "b-2"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("priority=urgent", "priority"),
        ("deadline=yesterday", "deadline"),
        ("deadline=2001-01-01T00:00:00Z", "deadline"),
        ("passthrough=prediction", "passthrough"),
        ("passthrough=place,place", "passthrough"),
        ("passthrough=nowhere", "passthrough"),
        ("webhook=https://example.org/", "webhook"),  # nothing signs it
        ("dedline=90s", "dedline"),
    ],
)
async def test_an_option_that_cannot_be_is_refused_by_name(gate: Gateway, store: Store, query: str, name: str) -> None:
    answer = await gate.submit(a_csv(1), query=query)
    assert problem(answer) == "422 invalid-parameter"
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"#/query/{name}"]
    assert "Value error" not in answer.text  # words of the framework
    assert [key async for key in store.list("jobs")] == []


async def test_a_webhook_goes_where_webhooks_may_go(redis_url: str, store: Store, tmp_path: Path) -> None:
    secret = "whsec_" + "QUJD" * 8
    async with gateway(redis_url, store, tmp_path, webhook_secrets=[secret]) as gate:
        job = await gate.submitted(a_csv(1), query="webhook=https://example.org/told")
        assert (await read_spec(store, job["id"])).webhook == "https://example.org/told"
        answer = await gate.submit(a_csv(1), query="webhook=http://127.0.0.1/")
        assert problem(answer) == "422 invalid-parameter"


# --- the version


async def test_a_job_may_name_its_version(gate: Gateway, store: Store) -> None:
    digest = await an_artifact(store, version="2", seed=1)
    for version, expected in (("1", "1"), ("2", "2"), ("", "1")):
        job = await gate.submitted(a_csv(1), query=f"version={version}" if version else "")
        assert job["model_version"] == expected
    assert (await read_spec(store, (await gate.submitted(a_csv(1), query="version=2"))["id"])).model_digest == digest


@pytest.mark.parametrize("version", ["3", "..", "1/../1", "a" * 100, "%00"])
async def test_a_version_that_is_not_there_is_404(gate: Gateway, version: str) -> None:
    assert problem(await gate.submit(a_csv(1), query=f"version={version}")) == "404 version-not-found"


async def test_a_version_that_cannot_be_loaded_is_refused(gate: Gateway, store: Store) -> None:
    await an_artifact(store, version="2")
    await break_graph(store, "model", "2")
    assert problem(await gate.submit(a_csv(1), query="version=2")) == "422 version-unusable"


async def test_a_version_can_score_before_any_is_in_service(redis_url: str, tmp_path: Path) -> None:
    store = Store.open((tmp_path / "fresh").as_uri())
    await an_artifact(store, version="1")
    async with gateway(redis_url, store, tmp_path) as gate:
        assert problem(await gate.submit(a_csv(1))) == "503 no-model"
        assert (await gate.submitted(a_csv(1), query="version=1"))["model_version"] == "1"


# --- limits


async def test_too_many_open_jobs_are_refused_until_one_has_ended(
    redis_url: str, redis: Redis, store: Store, tmp_path: Path
) -> None:
    async with gateway(redis_url, store, tmp_path, gateway_max_open_jobs=2) as gate:
        jobs = [await gate.submitted(a_csv(1)) for _ in range(2)]
        refused = await gate.submit(a_csv(1))
        assert problem(refused) == "429 too-many-jobs"
        assert int(refused.headers["retry-after"]) > 0
        await gate.client.delete(jobs[0]["links"]["self"])
        await gate.submitted(a_csv(1))
        kept = {key.split("/")[1] async for key in store.list("jobs")}
        assert len(kept) == 3, "a refused job leaves nothing behind"


async def announce(redis: Redis, keys: Keys, name: str, **extra: Any) -> None:
    info = ReplicaInfo(service="scorer", id=name, pid=1, state="ready", seen_at=datetime.now(UTC), extra=extra)
    await redis.sadd(keys.replicas, info.member)
    await redis.set(keys.replica("scorer", name), info.model_dump_json())


async def test_when_to_come_again_is_what_the_scorers_need(
    redis_url: str, redis: Redis, keys: Keys, store: Store, tmp_path: Path
) -> None:
    async with gateway(redis_url, store, tmp_path, gateway_max_backlog_rows=1_000) as gate:
        await gate.submitted(a_csv(900))
        assert (await gate.submit(a_csv(700))).headers["retry-after"] == "30", "nobody is there to score"
        await announce(redis, keys, "idle", rows_per_second=0.0, capacity=15.0)
        await announce(redis, keys, "new", rows_per_second=0.0, capacity=0.0)
        assert (await gate.submit(a_csv(700))).headers["retry-after"] == "20", "600 rows, by two who do 15 a second"
        assert (await gate.submit(a_csv(400))).headers["retry-after"] == "10"
        assert problem(await gate.submit(a_csv(1_001))) == "413 too-many-rows", "which no waiting will change"


async def test_chunks_follow_the_cost_of_a_row(gate: Gateway, store: Store) -> None:
    jobs = [await gate.submitted(b"count\n" + b"1\n" * rows) for rows in (300, 400_000)]
    small, large = [await read_spec(store, job["id"]) for job in jobs]
    assert small.chunks == 1, "less than a millisecond of work"
    assert large.chunks == -(-400_000 // large.chunk_rows)
    assert large.chunks >= 4


async def test_chunks_are_smaller_where_later_rows_carry_more(
    gate: Gateway, redis: Redis, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.jobs.chunked.MAX_CARRIED_BYTES", 200_000)
    notes = ["x"] * 20_000 + ["x" * 1000] * 2_000
    body = "\n".join(["count,note", *(f"{i},{note}" for i, note in enumerate(notes))])
    job = await gate.submitted(body.encode(), query="passthrough=note")
    assert (await read_spec(store, job["id"])).chunk_rows < 200
    await HandScorer(redis, store).work()
    results = (await gate.client.get(job["links"]["results"])).text.splitlines()
    assert [len(json.loads(line)["note"]) for line in results] == [len(note) for note in notes]


async def test_a_table_that_says_it_is_too_large_is_not_read(
    redis_url: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = io.BytesIO()
    pq.write_table(pa.table({"count": [1.0] * 51}), parquet)
    monkeypatch.setattr("services.gateway.tables.arrow_tables.ParquetTable.blocks", None)
    async with gateway(redis_url, store, tmp_path, gateway_max_job_rows=50) as gate:
        answer = await gate.submit(parquet.getvalue(), "application/vnd.apache.parquet")
        assert problem(answer) == "413 too-many-rows"


async def test_the_documentation_names_every_option(gate: Gateway) -> None:
    operation = (await gate.client.get("/openapi.json")).json()["paths"]["/jobs"]["post"]
    named = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"}
    assert named == {"version", "priority", "deadline", "passthrough", "webhook"}
    assert {"403", "404", "409", "422", "429"} <= set(operation["responses"])
