"""Guarantee 3: all rows of a job are scored by the version in service at its submission, whatever is promoted since."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from shared import artifact
from shared.engine import load_model
from shared.store import Store
from tests.artifacts import a_champion, an_artifact
from tests.integration.test_gateway_process import a_process, announced
from tests.integration.test_jobs_http_process import rows_of
from tests.integration.test_promotion import Place, quiet
from tests.pipelines import a_table
from tests.redis_server import RedisServer
from tests.scorers import Fleet, ready_scorers
from tests.waiting import eventually

ROWS = 2_000
FORGETFUL = {"models_in_memory": 1}  # every promotion throws the job's version out


@pytest.fixture
async def place(tmp_path: Path, redis_server: RedisServer) -> AsyncIterator[Place]:
    place = Place(tmp_path, redis_server.url)
    await a_champion(place.store)
    for version in ("2", "3"):
        await an_artifact(place.store, version=version, seed=int(version))
    yield place
    await place.redis.aclose()


async def scorers(place: Place, count: int) -> None:
    async def enough() -> bool:
        return len(await ready_scorers(place.redis)) == count

    await eventually(enough)


async def predictions(store: Store, version: str) -> list[float]:
    model = load_model(await artifact.fetch(store, "model", version))
    found: list[float] = model.predict(np.array([model.encoder.encode(row) for row in rows_of(a_table(ROWS))])).tolist()
    return found


class Client:
    """Submits the table, and reads what became of it."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._body = "\n".join(map(json.dumps, rows_of(a_table(ROWS)))).encode()

    async def serves(self, version: str) -> None:
        async def served() -> bool:
            return bool((await self._http.get("/model/info")).json()["version"] == version)

        await eventually(served)

    async def submit(self) -> dict[str, Any]:
        headers = {"Content-Type": "application/x-ndjson"}
        job: dict[str, Any] = (await self._http.post("/jobs", content=self._body, headers=headers)).json()
        return job

    async def job(self, job: dict[str, Any], wait: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = (await self._http.get(job["links"]["self"], params={"wait": wait})).json()
        return found

    async def begun(self, job: dict[str, Any]) -> None:
        async def some_done() -> bool:
            return bool((await self.job(job))["rows"]["done"])

        await eventually(some_done)

    async def in_work(self, job: dict[str, Any]) -> bool:
        return bool(0 < (await self.job(job))["rows"]["done"] < ROWS)

    async def results(self, job: dict[str, Any]) -> list[float]:
        lines = (await self._http.get(job["links"]["results"])).text.splitlines()
        records = [json.loads(line) for line in lines]
        assert [record["index"] for record in records] == list(range(ROWS))
        return [record["prediction"] for record in records]


async def test_a_job_keeps_its_version_through_promotions(
    place: Place, redis_server: RedisServer, tmp_path: Path
) -> None:
    gateway = a_process(tmp_path, redis_server.url, place.store, gateway_chunk_rows=50)
    with gateway, Fleet(tmp_path, redis_server.url, place.store) as fleet:
        victim, _ = (fleet.start(scorer_max_rows_per_second=50, **FORGETFUL) for _ in range(2))
        async with httpx.AsyncClient(base_url=(await announced(place.redis)).address, timeout=120) as http:
            await scorers(place, 2)
            client = Client(http)
            first = await client.submit()
            await client.begun(first)
            await place.promoter().promote("2", "better", quiet)
            await client.serves("2")
            second = await client.submit()
            await place.promoter().promote("3", "better still", quiet)
            await client.serves("3")
            victim.kill()
            await client.begun(second)
            # It has never served what the jobs were submitted with.
            newcomer = fleet.start(scorer_max_rows_per_second=400, **FORGETFUL)

            async def at_work() -> bool:
                return newcomer.pid in {replica.pid for replica in await ready_scorers(place.redis)}

            await eventually(at_work)
            assert await client.in_work(first), "the promotions have to land inside the job"
            for job, version in ((first, "1"), (second, "2")):
                ended = await client.job(job, wait=100)
                assert (ended["state"], ended["model_version"]) == ("completed", version)
                assert await client.results(job) == await predictions(place.store, version)
    assert await predictions(place.store, "1") != await predictions(place.store, "2")
