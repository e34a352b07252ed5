"""HTTP/1.1 over a bare socket: what is sent is up to the test, what comes back is read to the letter."""

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

PATIENCE = 20.0
_STATUS = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) [ -~]*")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([ -~]*)")


class Address(NamedTuple):
    host: str
    port: int


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """Reads answers one after the other; anything that is not one fails the test, and so does waiting too long."""

    def __init__(self, address: Address, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._came = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> Self:
        for piece in pieces:
            self.socket.sendall(piece)
        return self

    def ask(self, request: bytes) -> Answer:
        return self.send(request).answer()

    def answer(self, *, to: str = "POST") -> Answer:
        """Return the next answer; `to` is the method it answers."""
        first, *lines = self._until(b"\r\n\r\n").split(b"\r\n")
        status = _STATUS.fullmatch(first)
        assert status, first
        found = [_HEADER.fullmatch(line) for line in lines]
        assert all(found), lines
        headers = {header[1].lower().decode(): header[2].decode() for header in found if header}
        assert len(headers) == len(lines), f"a header twice: {lines}"
        code = int(status[1])
        bodiless = to == "HEAD" or code < 200 or code in (204, 304)
        return Answer(code, headers, b"" if bodiless else self._body(headers))

    def rest(self) -> bytes:
        """Return what comes until the other side closes."""
        try:
            while piece := self.socket.recv(1 << 16):
                self._came += piece
        except ConnectionResetError:
            pass
        return bytes(self._came)

    def is_closed(self) -> bool:
        """Wait until the other side has closed; whatever it sends before that fails the test."""
        rest = self.rest()
        assert not rest, f"it goes on with {rest!r}"
        return True

    def _body(self, headers: dict[str, str]) -> bytes:
        assert ("content-length" in headers) != ("transfer-encoding" in headers), headers
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        assert headers["transfer-encoding"] == "chunked"
        return b"".join(self._chunks())

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._until(b"\r\n"), 16):
            yield self._exactly(size)
            assert self._exactly(2) == b"\r\n"
        assert self._exactly(2) == b"\r\n"

    def _until(self, end: bytes) -> bytes:
        while end not in self._came:
            self._receive()
        found, _, rest = bytes(self._came).partition(end)
        self._came[:] = rest
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._came) < size:
            self._receive()
        found = bytes(self._came[:size])
        del self._came[:size]
        return found

    def _receive(self) -> None:
        piece = self.socket.recv(1 << 16)
        assert piece, f"it was broken off after {bytes(self._came)!r}"
        self._came += piece
