"""Dead letters over HTTP, on a real server and store: listing, looking into them, dropping them, scoring them again."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.jobs import DeadLetter
from shared.keys import SCORERS_GROUP, Keys, job_path
from shared.records import read_spec
from shared.scripts import Held, JobQueue
from shared.store import Store
from tests.artifacts import an_artifact
from tests.integration.by_hand import Gateway, HandScorer, a_csv, gateway, problem, ready_store
from tests.redis_server import RedisServer

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    return await ready_store(tmp_path)


async def died(gate: Gateway, hand: HandScorer, *counts: int, body: bytes | None = None) -> str:
    """Return a finished job of which these rows are dead."""
    job = await gate.submitted(a_csv(25) if body is None else body)
    hand.poison = frozenset(map(float, counts))
    await hand.work()
    hand.poison = frozenset()
    return str(job["id"])


async def listed(gate: Gateway, **parameters: str) -> list[str]:
    answer = (await gate.client.get("/dead-letters", params=parameters)).raise_for_status().json()
    return [letter["id"] for letter in answer["dead_letters"]]


async def redriven(gate: Gateway, order: dict[str, Any], query: str = "") -> dict[str, Any]:
    answer = await gate.client.post(f"/dead-letters/redrive{query}", json=order)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    return job


async def results(gate: Gateway, job: dict[str, Any]) -> list[dict[str, Any]]:
    text = (await gate.client.get(job["links"]["results"])).raise_for_status().text
    return [json.loads(line) for line in text.splitlines()]


# --- looking


async def test_letters_are_listed_the_newest_first_in_pages_and_by_job(gate: Gateway, hand: HandScorer) -> None:
    first = await died(gate, hand, 3, 17)
    second = await died(gate, hand, 5)
    newest, *others = await listed(gate)
    assert (newest, set(others)) == (f"{second}:5", {f"{first}:3", f"{first}:17"})
    assert sorted(await listed(gate, job=first)) == [f"{first}:17", f"{first}:3"]
    paged, cursor = [], ""
    for _ in range(3):
        page = (await gate.client.get(f"/dead-letters?limit=1{cursor}")).json()
        paged += [letter["id"] for letter in page["dead_letters"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert paged == await listed(gate)
    assert page["next_cursor"] is None
    letter = page["dead_letters"][0]
    assert (letter["job"], letter["rows"], letter["deaths"], letter["reason"]) == (first, 1, 2, "killed")
    assert letter["links"]["job"] == f"/jobs/{first}"


async def test_a_letter_shows_the_values_that_died(gate: Gateway, hand: HandScorer) -> None:
    job = await died(gate, hand, 7, body=a_csv(25, row_7="7,1e9,,atlantis,a"))
    shown = (await gate.client.get(f"/dead-letters/{job}:7")).raise_for_status().json()
    assert shown["instances"] == [{"count": 7.0, "length": 1e9, "weight": None, "place": None, "grade": "a"}]
    assert {(warned["index"], warned["field"], warned["code"]) for warned in shown["warnings"]} == {
        (0, "length", "out_of_range"),
        (0, "place", "unknown_category"),
    }
    assert (shown["model_version"], shown["row"], shown["detail"]) == ("1", 7, "")


async def test_a_letter_without_its_input_still_says_why_it_died(gate: Gateway, hand: HandScorer, store: Store) -> None:
    job = await died(gate, hand, 7)
    await store.delete((await read_spec(store, job)).input_key)
    shown = (await gate.client.get(f"/dead-letters/{job}:7")).raise_for_status().json()
    assert (shown["reason"], shown["instances"]) == ("killed", None)
    assert "cannot be read any more" in shown["detail"]
    refused = await gate.client.post("/dead-letters/redrive", json={"job": job})
    assert problem(refused) == "410 input-gone"
    assert refused.json()["errors"][0]["detail"].startswith(f"dead letter {job}:7")
    assert await listed(gate) == [f"{job}:7"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("?cursor=x", "422 invalid-parameter"),
        ("?cursor=" + "9" * 400 + "~x", "422 invalid-parameter"),
        ("?limit=0", "422 invalid-parameter"),
        ("/nothing", "404 dead-letter-not-found"),
        ("/01890000-0000-7000-8000-000000000000:3", "404 dead-letter-not-found"),
    ],
)
async def test_what_cannot_be_shown_is_refused(gate: Gateway, path: str, expected: str) -> None:
    assert problem(await gate.client.get(f"/dead-letters{path}")) == expected


async def test_without_redis_it_says_so(redis_server: RedisServer, store: Store, tmp_path: Path) -> None:
    async with gateway(redis_server.url, store, tmp_path) as gate:
        redis_server.kill()
        for answer in (
            await gate.client.get("/dead-letters"),
            await gate.client.get("/dead-letters/x:1"),
            await gate.client.delete("/dead-letters?job=x"),
            await gate.client.post("/dead-letters/redrive", json={"all": True}),
        ):
            assert problem(answer) == "503 redis-unavailable"
            assert answer.headers["retry-after"]


# --- dropping


async def test_dropped_letters_leave_the_list_and_not_the_results(gate: Gateway, hand: HandScorer) -> None:
    job = await died(gate, hand, 3, 4, 5)
    other = await died(gate, hand, 3)
    assert (await gate.client.delete(f"/dead-letters/{job}:4")).status_code == 204
    assert problem(await gate.client.get(f"/dead-letters/{job}:4")) == "404 dead-letter-not-found"
    assert problem(await gate.client.delete(f"/dead-letters/{job}:4")) == "404 dead-letter-not-found"
    assert (await gate.client.delete("/dead-letters", params={"job": job})).json() == {"dropped": 2}
    assert (await gate.client.delete("/dead-letters", params={"job": job})).json() == {"dropped": 0}
    assert problem(await gate.client.delete("/dead-letters")) == "422 invalid-parameter"
    assert await listed(gate) == [f"{other}:3"]
    errors = (await gate.client.get(f"/jobs/{job}/errors")).text.splitlines()
    assert [json.loads(line)["error"]["code"] for line in errors] == ["poison"] * 3


# --- scoring again


async def test_redriven_rows_are_scored_as_a_new_job_and_say_where_they_come_from(
    gate: Gateway, hand: HandScorer
) -> None:
    first = await died(gate, hand, 3, 17)
    second = await died(gate, hand, 5)
    job = await redriven(gate, {"all": True})
    assert await listed(gate) == []
    assert (job["rows"]["total"], job["passthrough"], job["model_version"]) == (3, ["job", "row"], "1")
    await hand.work()
    assert await results(gate, job) == [
        {"index": 0, "prediction": 3.0, "job": first, "row": 3},
        {"index": 1, "prediction": 17.0, "job": first, "row": 17},
        {"index": 2, "prediction": 5.0, "job": second, "row": 5},
    ]


async def test_a_redriven_row_is_isolated_before_it_kills_anybody(
    gate: Gateway, hand: HandScorer, redis: Redis, queue: JobQueue
) -> None:
    job = await died(gate, hand, 7)
    again = await redriven(gate, {"ids": [f"{job}:7"]})
    found: Any = await redis.xreadgroup(SCORERS_GROUP, "one", {queue.keys.chunks: ">"}, count=1)
    entry, fields = found[0][1][0]
    begun = await queue.begin(Held("one", entry, again["id"], int(fields["chunk"])))
    assert (fields["job"], begun.answer, begun.suspect) == (again["id"], "ok", True)


async def test_a_row_that_dies_again_is_a_new_letter(gate: Gateway, hand: HandScorer) -> None:
    job = await died(gate, hand, 7)
    again = await redriven(gate, {"ids": [f"{job}:7"]})
    hand.poison = frozenset((7.0,))
    await hand.work()
    assert await listed(gate) == [f"{again['id']}:0"]


async def test_repeating_a_redrive_gives_the_same_job(
    gate: Gateway, hand: HandScorer, redis: Redis, store: Store
) -> None:
    job = await died(gate, hand, 7, 8)
    letters: Any = await redis.hgetall(Keys().dead_letter_bodies)
    ids = [f"{job}:8", f"{job}:7"]
    first = await redriven(gate, {"ids": ids})
    assert (await redriven(gate, {"ids": ids[::-1]}))["id"] == first["id"]  # the answer was lost
    await redis.hset(Keys().dead_letter_bodies, mapping=letters)  # the gateway died before they left the list
    await redis.zadd(Keys().dead_letters, dict.fromkeys(letters, 1))
    assert (await redriven(gate, {"job": job}))["id"] == first["id"]
    assert await listed(gate) == []
    together = await asyncio.gather(*(gate.client.post("/dead-letters/redrive", json={"ids": ids}) for _ in range(3)))
    assert {answer.json()["id"] for answer in together} == {first["id"]}
    await hand.work()
    inputs = [key async for key in store.list(f"jobs/{first['id']}") if "input-" in key]
    assert len(inputs) == 1


async def test_a_redrive_goes_on_where_a_gateway_died(gate: Gateway, hand: HandScorer, redis: Redis) -> None:
    """The spec is in the store, and Redis has not heard of the job."""
    job = await died(gate, hand, 7)
    first = await redriven(gate, {"ids": [f"{job}:7"]})
    await redis.delete(Keys().job(first["id"]))
    await redis.zrem(Keys().jobs, first["id"])
    again = await redriven(gate, {"ids": [f"{job}:7"]})
    assert again["id"] == first["id"]
    await hand.work()
    assert (await results(gate, again))[0]["prediction"] == 7.0


async def test_another_version_scores_what_fits_it(gate: Gateway, hand: HandScorer, redis: Redis, store: Store) -> None:
    await an_artifact(store, version="2", seed=3)
    job = await died(gate, hand, 7)
    letters: Any = await redis.hgetall(Keys().dead_letter_bodies)
    first = await redriven(gate, {"ids": [f"{job}:7"]})
    await redis.hset(Keys().dead_letter_bodies, mapping=letters)
    again = await redriven(gate, {"ids": [f"{job}:7"]}, "?version=2")
    assert again["id"] != first["id"]
    assert again["model_version"] == "2"
    await hand.work()
    assert (await results(gate, again))[0]["prediction"] == 7.0


async def test_a_chunk_that_was_given_up_keeps_its_bad_rows(gate: Gateway, hand: HandScorer, redis: Redis) -> None:
    job = await died(gate, hand, body=a_csv(14, row_10="x,1,2,north,a", row_12="x,1,2,north,a"))
    letter = DeadLetter(job_id=job, row=11, rows=3, chunk=1, reason="given up", deaths=20)
    await redis.hset(Keys().dead_letter_bodies, letter.id, letter.model_dump_json())
    await redis.zadd(Keys().dead_letters, {letter.id: 1})
    shown = (await gate.client.get(f"/dead-letters/{letter.id}")).json()
    assert [row and row["count"] for row in shown["instances"]] == [11.0, None, 13.0]
    again = await redriven(gate, {"ids": [letter.id]})
    await hand.work()
    first, second, third = await results(gate, again)
    assert (third["prediction"], third["row"]) == (13.0, 13)
    assert (first["prediction"], first["row"]) == (11.0, 11)
    assert (second["error"]["code"], second["error"]["field"], second["row"]) == ("not_a_number", "count", 12)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ({}, "422 invalid-body"),
        ({"ids": []}, "422 invalid-body"),
        ({"ids": ["a:1"], "all": True}, "422 invalid-body"),
        ({"ids": "a:1"}, "422 invalid-body"),
        ({"every": True}, "422 invalid-body"),
        ({"ids": ["a:1"]}, "404 dead-letter-not-found"),
        ({"job": "a"}, "404 dead-letter-not-found"),
        ({"all": True}, "404 dead-letter-not-found"),
    ],
)
async def test_an_order_that_means_nothing_is_refused(gate: Gateway, order: dict[str, Any], expected: str) -> None:
    assert problem(await gate.client.post("/dead-letters/redrive", json=order)) == expected


@pytest.mark.parametrize("version", ["9", "..", "../1", "1/../1", "%2e%2e", "x" * 300])
async def test_a_version_that_is_not_there_is_refused(gate: Gateway, hand: HandScorer, version: str) -> None:
    job = await died(gate, hand, 7)
    answer = await gate.client.post("/dead-letters/redrive", params={"version": version}, json={"job": job})
    assert problem(answer) == "404 version-not-found"
    assert await listed(gate) == [f"{job}:7"]


async def test_a_misspelt_option_is_refused(gate: Gateway, hand: HandScorer) -> None:
    job = await died(gate, hand, 7)
    answer = await gate.client.post("/dead-letters/redrive?verison=2", json={"job": job})
    assert problem(answer) == "422 invalid-parameter"
    assert await listed(gate) == [f"{job}:7"]


async def test_a_full_backlog_refuses_and_keeps_the_letters(
    redis_url: str, redis: Redis, store: Store, tmp_path: Path, hand: HandScorer
) -> None:
    async with gateway(redis_url, store, tmp_path, gateway_max_backlog_rows=30, gateway_chunk_rows=10) as gate:
        job = await died(gate, hand, 7)
        await gate.submitted(a_csv(30))
        refused = await gate.client.post("/dead-letters/redrive", json={"job": job})
        assert problem(refused) == "429 over-quota"
        assert refused.headers["retry-after"]
        assert await listed(gate) == [f"{job}:7"]
        await hand.work()
        again = await redriven(gate, {"job": job})
    left = [key async for key in store.list(f"jobs/{again['id']}")]
    assert sorted(left)[-1] == job_path(again["id"])
    assert len(left) == 2  # the refused attempt left no input behind
