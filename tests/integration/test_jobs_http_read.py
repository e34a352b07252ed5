"""Following, cancelling and reading jobs over HTTP, on a real server and store."""

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis.asyncio import Redis

from shared.jobs import new_job_id
from shared.records import read_record
from shared.scripts import JobQueue
from shared.store import Store
from tests.integration.by_hand import Gateway, HandScorer, a_csv, expected, gateway, problem, ready_store
from tests.redis_server import RedisServer

OLD = "0184d5a0-0000-7000-8000-000000000000"  # of the year 2022


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    return await ready_store(tmp_path)


async def get(gate: Gateway, path: str, **headers: str) -> Any:
    return await gate.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def lines(answer: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]


# --- the state of a job


async def test_a_job_goes_from_queued_to_completed(gate: Gateway, hand: HandScorer) -> None:
    job = await gate.submitted(a_csv(25, row_3="x,1,2,north,a"))
    assert (await gate.job(job)) == job
    await hand.work(2)
    running = await gate.job(job)
    assert (running["state"], running["rows"]) == ("running", {"total": 25, "done": 20, "failed": 1})
    assert running["eta_seconds"] is not None
    await hand.work()
    answer = await get(gate, job["links"]["self"])
    finished = answer.json()
    assert (finished["state"], finished["rows"]) == ("completed", {"total": 25, "done": 25, "failed": 1})
    assert finished["finished_at"] >= finished["started_at"] >= finished["created_at"]
    assert "retry-after" not in answer.headers


async def test_a_tag_saves_the_answer_until_the_job_changes(gate: Gateway, hand: HandScorer) -> None:
    job = await gate.submitted(a_csv(25))
    path = job["links"]["self"]
    tag = (await get(gate, path)).headers["etag"]
    unchanged = await get(gate, path, If_None_Match=tag)
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tag)
    await hand.work(1)
    assert (await get(gate, path, If_None_Match=f'"other", {tag}')).status_code == 200


async def test_a_long_poll_answers_when_the_job_ends(gate: Gateway, hand: HandScorer) -> None:
    job = await gate.submitted(a_csv(25))
    path = job["links"]["self"]
    waiting = asyncio.create_task(get(gate, f"{path}?wait=60"))
    await hand.work(2)
    assert not waiting.done()
    await hand.work()
    assert (await waiting).json()["state"] == "completed"
    assert (await get(gate, f"{path}?wait=60")).json()["state"] == "completed"


async def test_a_long_poll_with_a_tag_answers_at_the_next_change(gate: Gateway, hand: HandScorer) -> None:
    job = await gate.submitted(a_csv(25))
    path = f"{job['links']['self']}?wait=60"
    tag = (await get(gate, job["links"]["self"])).headers["etag"]
    waiting = asyncio.create_task(get(gate, path, If_None_Match=tag))
    await hand.work(1)
    async with asyncio.timeout(30):  # less than the poll's own 60 s
        assert (await waiting).json()["state"] == "running"


async def test_a_long_poll_gives_up_in_time(gate: Gateway) -> None:
    job = await gate.submitted(a_csv(1))
    path = job["links"]["self"]
    assert (await get(gate, f"{path}?wait=0.1")).json()["state"] == "queued"
    tag = (await get(gate, path)).headers["etag"]
    assert (await get(gate, f"{path}?wait=0.1", If_None_Match=tag)).status_code == 304
    assert problem(await get(gate, f"{path}?wait=-1")) == "422 invalid-parameter"


async def test_a_method_that_there_is_not_is_answered_with_all_there_are(gate: Gateway) -> None:
    for path, methods in (("/jobs", "GET, POST"), ("/jobs/x", "DELETE, GET"), ("/jobs/x/results", "GET, HEAD")):
        answer = await gate.client.put(path)
        assert (problem(answer), answer.headers["allow"]) == ("405 method-not-allowed", methods)


@pytest.mark.parametrize("rest", ["", "/results", "/errors", "/events"])
async def test_unknown_jobs_are_404_and_old_ones_410(gate: Gateway, rest: str) -> None:
    for malformed in ("1", "x" * 300, "..%2f..", new_job_id().upper(), new_job_id().replace("-", "")):
        assert problem(await get(gate, f"/jobs/{malformed}{rest}")).startswith("404")
    assert problem(await get(gate, f"/jobs/{new_job_id()}{rest}")) == "404 job-not-found"
    assert problem(await get(gate, f"/jobs/{OLD}{rest}")) == "410 job-gone"


