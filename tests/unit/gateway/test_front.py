"""`POST /predict` before the framework: the same answers as the route that is documented, whatever comes."""

import asyncio
import gc
import json
import re
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from services.gateway.answers import PredictReplies
from services.gateway.connection import GatewayProtocol
from services.gateway.edge import Edge
from services.gateway.errors import register_handlers
from services.gateway.exchange import ExchangingProtocol
from services.gateway.front import Front
from services.gateway.predict import SLOW_ROW_SECONDS, Predictor
from services.gateway.routes.predict import predict_router
from services.gateway.settings import GatewaySettings
from services.gateway.tally import Tally
from shared.follower import Serving
from tests.unit.gateway.connection import Connection
from tests.unit.gateway.fakes import Follower, Log, Sum, a_model
from tests.waiting import eventually

GOOD = json.dumps({"a": 1, "b": 2, "colour": "red"}).encode()
WARNED = json.dumps({"a": 11, "b": 2, "colour": "red"}).encode()
JSON = {"Content-Type": "application/json"}


class Failing(Sum):
    def run_row(self, row: Sequence[float]) -> float:
        raise RuntimeError("secret")


class Gateway:
    def __init__(self, max_requests: int = 10, body_seconds: float = 30, engine: Sum | None = None) -> None:
        self.tally, self.log, self.follower = Tally(), Log(), Follower()
        if engine is not None:
            self.serve(engine)
        self.predictor = Predictor(self.follower, self.log, max_rows=10, max_batches=1)
        self.replies = PredictReplies(self.predictor, max_bytes=1000, body_seconds=body_seconds)
        self.front = Front(elsewhere, self.replies, self.tally, max_requests)

    def serve(self, engine: Sum, row_seconds: float = 0.0) -> None:
        self.follower.current = Serving(replace(a_model(), engine=engine, row_seconds=row_seconds), 1)

    async def is_asked(self) -> bool:
        return self.tally.in_flight > 0

    def documented(self) -> FastAPI:
        """FastAPI's own route, with nothing in front."""
        app = FastAPI()
        app.add_middleware(Edge, tally=self.tally, max_requests=10, max_waiting=10)
        register_handlers(app)
        app.include_router(predict_router(self.predictor, self.replies, GatewaySettings()))
        return app

    async def ask(self, parts: Sequence[Message | None], **head: Any) -> tuple[int, dict[bytes, bytes], bytes]:
        """Send a request as these messages; None is one that never comes."""
        left = iter(parts)
        sent: list[Message] = []

        async def receive() -> Message:
            message = next(left)
            if message is None:
                await asyncio.Event().wait()
            assert message is not None
            return message

        async def send(message: Message) -> None:
            sent.append(message)

        await self.front(a_scope(**head), receive, send)
        start, body = sent
        return start["status"], dict(start["headers"]), body["body"]


async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(f"{scope['method']} {scope['path']}", 299)(scope, receive, send)


def a_scope(path: str = "/predict", **headers: str) -> Scope:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": path, "headers": raw, "query_string": b""}


def part(body: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def a_client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/predict"), ("HEAD", "/predict"), ("POST", "/predict/"), ("POST", "/predict/batch"), ("POST", "/jobs")],
)
async def test_everything_else_goes_on(method: str, path: str) -> None:
    gateway = Gateway()
    async with a_client(gateway.front) as client:
        assert (await client.request(method, path, content=GOOD)).status_code == 299
        assert (await client.post("/predict?x=1", content=GOOD)).status_code == 200
    assert gateway.tally.requests == {("/predict", "POST", 200): 1}


CASES: list[tuple[bytes, dict[str, str]]] = [
    (GOOD, JSON),
    (GOOD, {}),
    (WARNED, JSON | {"X-Request-Id": "mine"}),
    (GOOD, JSON | {"X-Request-Id": "not sane"}),
    (GOOD, {"Content-Type": "application/vnd.row+json; charset=utf-8"}),
    (GOOD, {"Content-Type": "text/csv"}),
    (GOOD, JSON | {"Content-Encoding": "gzip"}),
    (GOOD, JSON | {"Content-Encoding": "identity"}),
    (b"", JSON),
    (b"{", JSON),
    (b'{"a": NaN}', JSON),
    (b'{"a": "x", "c": 1}', JSON),
    (b"[]", JSON),
    (b"x" * 1001, JSON),
]


