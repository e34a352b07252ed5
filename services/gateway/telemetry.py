"""Answered predictions on their way to the monitor: buffered, sent in columns, dropped and counted, never waited for.

At every moment answered = sent + dropped + waiting. A consumer sees what it missed from `answered_before`.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import uuid4

import msgspec

from shared.broker import UNAVAILABLE
from shared.clock import utc_now
from shared.engine import Model
from shared.telemetry import get_logger

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0  # seconds between attempts while Redis is away

Publish = Callable[[str], Awaitable[bool]]
"""Append the event (JSON) to its stream. False: there was no room for it, and it is lost. Raises one of UNAVAILABLE."""

log = get_logger(__name__)


class Logged(NamedTuple):
    """One prediction that was answered."""

    model: Model
    request_id: str
    position: int
    """Of the row in its request; 0 for a single prediction."""
    mode: Literal["single", "batch"]
    time: float
    latency: float
    features: Sequence[float]
    prediction: float


@dataclass(frozen=True)
class Block:
    """An event ready to be sent; the same at every attempt, so that a repeated one is recognised by its sequence."""

    rows: int
    event: str


class Buffer:
    """Rows that wait, oldest first; beyond `capacity` new ones are dropped."""

    def __init__(self, replica: str, capacity: int) -> None:
        self.answered = 0
        self.sent = 0
        self.dropped = 0
        self._dropped_at = float("-inf")
        self._replica = replica
        self._capacity = capacity
        self._rows: deque[tuple[int, Logged]] = deque()  # with the number of rows answered before
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, rows: Iterable[Logged]) -> None:
        for row in rows:
            if len(self._rows) < self._capacity:
                self._rows.append((self.answered, row))
            else:
                self.drop(1)
            self.answered += 1

    def drop(self, rows: int) -> None:
        """Count rows that will not be sent."""
        self.dropped += rows
        self._dropped_at = time.monotonic()

    def dropping(self, seconds: float) -> bool:
        """Whether rows were dropped during the last `seconds`."""
        return time.monotonic() - self._dropped_at < seconds

    def take(self, limit: int) -> Block | None:
        """Remove the oldest rows, up to `limit` of one version, and return them as an event; None if there are none."""
        if not self._rows:
            return None
        before, first = self._rows[0]
        rows: list[Logged] = []
        while self._rows and len(rows) < limit and self._rows[0][1].model is first.model:
            rows.append(self._rows.popleft()[1])
        self._sequence += 1
        return Block(len(rows), _event(self._replica, self._sequence, before, rows))


def _event(replica: str, sequence: int, answered_before: int, rows: list[Logged]) -> str:
    model = rows[0].model
    # Encoded by hand: PredictionsLogged would validate each number. A test holds that it reads what is written here.
    return msgspec.json.encode(
        {
            "event_id": uuid4(),
            "occurred_at": utc_now(),
            "replica": replica,
            "sequence": sequence,
            "answered_before": answered_before,
            "rows": len(rows),
            "model_name": model.name,
            "model_version": model.version,
            "request_id": [row.request_id for row in rows],
            "index": [row.position for row in rows],
            "mode": [row.mode for row in rows],
            "time": [row.time for row in rows],
            "latency": [row.latency for row in rows],
            "features": list(zip(*(row.features for row in rows), strict=True)),  # NaN becomes null
            "prediction": [row.prediction for row in rows],
        }
    ).decode()


class PredictionLogger:
    """Sends what is in the buffer, at least every `seconds` and whenever `rows` wait."""

    def __init__(self, buffer: Buffer, publish: Publish, *, seconds: float, rows: int) -> None:
        self.buffer = buffer
        self._publish = publish
        self._seconds = seconds
        self._limit = rows
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._block: Block | None = None

    def add(self, rows: Iterable[Logged]) -> None:
        """Take answered predictions. Call it on the event loop's thread."""
        self.buffer.add(rows)
        self._some.set()
        if len(self.buffer) >= self._limit:
            self._enough.set()

    async def run(self) -> None:
        """Send for ever."""
        pause = _FIRST_PAUSE
        while True:
            await self._something_to_do()
            try:
                await self.flush()
                pause = _FIRST_PAUSE
            except UNAVAILABLE as error:
                log.debug("predictions cannot be logged now", error=str(error), waiting=self.waiting)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def flush(self, *, everything: bool = False) -> None:
        """Send what waits, in events of `rows`; a smaller one only first or last. Raises one of UNAVAILABLE.

        Args:
            everything: until nothing waits. Else until less than an event's worth does, because under load there would
                always be a few rows more.
        """
        await self._send()
        while len(self.buffer) >= (1 if everything else self._limit):
            await self._send()
        if not self.buffer:
            self._some.clear()

    async def _send(self) -> None:
        self._block = block = self._block or self.buffer.take(self._limit)
        if block is None:
            return
        if await self._publish(block.event):
            self.buffer.sent += block.rows
        else:
            self.buffer.drop(block.rows)
        self._block = None

    @property
    def waiting(self) -> int:
        """Rows that were neither sent nor dropped yet."""
        return len(self.buffer) + (self._block.rows if self._block else 0)

    async def drain(self, seconds: float) -> None:
        """Send what is left, and count as dropped what could not be sent in time."""
        try:
            async with asyncio.timeout(seconds):
                await self.flush(everything=True)
        except (*UNAVAILABLE, TimeoutError) as error:
            lost = self.waiting
            self.buffer.drop(lost)
            log.warning("predictions were not logged", rows=lost, error=str(error) or "timed out")

    async def _something_to_do(self) -> None:
        await self._some.wait()
        try:
            async with asyncio.timeout(self._seconds):
                await self._enough.wait()
        except TimeoutError:
            pass
        self._enough.clear()
