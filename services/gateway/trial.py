"""Whether uvicorn still is what we take it for: found by having it answer requests that nobody sent."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from services.gateway.exchange import EXTENSION, Exchange, ExchangingProtocol
from services.gateway.immediate import Head, ImmediateProtocol
from services.gateway.reply import Reply

SECONDS = 2.0
_BODY = b'{"a": 1}'
_PREDICT = (
    b"POST /predict HTTP/1.1\r\nhost: trial\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
    % (len(_BODY), _BODY)
)
_OTHER = b"GET /other HTTP/1.1\r\nhost: trial\r\n\r\n"
_IMMEDIATE = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-request-id: trial\r\n\r\nnow"
_EXCHANGED = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx-request-id: trial\r\n\r\nsoon"
_AS_ALWAYS = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n" + _BODY
_OTHERS = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


async def trial_of_exchanges() -> str:
    """Return what is not as `exchange` takes it to be; nothing means that all is well."""
    return await _trial(ExchangingProtocol, _EXCHANGED)


async def trial_of_immediate() -> str:
    """Return what is not as `immediate` takes it to be; nothing means that all is well."""
    return await _trial(partial(ImmediateProtocol, _at_once), _IMMEDIATE)


async def _trial(protocol: Callable[..., ExchangingProtocol], whole: bytes) -> str:
    """Ask a protocol.

    Args:
        whole: the answer to a prediction that comes whole, while nothing else is owed.
    """
    try:
        async with asyncio.timeout(SECONDS):
            return await _tried(protocol, whole)
    except Exception as error:  # whatever a uvicorn to come may do
        return f"{type(error).__name__}: {error}"


async def _tried(protocol: Callable[..., ExchangingProtocol], whole: bytes) -> str:
    reads = (
        ((_PREDICT,), whole),
        ((_PREDICT[:-1], _PREDICT[-1:]), _AS_ALWAYS),
        ((_PREDICT + _OTHER + _PREDICT,), whole + _OTHERS + _EXCHANGED),  # in this order
        ((_PREDICT,), whole),
    )
    state, transport = ServerState(), Nowhere()
    config = uvicorn.Config(_application, interface="asgi3", ws="none", lifespan="off", log_config=None)
    connection = protocol(config=config, server_state=state, app_state={})
    connection.connection_made(transport)
    for pieces, expected in reads:
        for piece in pieces:
            connection.data_received(piece)
            await asyncio.sleep(0)  # so that the application looks before the next one is there
        while state.tasks:
            await asyncio.wait(state.tasks)
        await asyncio.sleep(0)  # what is written in one turn of the event loop leaves after it
        if transport.written != expected:
            return f"{bytes(transport.written)!r} was answered, not {expected!r}"
        transport.written.clear()
    connection.connection_lost(None)
    return ""


def _at_once(head: Head, body: bytes) -> tuple[Reply, str]:
    return Reply(200, (), b"now"), "trial"


async def _application(scope: Scope, receive: Receive, send: Send) -> None:
    exchange: Exchange | None = scope.pop("extensions", {}).get(EXTENSION)
    if exchange is not None and exchange.body() == _BODY:
        exchange.answer(Reply(200, (), b"soon"), "trial")
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Nowhere(asyncio.Transport):
    """A transport that leads nowhere, and keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()

    def write(self, data: Any) -> None:
        self.written += data

    def write_eof(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass
