"""Submitting jobs over HTTP, on a real server and store: what is accepted, what is refused, and what it costs."""

import gzip
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from shared.chunks import decode_chunk
from shared.jobs import JobSpec
from shared.records import read_spec
from shared.scripts import JobQueue, Submitted
from shared.store import Store
from tests.integration.by_hand import Gateway, HandScorer, a_csv, expected, gateway, problem, ready_store
from tests.redis_server import RedisServer


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    return await ready_store(tmp_path)


def in_every_format(rows: int) -> list[tuple[str, bytes]]:
    table = pacsv.read_csv(io.BytesIO(a_csv(rows)))
    parquet, arrow = io.BytesIO(), pa.BufferOutputStream()
    pq.write_table(table, parquet)
    with pa.ipc.new_stream(arrow, table.schema) as writer:
        writer.write_table(table)
    records = table.to_pylist()
    lines = "\n".join(map(json.dumps, records)).encode()
    return [
        ("text/csv; charset=utf-8", a_csv(rows)),
        ("application/json", json.dumps({"instances": records}).encode()),
        ("application/x-ndjson", lines),
        ("application/jsonl", lines),
        ("application/vnd.apache.parquet", parquet.getvalue()),
        ("application/vnd.apache.arrow.stream", arrow.getvalue().to_pybytes()),
    ]


@pytest.mark.parametrize(("content_type", "body"), in_every_format(25))
async def test_a_table_of_any_format_is_scored_row_by_row(
    gate: Gateway, hand: HandScorer, content_type: str, body: bytes
) -> None:
    answer = await gate.submit(body, content_type)
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert answer.headers["retry-after"]
    assert (job["state"], job["rows"]) == ("queued", {"total": 25, "done": 0, "failed": 0})
    assert (job["model_name"], job["model_version"]) == ("model", "1")
    await hand.work()
    results = await gate.client.get(job["links"]["results"])
    assert [json.loads(line) for line in results.text.splitlines()] == expected(25)


async def test_the_input_lies_in_the_store_as_chunks_of_the_set_size(gate: Gateway, store: Store) -> None:
    job = await gate.submitted(a_csv(25, row_12="?,1,2,north,a", row_24="1,2"))
    spec = await read_spec(store, job["id"])
    assert (spec.rows, spec.chunks, spec.chunk_rows) == (25, 3, 10)
    data = await store.get(spec.input_key)
    assert len(data) == spec.input_offsets[-1]
    offsets = zip(spec.input_offsets, spec.input_offsets[1:], strict=False)
    chunks = [decode_chunk(data[start:end]) for start, end in offsets]
    assert [(chunk.start, chunk.rows) for chunk in chunks] == [(0, 10), (10, 10), (20, 5)]
    assert [(e.index, e.field, e.code) for chunk in chunks for e in chunk.errors] == [
        (12, "count", "not_a_number"),
        (24, "", "malformed"),
    ]


async def test_columns_that_the_model_does_not_know_are_listed(gate: Gateway) -> None:
    job = await gate.submitted(b"id,count,note\n1,2,x\n")
    assert job["ignored_columns"] == ["id", "note"]
    assert (await gate.job(job))["ignored_columns"] == ["id", "note"]


@pytest.mark.parametrize("coding", ["gzip", "zstd", "identity"])
async def test_bodies_may_be_compressed(gate: Gateway, coding: str) -> None:
    plain = a_csv(30)
    half = len(plain) // 2
    body = {
        "gzip": gzip.compress(plain[:half]) + gzip.compress(plain[half:]),
        "zstd": pa.Codec("zstd").compress(plain).to_pybytes(),
        "identity": plain,
    }[coding]
    job = await gate.submitted(body, Content_Encoding=coding)
    assert job["rows"]["total"] == 30


REFUSALS: list[tuple[bytes, str, dict[str, str], str, str]] = [
    (b"count\n1\n", "text/plain", {}, "415 unsupported-media-type", "text/csv"),
    (b"count\n1\n", "", {}, "415 unsupported-media-type", "application/vnd.apache.parquet"),
    (b"count\n1\n", "text/csv; charset=latin-1", {}, "415 unsupported-media-type", "UTF-8"),
    (b"count\n1\n", "text/csv", {"Content_Encoding": "br"}, "415 unsupported-media-type", "gzip"),
    (b"count\n1\n", "text/csv", {"Content_Encoding": "gzip"}, "400 malformed-body", "gzip"),
    (gzip.compress(b"count\n1\n")[:-3], "text/csv", {"Content_Encoding": "gzip"}, "400 malformed-body", "gzip"),
    (b"count\n1\n", "text/csv", {"Content_Encoding": "zstd"}, "400 malformed-body", "zstd"),
    (b"", "text/csv", {}, "422 empty-table", "at least one row"),
    (b"count\n", "text/csv", {}, "422 empty-table", "at least one row"),
    (b"", "application/x-ndjson", {}, "422 empty-table", "at least one row"),
    (b'{"instances":[]}', "application/json", {}, "422 empty-table", "at least one row"),
    (b'{"rows":[]}', "application/json", {}, "422 invalid-body", "instances"),
    (b'{"instances":[', "application/json", {}, "400 malformed-body", "line 1, column 15"),
    (b"", "application/json", {}, "400 malformed-body", "line 1, column 1"),
    (b"no\nJSON\n", "application/jsonl", {}, "400 malformed-body", "line 1, column 1"),
    (b"length,weight\n1,2\n", "text/csv", {}, "422 missing-column", "count"),
    (b"count,count\n1,2\n", "text/csv", {}, "400 malformed-body", "more than once"),
    (b"PAR1", "application/vnd.apache.parquet", {}, "400 malformed-body", "Parquet"),
    (b"", "application/vnd.apache.arrow.stream", {}, "400 malformed-body", "Arrow"),
    (b"count\n1\n", "text/csv", {"Idempotency_Key": " "}, "400 malformed-request", "Idempotency-Key"),
    (b"count\n1\n", "text/csv", {"Idempotency_Key": "k" * 256}, "400 malformed-request", "255"),
]


