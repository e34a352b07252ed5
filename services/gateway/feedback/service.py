"""The use case of `/feedback`: the values of a body in the stream for the monitor, all of them or none."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from redis.asyncio import Redis

from services.gateway.feedback.items import Item
from services.gateway.feedback.reading import items_in
from services.gateway.problems import Problem, unavailable
from services.gateway.publish import ALL, appender
from services.gateway.settings import GatewaySettings
from services.gateway.tables import Format
from services.gateway.tally import Tally
from shared.clock import utc_now
from shared.events import FEEDBACK_ROWS, FeedbackReceived
from shared.keys import Keys

RETRY_AFTER = 10
"""Seconds: the monitor takes what it can join at once, so a full stream is soon a shorter one."""
_WHY = {
    "full": "the monitor has not taken what was sent before, and no more of it is kept",
    "short": "Redis is short of memory",
}


class Feedback:
    """Takes actual values. The stream is never trimmed: what was accepted waits for the monitor."""

    def __init__(self, settings: GatewaySettings, redis: Redis, tally: Tally) -> None:
        self.settings = settings
        self._tally = tally
        self._requests = 0
        self._turn = asyncio.Lock()
        stream = Keys(settings.tenant).stream(FeedbackReceived.stream)
        self._append = appender(redis, stream, settings.gateway_feedback_bytes, ALL)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold a place among the requests in memory. Raises Problem at once when all are taken."""
        most = self.settings.gateway_max_feedback_requests
        if self._requests >= most:
            raise unavailable("overloaded", f"feedback of {most} requests is being read already", retry_after=1)
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    async def take(self, body: bytes, kind: Format, request_id: str) -> int:
        """Return how many rows have got a value. They are durable when this returns.

        Raises:
            Problem: nothing was taken.
            UNAVAILABLE: nobody knows whether all or nothing was; sending it again does no harm.
        """
        async with self._turn:  # reading holds the interpreter's lock: several would keep predictions waiting
            rows, events = await asyncio.to_thread(self._read, body, kind, request_id)
        self._check_size(events)
        answer = await self._append(events)
        if answer != "ok":
            raise unavailable("feedback-full", _WHY[answer], retry_after=RETRY_AFTER)
        self._tally.feedback_rows += rows
        return rows

    def _check_size(self, events: Sequence[bytes]) -> None:
        """Refuse what would find no room in an empty stream either: coming again would not help."""
        size, most = sum(map(len, events)), self.settings.gateway_feedback_bytes
        if size > most:
            detail = f"these values take {size:,} bytes, and {most:,} are kept in all: send them in several requests"
            raise Problem("payload-too-large", detail)

    def _read(self, body: bytes, kind: Format, request_id: str) -> tuple[int, Sequence[bytes]]:
        items = items_in(body, kind, self.settings.gateway_max_feedback_rows)
        events = events_of(items, self.settings.model_name, request_id)
        return len(items), [event.model_dump_json().encode() for event in events]


def events_of(items: Sequence[Item], model_name: str, request_id: str) -> Iterator[FeedbackReceived]:
    """Yield the events that carry these values."""
    received = utc_now()
    for start in range(0, len(items), FEEDBACK_ROWS):
        request_ids, job_ids, positions, actual = zip(*items[start : start + FEEDBACK_ROWS], strict=True)
        yield FeedbackReceived(
            occurred_at=received,
            model_name=model_name,
            brought_by=request_id,
            request_id=list(request_ids),
            job_id=list(job_ids),
            index=list(positions),
            actual=list(actual),
        )
