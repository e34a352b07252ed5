"""What holds for every request, whatever its route."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.edge import Edge
from services.gateway.tally import Tally
from tests.waiting import eventually


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    if request.url.path == "/fails":
        raise RuntimeError("secret")
    response: Response = PlainTextResponse(request.state.request_id)
    await response(scope, receive, send)


def a_client(
    app: ASGIApp, tally: Tally | None = None, max_requests: int = 10, max_waiting: int = 10
) -> httpx.AsyncClient:
    edge = Edge(app, tally or Tally(), max_requests, max_waiting)
    return httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://gateway")


def counts(state: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def answer() -> bool:
        return state()

    return answer


async def test_a_sane_request_id_is_taken_and_answered() -> None:
    async with a_client(echo) as client:
        answer = await client.get("/", headers={"X-Request-Id": "order-7/a"})
    assert answer.headers["X-Request-Id"] == answer.text == "order-7/a"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, '"quoted"', "<script>"])
async def test_another_request_id_is_replaced(given: str) -> None:
    async with a_client(echo) as client:
        answer = await client.get("/", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] == answer.text != given


async def test_generated_ids_differ() -> None:
    async with a_client(echo) as client:
        ids = {(await client.get("/")).text for _ in range(100)}
    assert len(ids) == 100


async def test_an_error_of_ours_is_a_problem_without_internals() -> None:
    tally = Tally()
    async with a_client(echo, tally) as client:
        answer = await client.get("/fails", headers={"X-Request-Id": "id"})
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"] == "id"
    assert "secret" not in answer.text
    assert tally.requests == {("unmatched", "GET", 500): 1}
    assert tally.in_flight == 0


async def test_requests_beyond_the_limit_are_refused_but_health_is_answered() -> None:
    release = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await release.wait()
        await echo(scope, receive, send)

    async with a_client(slow, max_requests=1) as client:
        waiting = asyncio.create_task(client.get("/slow"))
        await asyncio.sleep(0)
        refused = await client.get("/")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert json.loads(refused.content)["type"] == "/problems/overloaded"
        assert (await client.get("/health/live")).status_code == 200
        release.set()
        assert (await waiting).status_code == 200
        assert (await client.get("/")).status_code == 200


async def test_those_that_only_wait_never_take_the_places_of_predictions() -> None:
    release = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/predict":
            await release.wait()
        await echo(scope, receive, send)

    tally = Tally()
    async with a_client(slow, tally, max_requests=1, max_waiting=2) as client:
        waiting = [asyncio.create_task(client.get(url)) for url in ("/jobs/1?wait=30", "/jobs/1/events")]
        await eventually(counts(lambda: tally.waiting == 2))
        assert (await client.post("/predict")).status_code == 200
        refused = await client.get("/jobs/2?wait=30")
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/overloaded")
        working = asyncio.create_task(client.get("/jobs"))
        await eventually(counts(lambda: tally.in_flight == 3))
        assert (await client.post("/predict")).status_code == 503
        release.set()
        assert {(await task).status_code for task in (*waiting, working)} == {200}
    assert (tally.in_flight, tally.waiting) == (0, 0)


async def test_methods_and_paths_cannot_fill_the_metrics() -> None:
    tally = Tally()
    async with a_client(echo, tally) as client:
        for n in range(5):
            await client.request(f"METHOD{n}", f"/path/{n}")
    assert tally.requests == {("unmatched", "other", 200): 5}
