"""A closed-loop client on one keep-alive connection: cheap enough not to measure itself."""

import itertools
import socket
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from urllib.parse import urlparse


def requests(url: str, path: str, bodies: Sequence[bytes]) -> list[bytes]:
    """Return one encoded POST per body, of JSON."""
    found = urlparse(url)
    encoded = []
    for body in bodies:
        head = [f"POST {path} HTTP/1.1", f"host: {found.netloc}", "content-type: application/json"]
        head.append(f"content-length: {len(body)}\r\n\r\n")
        encoded.append("\r\n".join(head).encode() + body)
    return encoded


def latencies(url: str, encoded: Sequence[bytes], seconds: float) -> list[float]:
    """Send the requests in turn for so long, one at a time; return the seconds each took. A non-200 is an error."""
    end = time.perf_counter() + seconds
    with closing(_exchanges(url, encoded)) as taken:
        return list(itertools.takewhile(lambda _: time.perf_counter() < end, taken))


def send(url: str, encoded: Sequence[bytes], count: int) -> None:
    """Send so many requests, one at a time. A non-200 is an error."""
    with closing(_exchanges(url, encoded)) as taken:
        for _ in itertools.islice(taken, count):
            pass


def _exchanges(url: str, encoded: Sequence[bytes]) -> Generator[float, None, None]:
    """Yield the seconds of one after the other, for ever."""
    found = urlparse(url)
    with socket.create_connection((found.hostname or "", found.port or 80)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in itertools.cycle(encoded):
            start = time.perf_counter()
            connection.sendall(request)
            _read_answer(connection)
            yield time.perf_counter() - start


def _read_answer(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _received(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise RuntimeError(f"unexpected answer: {data[:500]!r}")
    fields = (line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
    length = next(int(value) for name, value in fields if name == b"content-length")
    while len(body) < length:
        body += _received(connection)


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise RuntimeError("the server closed the connection in the middle of an answer")
    return data
