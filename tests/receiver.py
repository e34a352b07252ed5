"""A receiver of webhooks on loopback: it answers as it is told, and remembers what it was sent."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HANG = b""
"""In place of an answer: keep the connection and say nothing."""


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers with each of `answers` in turn and then goes on with the last; one is a status or what is sent."""

    answers: list[int | bytes]
    port: int = 0
    received: list[Received] = field(default_factory=list)
    tls: bool = False
    released: asyncio.Event = field(default_factory=asyncio.Event)
    """Answers wait for it; set unless a test clears it."""

    def __post_init__(self) -> None:
        self.released.set()

    @property
    def url(self) -> str:
        return f"http{'s' * self.tls}://127.0.0.1:{self.port}/hook?token=secret"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.received.append(await _request(reader))
            await self.released.wait()
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer == HANG:
                await reader.read()  # until the sender goes
            writer.write(answer if isinstance(answer, bytes) else _empty(answer))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the sender went
        finally:
            writer.close()


@asynccontextmanager
async def receiver(*answers: int | bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    found = Receiver(list(answers), tls=tls is not None)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, ssl=tls)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


def _empty(status: int) -> bytes:
    return f"HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n".encode()


async def _request(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    method, path, _ = request.split(" ")
    assert method == "POST"
    return Received(path, headers, await reader.readexactly(int(headers["content-length"])))
