"""Whether uvicorn still is what `immediate` takes it for: found by having it answer requests that nobody sent."""

import asyncio
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from services.gateway.immediate import Head, ImmediateProtocol
from services.gateway.reply import Reply

SECONDS = 2.0
_BODY = b'{"a": 1}'
_PREDICT = (
    b"POST /predict HTTP/1.1\r\nhost: trial\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
    % (len(_BODY), _BODY)
)
_OTHER = b"GET /other HTTP/1.1\r\nhost: trial\r\n\r\n"
_AT_ONCE = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-request-id: trial\r\n\r\nnow"
_AS_ALWAYS = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n" + _BODY
_OTHERS = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_READS = (
    ((_PREDICT,), _AT_ONCE),
    ((_PREDICT[:-1], _PREDICT[-1:]), _AS_ALWAYS),
    ((_PREDICT + _OTHER + _PREDICT,), _AT_ONCE + _OTHERS + _AS_ALWAYS),  # in this order
    ((_PREDICT,), _AT_ONCE),
)
"""What comes in, and what has to go out for it."""


async def trial() -> str:
    """Return what is not as it should be; nothing means that all is well."""
    try:
        async with asyncio.timeout(SECONDS):
            return await _tried()
    except Exception as error:  # whatever a uvicorn to come may do
        return f"{type(error).__name__}: {error}"


async def _tried() -> str:
    state, transport = ServerState(), Nowhere()
    config = uvicorn.Config(_as_always, interface="asgi3", ws="none", lifespan="off", log_config=None)
    protocol = ImmediateProtocol(_at_once, config=config, server_state=state, app_state={})
    protocol.connection_made(transport)
    for reads, expected in _READS:
        for read in reads:
            protocol.data_received(read)
        while state.tasks:
            await asyncio.wait(state.tasks)
        await asyncio.sleep(0)  # what is written in one turn of the event loop leaves after it
        if transport.written != expected:
            return f"{bytes(transport.written)!r} was answered, not {expected!r}"
        transport.written.clear()
    protocol.connection_lost(None)
    return ""


def _at_once(head: Head, body: bytes) -> tuple[Reply, str]:
    return Reply(200, [(b"content-length", b"3")], b"now"), "trial"


async def _as_always(scope: Scope, receive: Receive, send: Send) -> None:
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
