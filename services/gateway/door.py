"""How a worker takes connections from the port of all, and how it leaves.

- It takes none before it serves what it should: until then the others take its share. Where none of them serves
  either it takes them all the same, because somebody must say what is wrong.
- The kernel gives each worker its share, in a queue of its own. What still waits in another's a moment later, because
  that one died, hangs or leaves, it takes as well. One shared queue would need no such look, and would spread badly:
  who wakes up first takes all that wait, 15 of 16 connections that come at once.
- When it is to end, each of its callers gets one more answer, which says that it is the last of the connection.
"""

import asyncio
import socket
import time
from asyncio import AbstractServer, Protocol
from collections.abc import Awaitable, Callable
from contextlib import suppress

import uvicorn

from services.gateway.sockets import Sockets
from shared.process import BACKLOG

LOOK_SECONDS = 0.05
"""How often it looks into the queues of the others: what waits there waits no longer than this."""
PATIENCE_SECONDS = 3.0
"""To serve the desired version, before it asks whether others do."""
LEAVE_SECONDS = 1.0
"""For callers to ask once more. Then nothing is asked for on what is still open."""
_POLL = 0.02


class Door:
    """A worker's part of the port of all."""

    def __init__(
        self,
        sockets: Sockets,
        server: uvicorn.Server,
        serves: Callable[[], bool],
        others_serve: Callable[[], Awaitable[bool]],
        *,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._sockets = sockets
        self._server = server
        self._serves = serves
        self._others_serve = others_serve
        self._patience = patience
        self._listening: AbstractServer | None = None
        self._joining: set[asyncio.Task[None]] = set()

    async def keep(self) -> None:
        """Take connections for ever, once there is reason to."""
        assert self._sockets.shared is not None
        await _until(self._serves, self._patience)
        while not self._serves() and await self._others_serve():
            await _until(self._serves, self._patience)
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._connect, sock=self._sockets.shared, backlog=BACKLOG)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for other in self._sockets.of_others:
                self._take_all(other)

    async def leave(self) -> None:
        """Let those who are connected ask once more; `keep` must have been ended."""
        if self._listening is not None:
            self._listening.close()
        config, state = self._server.config, self._server.server_state
        last = (b"connection", b"close")
        config.encoded_headers.append(last)  # of every second to come, and
        state.default_headers = [*state.default_headers, last]  # of this one
        await _until(lambda: not state.connections, LEAVE_SECONDS)

    def _take_all(self, waiting: socket.socket) -> None:
        """Take what waits in a queue; not by the task that looks, with whose end it would be lost half-way."""
        while (taken := _accept(waiting)) is not None:
            joining = asyncio.create_task(self._join(taken))
            self._joining.add(joining)
            joining.add_done_callback(self._joining.discard)

    async def _join(self, taken: socket.socket) -> None:
        with suppress(OSError):  # the caller has gone again
            await asyncio.get_running_loop().connect_accepted_socket(self._connect, taken)

    def _connect(self) -> Protocol:
        """As uvicorn makes it for sockets that it listens on."""
        config, state = self._server.config, self._server.server_state
        made: Protocol = config.http_protocol_class(config=config, server_state=state, app_state={})  # type: ignore[call-arg]
        return made


async def _until(state: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not state() and time.monotonic() < deadline:  # noqa: ASYNC110 - of others, who tell nobody
        await asyncio.sleep(_POLL)


def _accept(waiting: socket.socket) -> socket.socket | None:
    try:
        taken, _ = waiting.accept()
    except OSError:  # nothing waits; or we have no room for it, and another may
        return None
    taken.setblocking(False)
    taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return taken
