"""How answers leave: head and body in one piece.

uvicorn writes them one after the other, and uvloop sends each write at once. That costs a system call more, and a
gateway that is killed between the two has given half an answer, which no proxy can take back and ask for elsewhere.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from services.gateway.reply import Header, Reply

PIECE_BYTES = 1 << 16
"""Waits to be joined, at most."""


def with_close(headers: Sequence[Header]) -> Sequence[Header]:
    """Return the headers of an answer that is the last one of its connection."""
    return headers if CLOSE_HEADER in headers else [*headers, CLOSE_HEADER]


def written(reply: Reply, request_id: str, further: Iterable[Header]) -> bytes:
    """Return an answer as it is sent, with `further` headers."""
    lines = b"".join([b"%b: %b\r\n" % header for header in (*further, *reply.headers)])
    ends = (len(reply.body), request_id.encode(), reply.body)
    return b"%b%bcontent-length: %d\r\nx-request-id: %b\r\n\r\n%b" % (STATUS_LINE[reply.status], lines, *ends)


class JoiningProtocol(HttpToolsProtocol):
    """uvicorn's own, over a transport that joins what is written in one turn of the event loop."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        self._joining = self.joined(transport)
        super().connection_made(self._joining)  # type: ignore[arg-type] # it is a transport to whom uses it

    def joined(self, transport: asyncio.Transport) -> "Joining":
        return Joining(transport, self.loop)

    def eof_received(self) -> None:
        self._joining.flush()  # a caller that has said all may still want to hear; the transport closes after this


class Joining:
    """Everything but writing and closing is the transport's own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= PIECE_BYTES:  # a body that never waits must not grow here, where nothing slows it down
            self.flush()

    def write_now(self, data: bytes) -> None:
        """Write what nothing is to be joined to."""
        if self._pieces:
            self._pieces.append(data)
            self.flush()
        elif not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        if self._pieces and not self._transport.is_closing():  # the caller may have gone meanwhile
            self._transport.write(b"".join(self._pieces))
        self._pieces.clear()
        self._size = 0
