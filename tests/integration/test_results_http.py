"""Reading results in pieces and again, over HTTP: cursors, tags, the manifest, what passed through, what is damaged."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn

from services.gateway.connection import GatewayProtocol
from shared.artifact import sha256
from shared.chunks import decode_part
from shared.records import read_record
from shared.store import Store
from tests.integration.by_hand import Gateway, HandScorer, a_csv, expected, problem, ready_store
from tests.waiting import eventually

CSV, PARQUET = {"Accept": "text/csv"}, {"Accept": "application/vnd.apache.parquet"}


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    return await ready_store(tmp_path)


async def finished(
    gate: Gateway, hand: HandScorer, body: bytes, content_type: str = "text/csv", query: str = ""
) -> Any:
    job = await gate.submitted(body, content_type, query)
    await hand.work()
    return (await gate.job(job))["links"]


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]


# --- in pieces


async def test_a_broken_download_goes_on_where_it_broke(gate: Gateway, hand: HandScorer) -> None:
    links = await finished(gate, hand, a_csv(25))
    rest = await gate.client.get(links["results"], params={"cursor": 13})
    assert lines(rest) == expected(25, first=13)
    assert rest.headers["tasador-rows"] == "12"
    assert "tasador-next-cursor" not in rest.headers
    parquet = await gate.client.get(links["results"], params={"cursor": 19, "limit": 2}, headers=PARQUET)
    assert pq.read_table(io.BytesIO(parquet.content)).column("index").to_pylist() == [19, 20]


async def test_pages_cover_everything_once(gate: Gateway, hand: HandScorer) -> None:
    bad = {f"row_{row}": "x,1,2,north,a" for row in (0, 7, 9, 10, 24)}
    links = await finished(gate, hand, a_csv(25, **bad))
    for name, rows in (("results", list(range(25))), ("errors", [0, 7, 9, 10, 24])):
        found, cursor = [], 0
        while cursor is not None:
            page = await gate.client.get(links[name], params={"cursor": cursor, "limit": 2})
            found += lines(page)
            assert int(page.headers["tasador-rows"]) == len(lines(page)) <= 2
            cursor = page.headers.get("tasador-next-cursor")
        assert [record["index"] for record in found] == rows


async def test_a_running_job_is_read_as_it_grows(gate: Gateway, hand: HandScorer) -> None:
    job = await gate.submitted(a_csv(25))
    path, found, cursor = job["links"]["results"], list[Any](), "0"
    for _ in range(3):
        answer = await gate.client.get(path, params={"cursor": cursor})
        found += lines(answer)
        assert (answer.headers["tasador-next-cursor"], answer.headers["tasador-partial"]) == (str(len(found)), "true")
        cursor = answer.headers["tasador-next-cursor"]
        await hand.work(1)
    await hand.work()
    last = await gate.client.get(path, params={"cursor": cursor})
    assert "tasador-next-cursor" not in last.headers
    assert found + lines(last) == expected(25)


async def test_a_cursor_beyond_the_end_is_refused_and_one_at_the_end_is_empty(gate: Gateway, hand: HandScorer) -> None:
    links = await finished(gate, hand, a_csv(25))
    at_the_end = await gate.client.get(links["results"], params={"cursor": 25})
    assert (at_the_end.status_code, at_the_end.text) == (200, "")
    for query in ("cursor=26", "cursor=-1", "cursor=x", "limit=0", f"cursor={10**30}"):
        assert problem(await gate.client.get(f"{links['results']}?{query}")) == "422 invalid-parameter"


async def test_csv_can_do_without_its_header(gate: Gateway, hand: HandScorer) -> None:
    links = await finished(gate, hand, a_csv(3))
    first = await gate.client.get(links["results"], params={"limit": 1}, headers=CSV)
    rest = await gate.client.get(links["results"], params={"cursor": 1}, headers={"Accept": "text/csv; header=absent"})
    assert first.text + rest.text == (await gate.client.get(links["results"], headers=CSV)).text
    assert rest.headers["content-type"].endswith("header=absent")


# --- again


async def test_head_tells_what_get_would(gate: Gateway, hand: HandScorer) -> None:
    links = await finished(gate, hand, a_csv(25, row_3="x,1,2,north,a"))
    for name in ("results", "errors"):
        head, whole = [await gate.client.request(method, links[name], headers=CSV) for method in ("HEAD", "GET")]
        assert (head.status_code, head.content) == (200, b"")
        assert dict(head.headers) | {"x-request-id": ""} == dict(whole.headers) | {"x-request-id": ""}


async def test_a_tag_stands_for_the_bytes(gate: Gateway, hand: HandScorer) -> None:
    job = await gate.submitted(a_csv(25, row_3="x,1,2,north,a"))
    links = job["links"]
    await hand.work(2)
    running = (await gate.client.get(links["results"])).headers["etag"]
    await hand.work()
    answers = [
        await gate.client.get(links[name], params=params, headers=accept)
        for name in ("results", "errors")
        for params in ({}, {"cursor": 1}, {"limit": 5})
        for accept in (CSV, PARQUET, {})
    ]
    tags = [answer.headers["etag"] for answer in answers]
    other = await finished(gate, hand, a_csv(25, row_3="x,1,2,north,a", row_4="7,1,2,north,a"))
    tags.append((await gate.client.get(other["results"])).headers["etag"])
    assert len({*tags, running}) == len(tags) + 1, "each document has its own"
    assert all(tag.startswith('"') for tag in tags), "strong"
    for answer in answers:
        same = dict(answer.request.headers) | {"If-None-Match": answer.headers["etag"]}
        again = await gate.client.get(answer.url, headers=same)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])
        whole = await gate.client.get(answer.url, headers=same | {"If-None-Match": '"x"'})
        assert whole.content == answer.content


async def test_a_document_without_records_has_another_tag_once_its_types_are_known(
    gate: Gateway, hand: HandScorer
) -> None:
    table, body = pa.table({"id": [1, 2], "count": [1.0, 2.0]}), io.BytesIO()
    pq.write_table(table, body)
    job = await gate.submitted(body.getvalue(), PARQUET["Accept"], "passthrough=id")
    before = await gate.client.get(job["links"]["errors"], headers=PARQUET)
    await hand.work()
    after = await gate.client.get(job["links"]["errors"], headers=PARQUET)
    schemas = [pq.read_schema(io.BytesIO(answer.content)) for answer in (before, after)]
    assert [schema.field("id").type for schema in schemas] == [pa.string(), pa.int64()]
    assert before.headers["etag"] != after.headers["etag"]


async def test_the_manifest_names_the_parts_and_how_to_prove_them(
    gate: Gateway, hand: HandScorer, store: Store
) -> None:
    job = await gate.submitted(a_csv(25, row_11="x,1,2,north,a"))
    path = job["links"]["manifest"]
    empty = (await gate.client.get(path)).json()
    assert (empty["state"], empty["partial"], empty["parts"]) == ("queued", True, [])
    await hand.work(2)
    growing = (await gate.client.get(path)).json()
    assert (growing["state"], growing["partial"], len(growing["parts"])) == ("running", True, 2)
    await hand.work()
    whole = (await gate.client.get(path)).json()
    assert whole["parts"][:2] == growing["parts"]
    assert (whole["partial"], whole["rows"]) == (False, {"total": 25, "done": 25, "failed": 1})
    assert [(p["first_row"], p["rows"], p["failed"]) for p in whole["parts"]] == [(0, 10, 0), (10, 10, 1), (20, 5, 0)]
    for part in whole["parts"]:
        data = await store.get(part["key"])
        assert sha256(data) == part["sha256"]
        assert decode_part(data).column("index")[0].as_py() == part["first_row"]
    assert len(whole["model_digest"]) == 64


# --- what passes through


async def test_json_passes_through_to_every_format(gate: Gateway, hand: HandScorer) -> None:
    rows: list[dict[str, Any]] = [
        {"count": i, "length": 10.5, "weight": 2, "place": "north", "grade": "a"} for i in range(25)
    ]
    rows[3]["count"] = "x"
    for i, row in enumerate(rows):
        row.update({"id": i, "name": f"n{i}"} if i != 5 else {})
    body = "\n".join(map(json.dumps, rows)).encode()
    links = await finished(gate, hand, body, "application/x-ndjson", "passthrough=name,id,count")
    found = lines(await gate.client.get(links["results"]))
    names = [{name: row.get(name) for name in ("name", "id", "count")} for row in rows]
    assert [{name: record[name] for name in ("name", "id", "count")} for record in found] == names
    assert [record["index"] for record in found] == list(range(25))
    header, *records = csv.reader(io.StringIO((await gate.client.get(links["results"], headers=CSV)).text))
    assert header[5:] == ["name", "id", "count"]
    assert [record[5:] for record in records[3:6]] == [["n3", "3", "x"], ["n4", "4", "4"], ["", "", "5"]]
    (error,) = lines(await gate.client.get(links["errors"]))
    assert (error["index"], error["error"]["field"], error["id"], error["name"]) == (3, "count", 3, "n3")


async def test_types_pass_through_from_parquet_to_parquet(gate: Gateway, hand: HandScorer) -> None:
    table = pa.table(
        {
            "count": [1.0, 2.0],
            **{"length": [1.0] * 2, "weight": [1.0] * 2, "place": ["north"] * 2, "grade": ["a"] * 2},
            "id": pa.array([7, None], pa.uint16()),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    links = await finished(gate, hand, sink.getvalue(), "application/vnd.apache.parquet", "passthrough=id")
    found = pq.read_table(io.BytesIO((await gate.client.get(links["results"], headers=PARQUET)).content))
    assert (found.schema.field("id").type, found.column("id").to_pylist()) == (pa.uint16(), [7, None])
    nothing = pq.read_table(io.BytesIO((await gate.client.get(links["errors"], headers=PARQUET)).content))
    assert (nothing.schema, nothing.num_rows) == (found.schema, 0)


async def test_columns_are_named_before_there_is_a_row(gate: Gateway) -> None:
    job = await gate.submitted(b"id," + a_csv(1).replace(b"\n0", b"\n7,0"), query="passthrough=id")
    answer = await gate.client.get(job["links"]["results"], headers=CSV)
    assert answer.text == "index,prediction,error_field,error_code,error_detail,id\n"
    assert (job["passthrough"], job["ignored_columns"]) == (["id"], [])


async def test_a_column_that_is_not_there_cannot_pass_through(gate: Gateway) -> None:
    for name in ("nope", "prediction", ""):
        assert problem(await gate.submit(a_csv(1), "text/csv", f"passthrough={name},{name}")) == "422 invalid-parameter"
    refused = await gate.submit(a_csv(1), "text/csv", "passthrough=nope")
    assert refused.json()["errors"][0]["pointer"] == "#/query/passthrough"
    assert "'nope'" in refused.json()["detail"]


# --- what is damaged


@asynccontextmanager
async def served(gate: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """The gateway behind a socket, with its own protocol."""
    ours: Any = {"http": GatewayProtocol, "interface": "asgi3"}
    server = uvicorn.Server(uvicorn.Config(gate.app, port=0, lifespan="off", log_config=None, **ours))
    task = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started

    await eventually(started)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield client
    server.should_exit = True
    await task


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/csv", "application/vnd.apache.parquet"])
@pytest.mark.parametrize("damage", ["altered", "missing"])
async def test_a_client_sees_that_a_damaged_part_broke_the_transfer(
    gate: Gateway, hand: HandScorer, store: Store, accept: str, damage: str
) -> None:
    job = await gate.submitted(a_csv(25))
    await hand.work()
    record = await read_record(store, job["id"])
    assert record is not None
    key = record.parts[1].key
    await (store.put(key, (await store.get(key))[:-1] + b"x") if damage == "altered" else store.delete(key))
    async with served(gate) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(job["links"]["results"], headers={"Accept": accept})
        rest = await client.get(job["links"]["results"], params={"cursor": 20})
        assert lines(rest) == expected(25, first=20)