async def test_jobs_are_listed_newest_first_page_by_page(gate: Gateway, hand: HandScorer) -> None:
    jobs = [await gate.submitted(a_csv(1)) for _ in range(3)]
    await hand.work()
    jobs += [await gate.submitted(a_csv(1)) for _ in range(4)]
    newest_first = [job["id"] for job in reversed(jobs)]
    found: list[str] = []
    cursor = None
    while len(found) < 20:
        page = (await gate.client.get("/jobs", params={"limit": 3} | ({"cursor": cursor} if cursor else {}))).json()
        found += [job["id"] for job in page["jobs"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert found == newest_first
    completed = (await get(gate, "/jobs?state=completed&limit=2")).json()
    assert [job["id"] for job in completed["jobs"]] == newest_first[4:6]
    for query in ("cursor=x", "limit=0", "limit=9999", "state=odd"):
        assert problem(await get(gate, f"/jobs?{query}")) == "422 invalid-parameter"


async def test_events_tell_every_change_until_the_end(gate: Gateway, hand: HandScorer) -> None:
    job = await gate.submitted(a_csv(25))
    telling = asyncio.create_task(get(gate, job["links"]["events"]))
    await hand.work()
    answer = await telling
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert told[-1]["state"] == "completed"
    assert all(event["id"] == job["id"] for event in told)


# --- cancelling


async def test_a_cancelled_job_keeps_what_is_done(gate: Gateway, hand: HandScorer, queue: JobQueue) -> None:
    job = await gate.submitted(a_csv(45))
    await hand.work(2)
    cancelled = await gate.client.delete(job["links"]["self"])
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    again = await gate.client.delete(job["links"]["self"])
    assert again.json() == cancelled.json()
    await hand.work()
    assert await queue.backlog() == 0
    results = await get(gate, job["links"]["results"])
    assert lines(results) == expected(20)
    assert (results.headers["tasador-partial"], results.headers["tasador-rows"]) == ("true", "20")


async def test_cancelling_a_completed_job_changes_nothing(gate: Gateway, hand: HandScorer) -> None:
    job = await gate.submitted(a_csv(5))
    await hand.work()
    assert (await gate.client.delete(job["links"]["self"])).json()["state"] == "completed"
    assert problem(await gate.client.delete(f"/jobs/{new_job_id()}")) == "404 job-not-found"


# --- results


async def finished(gate: Gateway, hand: HandScorer) -> dict[str, Any]:
    job = await gate.submitted(a_csv(25, row_3="x,1,2,north,a", row_11="1,2"))
    await hand.work()
    return job


EXPECTED = expected(25)
EXPECTED[3] = {
    "index": 3,
    "error": {"field": "count", "code": "not_a_number", "detail": 'expected a number, got "x"'},
}
EXPECTED[11] = {"index": 11, "error": {"field": "", "code": "malformed", "detail": "expected 5 fields, found 2"}}


def flat(record: dict[str, Any]) -> tuple[Any, ...]:
    error = record.get("error", {})
    return (record["index"], record.get("prediction"), *(error.get(name) for name in ("field", "code", "detail")))


def read_arrow(content: bytes) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in pa.ipc.open_stream(content).read_all().to_pylist()]


def read_arrow_file(content: bytes) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in pa.ipc.open_file(content).read_all().to_pylist()]


def read_parquet(content: bytes) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in pq.read_table(io.BytesIO(content)).to_pylist()]


async def test_results_come_in_every_format(gate: Gateway, hand: HandScorer) -> None:
    path = (await finished(gate, hand))["links"]["results"]
    default = await get(gate, path)
    assert default.headers["content-type"] == "application/x-ndjson"
    assert default.headers["tasador-rows"] == "25"
    assert "tasador-partial" not in default.headers
    assert default.headers["content-disposition"].endswith('-results.ndjson"')
    assert lines(default) == EXPECTED
    assert (await get(gate, path, Accept="application/json")).json() == EXPECTED
    rows = list(csv.reader(io.StringIO((await get(gate, path, Accept="text/csv")).text)))
    assert rows[0] == ["index", "prediction", "error_field", "error_code", "error_detail"]
    assert rows[1:] == [["" if value is None else str(value) for value in flat(record)] for record in EXPECTED]
    for media_type, read in (("parquet", read_parquet), ("arrow.stream", read_arrow), ("arrow.file", read_arrow_file)):
        answer = await get(gate, path, Accept=f"application/vnd.apache.{media_type}")
        assert read(answer.content) == [flat(record) for record in EXPECTED]


async def test_errors_are_the_rows_in_error_alone(gate: Gateway, hand: HandScorer) -> None:
    path = (await finished(gate, hand))["links"]["errors"]
    answer = await get(gate, path)
    assert lines(answer) == [EXPECTED[3], EXPECTED[11]]
    assert answer.headers["tasador-rows"] == "2"
    assert (await get(gate, path, Accept="application/json")).json() == [EXPECTED[3], EXPECTED[11]]
    parquet = await get(gate, path, Accept="application/vnd.apache.parquet")
    assert len(read_parquet(parquet.content)) == 2


