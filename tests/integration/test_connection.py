"""Connections on which little happens, in this process: the gateway's own deadline is too long to wait for."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from services.gateway.connection import GatewayProtocol
from shared import process
from tests.integration.raw_http import Address, Connection
from tests.waiting import eventually

SECONDS = 0.2
HEAD = b"GET / HTTP/1.1\r\nHost: here\r\n"


LARGE = 1 << 23  # more than the kernel keeps for whoever does not read
large: list[str] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(2 * SECONDS if scope["path"] == "/slow" else 0)
    if scope["path"] == "/large":
        await answer_at_length(send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


async def answer_at_length(send: Send) -> None:
    large.append("began")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % LARGE)]})
    await send({"type": "http.response.body", "body": bytes(LARGE), "more_body": True})
    await send({"type": "http.response.body"})  # once what was sent has mostly been taken, or the caller is gone
    large.append("ended")


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    config = uvicorn.Config(
        app, http=GatewayProtocol, loop="uvloop", ws="none", lifespan="off", log_config=None, timeout_keep_alive=1
    )
    config.timeout_keep_alive = SECONDS  # type: ignore[assignment] # it takes whole seconds only
    server = uvicorn.Server(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "STALLED_SECONDS", SECONDS)
        listening = process.listen("127.0.0.1", 0, "PORT")
    with listening:
        thread = threading.Thread(target=asyncio.run, args=(server._serve([listening]),))
        thread.start()
        yield Address(*listening.getsockname())
        server.should_exit = True
        thread.join()


def test_a_connection_on_which_nothing_is_asked_is_closed(address: Address) -> None:
    with Connection(address) as silent, Connection(address) as idle:
        assert idle.ask(HEAD + b"\r\n").status == 200
        assert silent.is_closed()
        assert idle.is_closed()


def test_a_head_that_trickles_in_does_not_hold_a_connection(address: Address) -> None:
    with Connection(address) as connection:
        connection.send(HEAD).socket.settimeout(0.01)
        for _ in range(100):
            try:
                connection.send(b"X-A: 1\r\n")
                assert connection.is_closed()
                return
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                return
    raise AssertionError("it is still open after a second")


def test_an_answer_may_take_longer(address: Address) -> None:
    with Connection(address) as connection:
        assert connection.ask(HEAD.replace(b"/", b"/slow", 1) + b"\r\n").status == 200


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux has it")
def test_whoever_takes_nothing_of_an_answer_keeps_no_place(address: Address) -> None:
    large.clear()
    with Connection(address, receive_buffer=4096) as connection:
        connection.send(HEAD.replace(b"/", b"/large", 1) + b"\r\n")
        asyncio.run(eventually(lambda: asyncio.sleep(0, large == ["began", "ended"])))
        assert len(connection.rest()) < LARGE
