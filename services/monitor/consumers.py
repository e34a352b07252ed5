"""FastStream subscribers, and what keeps them alive: groups, restarts, reclaim of what a dead monitor left.

FastStream reads new entries; it would stop for good when a group vanishes, and never looks at entries that another
consumer left pending, so a watchdog and a reclaim loop do that.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from faststream import AckPolicy
from faststream.redis import RedisBroker, StreamSub
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from services.monitor.entries import Entry
from shared.broker import UNAVAILABLE, ensure_group
from shared.telemetry import get_logger

BATCH = 20  # entries per read: at up to 1,000 rows each, what a dead monitor leaves to others
POLL_MS = 500
CHECK_SECONDS = 0.5
RESTARTS_TOLERATED = 3  # FastStream restarts a failing reader at once and keeps the old task

log = get_logger(__name__)
Handler = Callable[[Sequence[Entry]], Awaitable[None]]


@dataclass(frozen=True)
class Subscription:
    stream: str
    group: str
    handle: Handler


@dataclass
class _Reader:
    subscription: Subscription
    subscriber: Any
    claim_from: bytes = b"0-0"


class Consumers:
    """Delivers entries to handlers until stopped, through every outage of Redis.

    Args:
        url: of Redis.
        consumer: name of this process in its groups, unique per start.
        reclaim_after: an entry that a consumer has held for longer is taken over.
        drain: how long a stop waits for handlers.
        middleware: FastStream's Prometheus middleware, which its own types do not accept.
    """

    def __init__(
        self,
        url: str,
        consumer: str,
        subscriptions: Sequence[Subscription],
        *,
        reclaim_after: timedelta,
        drain: timedelta,
        middleware: Any,
    ) -> None:
        self.consuming = False
        """Whether every subscriber was reading when last looked at."""
        self._broker = RedisBroker(
            url,
            ack_policy=AckPolicy.MANUAL,
            apply_types=False,  # handlers take the entries as they are
            graceful_timeout=drain.total_seconds(),
            log_level=logging.DEBUG,
            logger=_logger(),
            middlewares=[middleware],
        )
        self._consumer = consumer
        self._reclaim_ms = int(reclaim_after.total_seconds() * 1000)
        self._readers = [_Reader(s, self._subscribe(s)) for s in subscriptions]

    async def run(self) -> None:
        """Consume for ever."""
        redis: Redis = await self._broker.connect()
        # Apart, because a handler may wait for long (a log that cannot be written) and healing must not.
        await asyncio.gather(
            _forever(lambda: self._watch(redis)),
            *(_forever(partial(self._reclaim, redis, reader)) for reader in self._readers),
        )

    async def stop(self) -> None:
        """Read no more, and wait for the handlers that are running."""
        self.consuming = False
        await self._broker.stop()

    def _subscribe(self, subscription: Subscription) -> Any:
        subscriber: Any = self._broker.subscriber(
            stream=StreamSub(
                subscription.stream,
                group=subscription.group,
                consumer=self._consumer,
                batch=True,
                max_records=BATCH,
                polling_interval=POLL_MS,
            ),
            parser=_without_body,
            decoder=_entries,
        )
        subscriber(_named(subscription))
        return subscriber

    async def _watch(self, redis: Redis) -> None:
        try:
            await self._heal(redis)
        except BaseException:
            self.consuming = False
            raise
        self.consuming = True

    async def _heal(self, redis: Redis) -> None:
        """Start what does not run: at first, after a flush, or when a reader keeps failing."""
        await redis.ping()
        for reader in self._readers:
            subscriber, subscription = reader.subscriber, reader.subscription
            healthy = subscriber.running and any(not task.done() for task in subscriber.tasks)
            if healthy and len(subscriber.tasks) <= RESTARTS_TOLERATED:
                continue
            if subscriber.running:
                await subscriber.stop()
            await ensure_group(redis, subscription.stream, subscription.group)
            await subscriber.start()
            log.info("consuming", stream=subscription.stream, group=subscription.group)

    async def _reclaim(self, redis: Redis, reader: _Reader) -> None:
        """Take over entries that were pending for too long, our own included, and handle them."""
        subscription = reader.subscription
        try:
            answer: Any = await redis.xautoclaim(
                subscription.stream,
                subscription.group,
                self._consumer,
                min_idle_time=self._reclaim_ms,
                start_id=reader.claim_from,
                count=BATCH,
            )
        except ResponseError:  # the group is gone; the watchdog makes it again
            reader.claim_from = b"0-0"
            return
        reader.claim_from, found = answer[0], answer[1]
        if found:
            entries = [Entry.of(subscription.stream, entry_id, fields) for entry_id, fields in found]
            await subscription.handle(entries)


async def _forever(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("cannot consume now", error=str(error))
        except Exception:
            log.exception("consuming failed; trying again")
        await asyncio.sleep(CHECK_SECONDS)


def _logger() -> logging.Logger:
    """FastStream's logger, less what it says of every subscriber every five seconds while Redis is away."""
    logger = logging.getLogger("services.monitor.faststream")
    logger.setLevel(logging.WARNING)  # it announces every task that ends
    logger.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], UNAVAILABLE)))
    return logger


def _named(subscription: Subscription) -> Callable[[Sequence[Entry]], Awaitable[None]]:
    async def handle(entries: Sequence[Entry]) -> None:
        await subscription.handle(entries)

    handle.__name__ = getattr(subscription.handle, "__name__", "handle")
    return handle


async def _without_body(raw: dict[str, Any], original: Callable[[dict[str, Any]], Awaitable[Any]]) -> Any:
    """Build FastStream's message without parsing entries: one that is not UTF-8 would fail the whole batch."""
    message = await original({**raw, "data": []})
    message.raw_message = raw
    return message


async def _entries(message: Any) -> list[Entry]:
    raw = message.raw_message
    return [
        Entry.of(raw["channel"], entry_id, fields)
        for entry_id, fields in zip(raw["message_ids"], raw["data"], strict=True)
    ]
