"""How the gateway's answers leave, over real sockets."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from services.gateway.wire import PIECE_BYTES, JoiningProtocol

SHORT = b"short"
LONG = bytes(range(256)) * (20 * PIECE_BYTES // 256)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    body = LONG if scope["path"] == "/long" else SHORT
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    for begin in range(0, len(body), 10_000):  # without ever waiting
        await send({"type": "http.response.body", "body": body[begin : begin + 10_000], "more_body": True})
    await send({"type": "http.response.body"})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    config = uvicorn.Config(app, http=JoiningProtocol, loop="uvloop", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=asyncio.run, args=(server._serve([listening]),))
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


def test_an_answer_comes_whole_or_not_at_all(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(100):
            connection.sendall(b"GET /short HTTP/1.1\r\nhost: here\r\n\r\n")
            head, _, body = connection.recv(1 << 16).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK")
            assert body == SHORT


@pytest.mark.parametrize("end", ["close", "keep-alive", "half-close"])
@pytest.mark.parametrize(("path", "body"), [("/short", SHORT), ("/long", LONG)])
def test_what_is_sent_arrives_in_order_and_to_its_end(port: int, path: str, body: bytes, end: str) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        header = "close" if end == "close" else "keep-alive"
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: here\r\nconnection: {header}\r\n\r\n".encode())
        if end == "half-close":
            connection.shutdown(socket.SHUT_WR)
        came = b""
        while len(came.partition(b"\r\n\r\n")[2]) < len(body):
            piece = connection.recv(1 << 16)
            assert piece, "it was broken off"
            came += piece
    assert came.partition(b"\r\n\r\n")[2] == body


def test_a_caller_that_went_away_harms_nobody(port: int) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /long HTTP/1.1\r\nhost: here\r\n\r\n")
            connection.recv(1)
    test_an_answer_comes_whole_or_not_at_all(port)
