"""Predictions that are answered inside the parser, and uvicorns with which that does not work."""

from functools import partial
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from services.gateway.immediate import Head, ImmediateProtocol
from services.gateway.reply import Reply
from tests.unit.gateway.connection import Connection

JSON = b"content-type: application/json\r\n"
ASKED = b"POST /predict HTTP/1.1\r\nhost: here\r\n%bcontent-length: 2\r\n\r\n{}"


CHUNKED = JSON + b"transfer-encoding: chunked\r\n"
EMPTY = Reply(200, (), b"")


class Answering(Connection):
    """A protocol that answers in the parser, and what it was asked."""

    def __init__(self, reply: Reply | None) -> None:
        super().__init__(self._app, partial(ImmediateProtocol, self._at_once))
        self._reply = reply
        self.asked: list[bytes] = []
        self.handed_on: list[tuple[str, bytes]] = []

    def _at_once(self, head: Head, body: bytes) -> tuple[Reply, str] | None:
        self.asked.append(body)
        return self._reply and (self._reply, "id")

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        self.handed_on.append((scope["path"], message["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


async def test_a_plain_prediction_does_not_reach_the_application() -> None:
    answering = Answering(Reply(422, (), b"no"))
    await answering.read(ASKED % JSON * 3)
    assert (answering.asked, answering.handed_on) == ([b"{}"] * 3, [])
    assert answering.transport.written.count(b"HTTP/1.1 422 Unprocessable") == 3
    assert answering.transport.written.endswith(b"x-request-id: id\r\n\r\nno")


@pytest.mark.parametrize(
    "asked",
    [
        (ASKED % b"",),
        (ASKED % b"content-type: application/json; charset=utf-8\r\n",),
        (ASKED % (b"content-type: text/csv\r\n" + JSON),),
        (ASKED % (JSON + b"content-encoding: gzip\r\n"),),
        (ASKED % (JSON + b"connection: close\r\n"),),
        ((ASKED % JSON)[:-2], b"{}"),
        ((ASKED % JSON)[:-1], b"}"),
        ((ASKED % JSON).replace(b"HTTP/1.1", b"HTTP/1.0"),),
        (
            (ASKED % JSON)
            .replace(b"content-length: 2", b"transfer-encoding: chunked")
            .replace(b"{}", b"2\r\n{}\r\n0\r\n\r\n"),
        ),
    ],
)
async def test_what_is_not_plain_is_handed_on(asked: tuple[bytes, ...]) -> None:
    answering = Answering(EMPTY)
    await answering.read(*asked)
    assert answering.asked == []
    assert [path for path, _ in answering.handed_on] == ["/predict"]


async def test_what_has_no_answer_at_once_is_handed_on() -> None:
    answering = Answering(None)
    await answering.read(ASKED % JSON * 2)
    assert answering.handed_on == [("/predict", b"{}")] * 2


async def test_while_answers_are_not_read_no_more_are_given_at_once() -> None:
    answering = Answering(EMPTY)
    answering.protocol.pause_writing()
    answering.protocol.data_received(ASKED % JSON)
    assert answering.asked == []
    answering.protocol.resume_writing()
    await answering.read(ASKED % JSON)
    assert answering.handed_on == [("/predict", b"{}")] * 2


async def test_a_fault_of_ours_is_not_the_callers_and_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    answering = Answering(EMPTY)

    def fails(head: Head, body: bytes) -> Any:
        raise RuntimeError("a secret")

    monkeypatch.setattr(answering.protocol, "_answer", fails)
    await answering.read(ASKED % JSON)
    assert answering.transport.written.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in answering.transport.written


async def test_a_server_that_leaves_gives_each_caller_one_last_answer() -> None:
    answering = Answering(EMPTY)
    answering.protocol.server_state.default_headers = [(b"connection", b"close")]
    written = await answering.read(ASKED % JSON * 3)
    assert written.count(b"HTTP/1.1 200 OK") == written.count(b"connection: close") == 1
    assert answering.transport.closed