async def test_what_cannot_be_scored_is_refused_and_leaves_nothing(gate: Gateway, store: Store) -> None:
    for body, content_type, headers, expected_problem, words in REFUSALS:
        answer = await gate.submit(body, content_type, **headers)
        assert problem(answer) == expected_problem, (body, content_type, answer.text)
        assert words in answer.json()["detail"]
    assert [key async for key in store.list("jobs")] == []
    assert (await gate.client.get("/jobs")).json()["jobs"] == []


async def test_missing_columns_are_named_by_pointer(gate: Gateway) -> None:
    answer = await gate.submit(b"length\n1\n")
    assert answer.json()["errors"] == [{"pointer": "/count", "code": "missing", "detail": "is required"}]


async def test_limits_answer_413(redis_url: str, store: Store, tmp_path: Path) -> None:
    limits = {"gateway_max_job_bytes": 2000, "gateway_max_document_bytes": 1000, "gateway_max_job_rows": 50}

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"1\n" * 100

    async with gateway(redis_url, store, tmp_path, **limits) as gate:
        assert problem(await gate.submit(b"count\n" + b"1\n" * 51)) == "413 too-many-rows"
        assert problem(await gate.submit(b"count\n" + b"1\n" * 5000)) == "413 payload-too-large"
        streamed = await gate.client.post("/jobs", content=pieces(), headers={"Content-Type": "text/csv"})
        assert problem(streamed) == "413 payload-too-large"
        bomb = gzip.compress(b"count\n" + b"1\n" * 100_000)
        assert problem(await gate.submit(bomb, Content_Encoding="gzip")) == "413 payload-too-large"
        document = b'{"instances":[' + b'{"count":1},' * 90 + b'{"count":1}]}'
        assert problem(await gate.submit(document, "application/json")) == "413 payload-too-large"
        assert (await gate.submit(b"count\n" + b"1\n" * 50)).status_code == 202


async def test_a_body_that_is_too_long_is_refused_before_it_is_read(
    redis_url: str, store: Store, tmp_path: Path
) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    async with gateway(redis_url, store, tmp_path, gateway_max_job_bytes=10) as gate:
        headers = {"Content-Type": "text/csv", "Content-Length": "11"}
        assert problem(await gate.client.post("/jobs", content=never(), headers=headers)) == "413 payload-too-large"


async def test_a_full_backlog_answers_429_until_there_is_room(
    redis_url: str, store: Store, tmp_path: Path, hand: HandScorer
) -> None:
    async with gateway(redis_url, store, tmp_path, gateway_max_backlog_rows=30) as gate:
        await gate.submitted(a_csv(20))
        refused = await gate.submit(a_csv(20))
        assert problem(refused) == "429 over-quota"
        assert int(refused.headers["retry-after"]) > 0
        await gate.submitted(a_csv(10))
        assert problem(await gate.submit(a_csv(1))) == "429 over-quota"
        jobs = {key.split("/")[1] async for key in store.list("jobs")}
        assert len(jobs) == 2, "a refused job leaves nothing behind"
        await hand.work()
        await gate.submitted(a_csv(20))


async def test_without_a_model_or_redis_the_answer_is_503(
    redis_server: RedisServer, store: Store, tmp_path: Path
) -> None:
    empty = Store.open((tmp_path / "empty").as_uri())
    async with gateway(redis_server.url, empty, tmp_path) as gate:
        answer = await gate.submit(a_csv(1))
        assert problem(answer) == "503 no-model"
        assert answer.headers["retry-after"]
    async with gateway(redis_server.url, store, tmp_path) as gate:
        redis_server.kill()
        answer = await gate.submit(a_csv(1))
        assert problem(answer) == "503 redis-unavailable"
        assert answer.headers["retry-after"]
        redis_server.start()
        await gate.submitted(a_csv(1))


async def test_a_job_that_somebody_else_was_faster_to_submit_keeps_its_input(
    gate: Gateway, hand: HandScorer, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The janitor, or a repeat of the request, may find the spec before its writer has told Redis."""
    submit = JobQueue.submit

    async def overtaken(self: JobQueue, spec: JobSpec, window: int, *limits: int) -> Submitted:
        await submit(queue, spec, window)
        return await submit(self, spec, window, *limits)

    monkeypatch.setattr(JobQueue, "submit", overtaken)
    job = await gate.submitted(a_csv(30))
    await hand.work()
    assert (await gate.job(job))["state"] == "completed"


async def test_the_documentation_tells_of_every_format(gate: Gateway) -> None:
    paths = (await gate.client.get("/openapi.json")).json()["paths"]
    submit = paths["/jobs"]["post"]
    assert {"text/csv", "application/x-ndjson", "application/vnd.apache.parquet"} <= set(
        submit["requestBody"]["content"]
    )
    assert {"202", "400", "413", "415", "422", "429", "503"} <= set(submit["responses"])
    assert "text/csv" in str(paths["/jobs/{id}/results"]["get"]["responses"]["200"]["content"])
    assert {"get", "delete"} <= set(paths["/jobs/{id}"])