def without_what_varies(answer: httpx.Response) -> tuple[int, dict[str, str], dict[str, Any]]:
    body, headers = answer.json(), dict(answer.headers)
    assert headers.pop("x-request-id") == body["request_id"]
    if answer.request.headers.get("x-request-id") != body["request_id"]:
        del body["request_id"], headers["content-length"]
    if body.pop("inference_time", None):
        headers.pop("content-length", None)
    return answer.status_code, headers, body


@pytest.mark.parametrize(("content", "headers"), CASES)
async def test_the_documented_route_answers_the_same(content: bytes, headers: dict[str, str]) -> None:
    gateway = Gateway()
    async with a_client(gateway.front) as front, a_client(gateway.documented()) as documented:
        answers = [await client.post("/predict", content=content, headers=headers) for client in (front, documented)]
    assert without_what_varies(answers[0]) == without_what_varies(answers[1])
    assert sum(gateway.tally.requests.values()) == 2
    assert len(gateway.tally.requests) == 1  # one and the same label


async def test_without_a_model_it_says_when_to_come_back() -> None:
    gateway = Gateway()
    gateway.follower.current = None
    status, headers, body = await gateway.ask([part(GOOD)])
    assert (status, headers[b"retry-after"], json.loads(body)["type"]) == (503, b"5", "/problems/no-model")


async def test_a_body_in_parts_is_one_body() -> None:
    gateway = Gateway()
    status, headers, body = await gateway.ask([part(GOOD[:9], True), part(b"", True), part(GOOD[9:])])
    assert (status, headers[b"content-type"], json.loads(body)["prediction"]) == (200, b"application/json", 4.0)


async def test_a_body_that_is_announced_too_large_is_not_read() -> None:
    status, _, body = await Gateway().ask([], content_length="1001")
    assert (status, json.loads(body)["type"]) == (413, "/problems/payload-too-large")


@pytest.mark.parametrize("parts", [[part(b"x" * 1001)], [part(b"x" * 600, True), part(b"x" * 600, True)]])
async def test_a_body_that_turns_out_too_large_is_not_read_on(parts: list[Message | None]) -> None:
    status, _, body = await Gateway().ask(parts)
    assert (status, json.loads(body)["type"]) == (413, "/problems/payload-too-large")


@pytest.mark.parametrize("parts", [[None], [part(GOOD[:9], True), None]])
async def test_a_body_that_does_not_arrive_is_given_up(parts: list[Message | None]) -> None:
    gateway = Gateway(body_seconds=0.01)
    status, _, body = await gateway.ask(parts)
    assert (status, json.loads(body)["type"]) == (408, "/problems/body-timeout")
    assert gateway.tally.in_flight == 0


async def test_a_caller_that_goes_away_is_nobodys_error() -> None:
    gateway = Gateway()
    with capture_logs() as logs:
        await gateway.ask([part(GOOD[:9], True), {"type": "http.disconnect"}])
    assert gateway.tally.requests == {("/predict", "POST", 499): 1}
    assert (logs, gateway.log.rows) == ([], [])


async def test_an_error_of_ours_is_told_to_the_log_alone() -> None:
    gateway = Gateway(engine=Failing())
    with capture_logs() as logs:
        status, headers, body = await gateway.ask([part(GOOD)], x_request_id="mine")
    assert (status, headers[b"x-request-id"], json.loads(body)["request_id"]) == (500, b"mine", "mine")
    assert b"secret" not in body
    assert [(line["request_id"], str(line["exc_info"])) for line in logs] == [("mine", "secret")]
    assert gateway.tally.requests == {("/predict", "POST", 500): 1}


async def test_requests_beyond_the_limit_are_refused() -> None:
    gateway = Gateway(max_requests=1)
    release = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        await release.wait()
        yield GOOD

    async with a_client(gateway.front) as client:
        reading = asyncio.create_task(client.post("/predict", content=slowly()))
        await eventually(gateway.is_asked)
        refused = await client.post("/predict", content=GOOD)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        release.set()
        assert (await reading).status_code == 200
    assert gateway.tally.in_flight == 0


