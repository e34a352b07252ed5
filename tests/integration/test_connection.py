"""Connections on which little happens, in this process: the gateway's own deadline is too long to wait for."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from services.gateway.connection import GatewayProtocol
from tests.integration.raw_http import Address, Connection

SECONDS = 0.2
HEAD = b"GET / HTTP/1.1\r\nHost: here\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(2 * SECONDS if scope["path"] == "/slow" else 0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    config = uvicorn.Config(
        app, http=GatewayProtocol, loop="uvloop", ws="none", lifespan="off", log_config=None, timeout_keep_alive=1
    )
    config.timeout_keep_alive = SECONDS  # type: ignore[assignment] # it takes whole seconds only
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
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
