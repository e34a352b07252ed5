"""Taking over entries whose scorer fell silent.

FastStream could claim too, but it would claim while the engine is busy, and as soon as Redis is back. An outage ages
every lease at once: the holders, who are alive, get one lease to renew before anybody takes anything over.
"""

import asyncio
import time
from datetime import timedelta
from typing import Protocol

from redis.exceptions import RedisError

from services.scorer.metrics import Metrics
from services.scorer.upkeep import Upkeep
from shared.scripts import Held
from shared.telemetry import get_logger

log = get_logger(__name__)


class Hands(Protocol):
    """Whoever does the work."""

    turn: asyncio.Semaphore

    async def process(self, held: Held) -> None: ...


class Reclaimer:
    """Looks for silent holders about once a second, when it is this scorer's turn to work."""

    def __init__(self, upkeep: Upkeep, worker: Hands, *, consumer: str, lease: timedelta, metrics: Metrics) -> None:
        self._upkeep = upkeep
        self._worker = worker
        self._consumer = consumer
        self._lease = lease
        self._metrics = metrics
        self._every = min(1.0, lease.total_seconds() / 4)
        self._begun = False
        self._not_before = 0.0
        self._stopping = asyncio.Event()

    def begin(self) -> None:
        """Take over from now on: it is known how long the server has been there."""
        self._begun = True

    def hold_off(self) -> None:
        """Take nothing over for one lease."""
        self._not_before = time.monotonic() + self._lease.total_seconds()

    async def run(self) -> None:
        """Reclaim until stopped; what is in work then is finished first."""
        while not self._stopping.is_set():
            try:
                if await self._one():
                    continue
            except (RedisError, OSError) as error:
                log.debug("cannot reclaim now", error=str(error))
            except Exception:
                log.exception("could not reclaim")
            await self._pause()

    def stop(self) -> None:
        self._stopping.set()

    async def _one(self) -> bool:
        async with self._worker.turn:
            if not self._begun or time.monotonic() < self._not_before or self._stopping.is_set():
                return False
            held = await self._upkeep.claim(self._consumer, self._lease)
            if held is None:
                return False
            log.warning("taking over from a silent scorer", **held.context)
            self._metrics.reclaimed.inc()
            await self._worker.process(held)
            return True

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), self._every)
        except TimeoutError:
            return
