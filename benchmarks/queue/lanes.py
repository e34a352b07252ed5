"""Consumers that do the protocol alone: `python -m benchmarks.queue.lanes NAME NUMBER PORT WINDOW PART EVENT`.

What a scorer asks of Valkey for a chunk (its entry, whether to begin, to commit it) is asked by the scorer's own
`JobQueue`, but over plain sockets and with a part that is there already: so Valkey ends before Python does.
"""

import hashlib
import selectors
import socket
import sys
from collections.abc import Coroutine, Generator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import hiredis
from redis.asyncio import Redis

from services.scorer.handlers import POLL_MS
from shared.events import ChunkScored
from shared.jobs import Part
from shared.keys import SCORERS_GROUP, Keys
from shared.scripts import Held, JobQueue

EVENT_BYTES = 1 << 28  # room for all: no monitor reads them here

Words = tuple[str | int | float, ...]
Lane = Coroutine[Words, Any, None]
"""It is sent replies, and gives commands."""


class _Ask:
    """Awaited in a lane, it is a command and its reply."""

    def __init__(self, *words: str | float) -> None:
        self._words = words

    def __await__(self) -> Generator[Words, Any, Any]:
        reply = yield self._words
        return reply


class _Scripts:
    """What a `JobQueue` needs of a client."""

    def register_script(self, text: str) -> "_Script":
        return _Script(text, hashlib.sha1(text.encode()).hexdigest())


@dataclass(frozen=True)
class _Script:
    text: str
    sha: str

    async def __call__(self, keys: Sequence[str], args: Sequence[str | float]) -> Any:
        words = (len(keys), *keys, *args)
        found = await _Ask("EVALSHA", self.sha, *words)
        if isinstance(found, hiredis.ReplyError) and str(found).startswith("NOSCRIPT"):
            found = await _Ask("EVAL", self.text, *words)
        return _good(found)


async def consume(consumer: str, window: int, part: Part, event: ChunkScored) -> None:
    """Commit this part for one chunk after the other."""
    queue = JobQueue(cast(Redis, _Scripts()), Keys())
    read = ("XREADGROUP", "GROUP", SCORERS_GROUP, consumer, "COUNT", 1, "BLOCK", POLL_MS, "STREAMS")
    while True:
        found = _good(await _Ask(*read, queue.keys.chunks, ">"))
        for entry, fields in found[0][1] if found else ():
            held = Held.of(consumer, entry, dict(zip(fields[::2], fields[1::2], strict=True)))
            await queue.begin(held)
            await queue.commit(held, part, window=window, event=event, event_bytes=EVENT_BYTES)


def _packed(words: Words) -> bytes:
    command: bytes = hiredis.pack_command(cast(Any, words))  # its types allow one word
    return command


def _good(reply: Any) -> Any:
    if isinstance(reply, hiredis.ReplyError):
        raise reply
    return reply


def drive(lanes: Sequence[Lane], port: int) -> None:
    """Run the lanes, a connection each, for ever."""
    selector = selectors.DefaultSelector()
    for lane in lanes:
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(_packed(lane.send(None)))
        selector.register(connection, selectors.EVENT_READ, (lane, connection, hiredis.Reader(encoding="utf-8")))
    while True:
        for key, _ in selector.select():
            lane, connection, reader = key.data
            reader.feed(connection.recv(1 << 16))
            if (reply := reader.gets()) is not False:
                connection.sendall(_packed(lane.send(reply)))


if __name__ == "__main__":
    name, (number, port, window), (part, event) = sys.argv[1], map(int, sys.argv[2:5]), sys.argv[5:]
    made = Part.model_validate_json(part), ChunkScored.model_validate_json(event)
    drive([consume(f"{name}-{one}", window, *made) for one in range(number)], port)
