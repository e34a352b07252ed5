"""A connection that leads nowhere: what a protocol of ours makes of bytes that came."""

import asyncio
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from services.gateway.connection import GatewayProtocol
from services.gateway.trial import Nowhere


class Transport(Nowhere):
    closed = False

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


class Connection:
    def __init__(self, app: ASGIApp, protocol: Callable[..., GatewayProtocol]) -> None:
        config: Any = uvicorn.Config(app, interface="asgi3", ws="none", lifespan="off", log_config=None)
        self.state, self.transport = ServerState(), Transport()
        self.protocol = protocol(config=config, server_state=self.state, app_state={})
        self.protocol.connection_made(self.transport)

    async def read(self, *pieces: bytes) -> bytes:
        """Return what is answered to them; the application gets to see one before the next one comes."""
        self.transport.written.clear()
        for piece in pieces:
            self.protocol.data_received(piece)
            await asyncio.sleep(0)
        while self.protocol.tasks:
            await asyncio.wait(self.protocol.tasks)
        await asyncio.sleep(0)
        return bytes(self.transport.written)
