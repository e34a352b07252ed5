"""From the row that an engine fails over to its prediction: a gateway, and real scorers whose engine is mended."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.store import Store
from tests.faulty import Faults
from tests.integration.by_hand import Gateway, gateway, ready_store
from tests.scorers import Fleet
from tests.waiting import eventually

pytestmark = [pytest.mark.delivery, pytest.mark.slow, pytest.mark.timeout(300)]

POISON = {"count": 17, "length": 10.5, "weight": 2.0, "place": "atlantis", "grade": "a"}
FAULTS = Faults(raise_at=-1.0)  # the first feature is the place, and this one training did not see


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    return await ready_store(tmp_path)


def rows(count: int, poison: int) -> bytes:
    sound = POISON | {"place": "north"}
    return "\n".join(json.dumps(POISON if row == poison else sound) for row in range(count)).encode()


async def ended(gate: Gateway, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the results of a job when it has completed."""

    async def completed() -> bool:
        found = (await gate.client.get(f"{job['links']['self']}?wait=5")).json()
        return bool(found["state"] == "completed")

    await eventually(completed)
    return [json.loads(line) for line in (await gate.client.get(job["links"]["results"])).text.splitlines()]


async def test_a_row_that_the_engine_failed_over_is_scored_when_the_engine_is_mended(
    redis_url: str, store: Store, tmp_path: Path, fleet: Fleet
) -> None:
    faulty = fleet.start(FAULTS)
    async with gateway(redis_url, store, tmp_path, gateway_chunk_rows=10) as gate:
        job = await gate.submitted(rows(40, poison=17), "application/x-ndjson")
        results = await ended(gate, job)
        assert [result["index"] for result in results if "error" in result] == [17]
        (letter,) = (await gate.client.get("/dead-letters")).json()["dead_letters"]
        assert letter["id"] == f"{job['id']}:17"
        shown = (await gate.client.get(letter["links"]["self"])).json()
        assert shown["instances"] == [POISON | {"place": None}]
        assert [(warned["field"], warned["code"]) for warned in shown["warnings"]] == [("place", "unknown_category")]

        again = (await gate.client.post("/dead-letters/redrive", json={"all": True})).json()
        (result,) = await ended(gate, again)
        assert result["error"]["code"] == "poison"  # nothing has changed yet
        assert (result["job"], result["row"]) == (job["id"], 17)

        faulty.kill()
        fleet.start()
        last = (await gate.client.post("/dead-letters/redrive", json={"job": again["id"]})).json()
        (result,) = await ended(gate, last)
        predicted = (await gate.client.post("/predict", json=POISON)).json()["prediction"]
        assert (result["prediction"], result["job"], result["row"]) == (predicted, again["id"], 0)
        assert (await gate.client.get("/dead-letters")).json()["dead_letters"] == []