async def test_formats_that_we_do_not_have_are_406(gate: Gateway) -> None:
    job = await gate.submitted(a_csv(1))
    assert problem(await get(gate, job["links"]["results"], Accept="image/png")) == "406 not-acceptable"


async def test_a_running_job_shows_the_rows_before_the_first_gap(gate: Gateway, hand: HandScorer) -> None:
    job = await gate.submitted(a_csv(45))
    path = job["links"]["results"]
    nothing = await get(gate, path)
    assert (nothing.text, nothing.headers["tasador-partial"], nothing.headers["tasador-rows"]) == ("", "true", "0")
    assert (await get(gate, path, Accept="application/json")).json() == []
    assert read_parquet((await get(gate, path, Accept="application/vnd.apache.parquet")).content) == []
    await hand.work(3)
    partial = await get(gate, path)
    assert lines(partial) == expected(30)
    assert (partial.headers["tasador-partial"], partial.headers["retry-after"]) == ("true", "1")


async def test_a_part_that_was_altered_is_never_passed_on(gate: Gateway, hand: HandScorer, store: Store) -> None:
    job = await finished(gate, hand)
    record = await read_record(store, job["id"])
    assert record is not None
    await store.put(record.parts[1].key, await store.get(record.parts[0].key))
    answer = await get(gate, job["links"]["results"], Accept="application/json")
    assert not answer.text.endswith("]\n")


# --- without Redis's memory, and without Redis


async def test_a_job_that_redis_forgot_is_still_known(
    gate: Gateway, hand: HandScorer, redis: Redis, queue: JobQueue
) -> None:
    ended = await finished(gate, hand)
    unfinished = await gate.submitted(a_csv(25))
    cancelled = await gate.submitted(a_csv(25))
    await gate.client.delete(cancelled["links"]["self"])
    await hand.work(1)
    await redis.flushall()
    assert (await gate.job(ended))["state"] == "completed"
    assert lines(await get(gate, ended["links"]["results"])) == EXPECTED
    assert (await gate.job(cancelled))["state"] == "cancelled"
    waiting = await gate.job(unfinished)
    assert (waiting["state"], waiting["rows"]["done"]) == ("queued", 0)
    assert (await get(gate, unfinished["links"]["results"])).text == ""
    gone = await gate.client.delete(unfinished["links"]["self"])
    assert gone.json()["state"] == "cancelled"
    await redis.flushall()
    assert (await gate.job(unfinished))["state"] == "cancelled", "the store has recorded it"
    assert await queue.backlog() == 0


async def test_jobs_that_ended_long_ago_are_listed_from_the_store(
    gate: Gateway, hand: HandScorer, redis: Redis, queue: JobQueue
) -> None:
    done = [await finished(gate, hand) for _ in range(3)]
    waiting = await gate.submitted(a_csv(5))
    for job in done[:2]:
        await redis.delete(queue.keys.job(job["id"]))  # as it expires days after the end
    listed = (await get(gate, "/jobs")).json()["jobs"]
    assert [job["id"] for job in listed] == [waiting["id"], *(job["id"] for job in reversed(done))]
    assert listed[2:] == [await gate.job(done[1]), await gate.job(done[0])]
    for query, expected_ids in {
        "state=completed&limit=2": [done[2]["id"], done[1]["id"]],
        f"limit=2&cursor={done[2]['id']}": [done[1]["id"], done[0]["id"]],
        "state=queued": [waiting["id"]],
    }.items():
        assert [job["id"] for job in (await get(gate, f"/jobs?{query}")).json()["jobs"]] == expected_ids


async def test_without_redis_what_has_ended_is_told_and_nothing_else(
    redis_server: RedisServer, store: Store, tmp_path: Path
) -> None:
    async with gateway(redis_server.url, store, tmp_path, gateway_chunk_rows=10) as gate:
        redis = Redis.from_url(redis_server.url, decode_responses=True)
        ended = await finished(gate, HandScorer(redis, store))
        await redis.aclose()
        unfinished = await gate.submitted(a_csv(5))
        redis_server.kill()
        assert (await gate.job(ended))["state"] == "completed"
        assert lines(await get(gate, ended["links"]["results"])) == EXPECTED
        for path in (unfinished["links"]["self"], unfinished["links"]["results"], "/jobs"):
            assert problem(await get(gate, path)) == "503 redis-unavailable"
        assert problem(await gate.client.delete(unfinished["links"]["self"])) == "503 redis-unavailable"
        assert problem(await get(gate, f"/jobs/{new_job_id()}")) == "404 job-not-found"
        redis_server.start()
        assert (await gate.job(unfinished))["state"] == "queued"