class Held(Sum):
    """Scores no row before it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def run_row(self, row: Sequence[float]) -> float:
        assert self.go.wait(5), "the event loop waits for the engine"
        return super().run_row(row)


async def test_a_slow_model_does_not_hold_up_the_event_loop() -> None:
    gateway, engine = Gateway(), Held()
    gateway.serve(engine, row_seconds=SLOW_ROW_SECONDS * 1.1)
    asked = asyncio.create_task(gateway.ask([part(WARNED)], x_request_id="mine"))
    await eventually(gateway.is_asked)
    engine.go.set()
    status, _, body = await asked
    assert (status, json.loads(body)["prediction"]) == (200, 14.0)
    assert [(row.request_id, row.prediction) for row in gateway.log.rows] == [("mine", 14.0)]
    gateway.predictor.close()


async def test_a_slow_model_that_fails_is_an_error_of_ours() -> None:
    gateway = Gateway()
    gateway.serve(Failing(), row_seconds=SLOW_ROW_SECONDS * 1.1)
    with capture_logs():
        status, _, _ = await gateway.ask([part(GOOD)])
    assert status == 500
    gateway.predictor.close()


async def test_a_quick_model_is_not_sent_to_a_thread() -> None:
    gateway = Gateway()
    gateway.predictor.close()  # a thread would refuse
    status, _, _ = await gateway.ask([part(GOOD)])
    assert status == 200


@pytest.mark.parametrize(("body", "status"), [(GOOD, 200), (WARNED, 200), (b"{}", 422), (b"{", 400)])
async def test_what_is_answered_at_once_is_answered_the_same(body: bytes, status: int) -> None:
    gateway = Gateway()
    answered = gateway.front.at_once({b"x-request-id": b"mine"}, body)
    assert answered is not None
    asked = await gateway.ask([part(body)], x_request_id="mine")
    assert (answered[0].status, answered[1]) == (asked[0], "mine") == (status, "mine")
    at_once, later = json.loads(answered[0].body), json.loads(asked[2])
    assert at_once.pop("inference_time", 0) >= 0 <= later.pop("inference_time", 0)
    assert at_once == later
    assert gateway.tally.requests == {("/predict", "POST", status): 2}
    assert len(gateway.log.rows) == (2 if status == 200 else 0)


def test_at_once_takes_no_place_that_is_not_free_and_no_time() -> None:
    gateway = Gateway(max_requests=1)
    assert gateway.front.at_once({}, b" " * 1000 + GOOD) is None
    gateway.tally.in_flight = 1
    assert gateway.front.at_once({}, GOOD) is None
    gateway.tally.waiting = 1
    assert gateway.front.at_once({}, GOOD) is not None
    gateway.serve(Sum(), row_seconds=SLOW_ROW_SECONDS * 1.1)
    assert gateway.front.at_once({}, GOOD) is None


def written(body: bytes, *headers: str) -> bytes:
    head = ["POST /predict HTTP/1.1", "host: here", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (GOOD, ("content-type: application/json",), 200),
        (WARNED, ("content-type: application/json", "x-request-id: mine"), 200),
        (b"{}", ("content-type: application/json",), 422),
        (GOOD, (), 200),
        (GOOD, ("content-type: text/csv",), 415),
        (b" " * 1000 + GOOD, ("content-type: application/json",), 413),
    ],
)
async def test_over_our_protocol_the_answer_is_the_same(body: bytes, headers: tuple[str, ...], status: int) -> None:
    gateway = Gateway()
    usual, exchanging = (Connection(gateway.front, each) for each in (GatewayProtocol, ExchangingProtocol))
    changes = re.compile(rb'content-length: \d+|"inference_time":[^,]*|[0-9a-f]{12}-[0-9a-f]+')  # an id of ours
    answers = [changes.sub(b"", await each.read(written(body, *headers))) for each in (usual, exchanging)]
    assert answers[0].startswith(b"HTTP/1.1 %d " % status)
    assert sorted(answers[0].split(b"\r\n")) == sorted(answers[1].split(b"\r\n"))
    assert gateway.tally.requests == {("/predict", "POST", status): 2}
    assert gateway.tally.in_flight == 0


async def test_a_request_leaves_nothing_that_only_the_collector_finds() -> None:
    connection = Connection(Gateway().front, ExchangingProtocol)
    asked = written(GOOD, "content-type: application/json")
    await connection.read(asked * 20)
    gc.collect()
    gc.disable()
    try:
        await connection.read(asked * 20)
        assert gc.collect() < 20
    finally:
        gc.enable()
