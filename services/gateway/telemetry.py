"""Answered predictions on their way to the monitor: buffered, sent in columns, dropped and counted, never waited for.

A consumer sees what it missed from `answered_before`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from services.gateway.blocks import ScoredRows
from services.gateway.buffer import Buffer
from services.gateway.logged import Event
from services.gateway.tally import Mode, Predictions
from shared.broker import UNAVAILABLE
from shared.engine import Model
from shared.telemetry import get_logger

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0  # seconds between attempts while Redis is away

Publish = Callable[[bytes], Awaitable[bool]]
"""Append the event (JSON) to its stream. False: there was no room for it, and it is lost. Raises one of UNAVAILABLE."""

log = get_logger(__name__)


class PredictionLogger:
    """Sends what is in the buffer, at least every `seconds` and whenever a block is full."""

    def __init__(self, buffer: Buffer, publish: Publish, *, seconds: float) -> None:
        self.buffer = buffer
        self._publish = publish
        self._seconds = seconds
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._event: Event | None = None

    def add(self, model: Model, request_id: str, row: Sequence[float], prediction: float, seconds: float) -> None:
        """Take a single prediction that was answered. Call it on the event loop's thread."""
        filled = self.buffer.add(model, request_id, row, prediction, seconds)
        self._wake(filled)

    def add_batch(self, model: Model, request_id: str, scored: ScoredRows) -> None:
        """Take the rows of a batch. Call it on the event loop's thread."""
        if len(scored.rows):
            self._wake(self.buffer.add_batch(model, request_id, scored))

    def add_failed(self, model: Model, mode: Mode, rows: int) -> None:
        """Take rows that were refused, or that the engine failed on. Call it on the event loop's thread."""
        self.buffer.fail(model, mode, rows)
        self._wake(False)

    def counted(self) -> Predictions:
        """Return what was answered so far, in figures."""
        return self.buffer.counted()

    def _wake(self, filled: bool) -> None:
        if filled:
            self._enough.set()
        if not self._some.is_set():
            self._some.set()

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
        """Send what waits. Raises one of UNAVAILABLE.

        Args:
            everything: until no rows wait. Else until no full block does, because under load there would always be a
                few rows more.
        """
        await self._send()
        while self.buffer if everything else self.buffer.has_full:
            await self._send()
        if not self.buffer and not self.buffer.has_untold:
            self._some.clear()

    async def _send(self) -> None:
        self._event = event = self._event or self.buffer.take()
        if event is None:
            return
        if await self._publish(await event.text()):
            self.buffer.sent_is(event)
        else:
            self.buffer.refused(event)
        self._event = None

    @property
    def waiting(self) -> int:
        """Rows that were neither sent nor dropped yet."""
        return len(self.buffer) + (self._event.rows if self._event else 0)

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
