"""Requests that have come whole, answered in one piece, and those for which that is not to be had."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Receive, Scope, Send

from services.gateway.exchange import EXTENSION, Exchange, ExchangingProtocol
from services.gateway.reply import Reply
from tests.unit.gateway.connection import Connection

ASKED = b"POST /predict HTTP/1.1\r\nhost: here\r\n%bcontent-length: 2\r\n\r\n{}"
PLAIN = ASKED % b"x-a: 1\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\n%bcontent-length: 3\r\nx-request-id: id\r\n\r\nyes"
CLOSE = b"connection: close\r\n"


class Exchanging(Connection):
    """On which an application takes exchanges, and what became of them."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        super().__init__(self._app, ExchangingProtocol)
        self._meanwhile = meanwhile
        self.bodies: list[bytes | None] = []
        self.heads: list[dict[bytes, bytes]] = []

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._meanwhile:
            await self._meanwhile()
        exchange: Exchange | None = scope.pop("extensions", {}).get(EXTENSION)
        if exchange is None or (body := exchange.body()) is None:
            self.bodies.append(None)
            while (await receive()).get("more_body"):
                pass
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})
            return
        self.bodies.append(body)
        self.heads.append(dict(exchange.head))
        exchange.answer(Reply(200, (), b"yes"), "id")


async def test_a_request_that_has_come_whole_is_answered_in_one_piece() -> None:
    connection = Exchanging()
    assert await connection.read(PLAIN) == ANSWER % b""
    assert await connection.read(PLAIN * 3) == ANSWER % b"" * 3
    assert connection.bodies == [b"{}"] * 4
    assert connection.heads[0] == {b"host": b"here", b"x-a": b"1", b"content-length": b"2"}
    assert (connection.state.total_requests, connection.transport.closed) == (4, False)
    assert not connection.protocol.cycle.body, "an idle connection would keep it"


@pytest.mark.parametrize(
    "asked",
    [
        PLAIN.replace(b"/predict", b"/predict/batch"),
        PLAIN.replace(b"POST", b"PUT"),
        ASKED % b"x-a: 1\r\nx-a: 1\r\n",
        ASKED % b"expect: 100-continue\r\n",
    ],
    ids=["another route", "another method", "said twice", "waits to be asked for the body"],
)
async def test_what_is_not_plain_comes_as_always(asked: bytes) -> None:
    connection = Exchanging()
    assert b"content-length: 0" in await connection.read(asked)
    assert connection.bodies == [None]


async def test_a_body_that_is_still_on_its_way_comes_as_always() -> None:
    connection = Exchanging()
    assert b"content-length: 0" in await connection.read(PLAIN[:-1], PLAIN[-1:])
    assert connection.bodies == [None]


async def test_the_last_answer_says_so_and_closes() -> None:
    connection = Exchanging()
    assert await connection.read(ASKED % CLOSE) == ANSWER % CLOSE
    assert connection.transport.closed


async def test_every_answer_of_a_server_that_leaves_is_the_last() -> None:
    connection = Exchanging()
    connection.state.default_headers = [(b"connection", b"close")]
    assert await connection.read(PLAIN) == ANSWER % CLOSE
    assert connection.transport.closed


async def test_nothing_is_answered_at_once_to_whoever_does_not_read() -> None:
    connection = Exchanging()
    connection.protocol.pause_writing()
    asyncio.get_running_loop().call_later(0.01, connection.protocol.resume_writing)
    assert b"content-length: 0" in await connection.read(PLAIN)
    assert connection.bodies == [None]


async def test_a_caller_that_has_gone_gets_nothing() -> None:
    async def goes() -> None:
        connection.protocol.connection_lost(None)

    connection = Exchanging(meanwhile=goes)
    assert await connection.read(PLAIN) == b""
    assert connection.bodies == [None]


async def test_an_answer_leaves_behind_what_was_written_before_it() -> None:
    async def writes() -> None:
        connection.protocol.transport.write(b"before ")

    connection = Exchanging(meanwhile=writes)
    assert await connection.read(PLAIN) == b"before " + ANSWER % b""


async def test_a_wish_for_another_protocol_is_passed_over() -> None:
    connection = Exchanging()
    await connection.read(PLAIN)
    assert await connection.read(ASKED % b"connection: upgrade\r\nupgrade: h2c\r\n" + PLAIN) == ANSWER % b"" * 2
    assert connection.bodies == [b"{}"] * 3


async def test_nonsense_is_refused_with_one_last_answer() -> None:
    connection = Exchanging()
    connection.state.default_headers = [(b"connection", b"close")]
    written = await connection.read(b"nonsense\r\n\r\n")
    assert written.startswith(b"HTTP/1.1 400 ")
    assert written.count(b"connection: close") == 1
