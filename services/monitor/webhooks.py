"""Delivering webhooks: claim what is due, try, and say what became of it. Several monitors share the work."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from shared.clock import utc_now
from shared.store import Store
from shared.tasks import end, until_cancelled
from shared.telemetry import get_logger
from shared.webhooks.delivery import Answer, Delivery
from shared.webhooks.messages import Attempt, Claimed, Messages, Webhook, WebhookState, about
from shared.webhooks.outcomes import write_outcome
from shared.webhooks.schedule import Schedule

AT_ONCE = 32  # messages; an attempt takes a socket and some kilobytes
AT_ONCE_PER_HOST = 8  # one that hangs must not hold up all others
LOOK_AT = 1000  # messages, to find some for other hosts
LOOK_SECONDS = 0.5
DIED = "the sender died before it knew what became of it"
FAILED = "the sender failed; its log has the cause"

log = get_logger(__name__)


class Webhooks:
    """Sends the messages of one tenant.

    A claim lasts for two timeouts: one for the attempt, one to tell store and Redis what became of it.

    Args:
        delivery: None when there is no secret to sign with: messages wait then.
        counted: is told of every outcome: delivered, retried, failed, disabled, or lost (somebody else has taken over).
    """

    def __init__(
        self,
        messages: Messages,
        store: Store,
        delivery: Delivery | None,
        schedule: Schedule,
        *,
        timeout: timedelta,
        counted: Callable[[str], None],
    ) -> None:
        self.waiting = 0
        """Messages neither received nor given up, when last looked at."""
        self._messages = messages
        self._store = store
        self._delivery = delivery
        self._schedule = schedule
        self._timeout = timeout
        self._counted = counted
        self._tasks: dict[asyncio.Task[None], str] = {}

    @property
    def warning(self) -> str | None:
        if self._delivery is not None or not self.waiting:
            return None
        return f"{self.waiting} webhooks wait: TASADOR_WEBHOOK_SECRETS has no secret to sign them with"

    async def run(self) -> None:
        """Send until cancelled. What is being sent then goes on until `stop`."""
        if self._delivery is None:
            log.info("webhooks are off: TASADOR_WEBHOOK_SECRETS has no secret")
        for _ in until_cancelled():
            try:
                await self._look()
            except (RedisError, OSError) as error:
                log.debug("cannot look for webhooks now", error=str(error))
            except Exception:  # a bug must not end the sending of the others
                log.exception("looking for webhooks failed")
            await asyncio.sleep(LOOK_SECONDS)

    async def stop(self, within: timedelta) -> None:
        """Wait for the attempts that are under way. One that takes longer is for another monitor, or the next start."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within.total_seconds())
        await end(self._tasks)

    async def _look(self) -> None:
        self.waiting = await self._messages.waiting()
        if self._delivery is None or not self.waiting:
            return
        for message_id, url in await self._messages.due(LOOK_AT):
            if len(self._tasks) >= AT_ONCE:
                return
            host = urlsplit(url).netloc
            if list(self._tasks.values()).count(host) < AT_ONCE_PER_HOST:
                await self._take(message_id, host)

    async def _take(self, message_id: str, host: str) -> None:
        claimed_at = time.monotonic()
        message = await self._messages.claim(message_id, 2 * self._timeout)
        if message is not None:
            task = asyncio.create_task(self._handle(message, host, claimed_at))
            self._tasks[task] = host
            task.add_done_callback(self._tasks.pop)

    async def _handle(self, message: Claimed, host: str, claimed_at: float) -> None:
        known = {**_context(message), "host": host}  # no more of the URL, which may hold a secret
        try:
            if message.state != "due":  # it has ended, and the store was not told yet
                await self._settle(message, message.state, message.attempts, message.tries)
            elif time.monotonic() - claimed_at < self._timeout.total_seconds():  # else we were paused
                await self._send(message, known)
        except Exception:
            log.exception("a webhook cannot be settled; it comes again when its claim has run out", **known)

    async def _send(self, message: Claimed, known: dict[str, str]) -> None:
        at, began = utc_now(), time.monotonic()
        answer = await self._attempt(message)
        seconds = round(time.monotonic() - began, 3)
        attempt = Attempt(at=at, status=answer.status, error=answer.error, seconds=seconds)
        attempts, tries = (*_before(message), attempt), _tries(message) + 1
        state, pause = self._next(answer, message, tries)
        ours = await self._settle(message, state, attempts, tries, pause)
        outcome = ("retried" if state == "due" else state) if ours else "lost"
        say = log.info if answer.delivered else log.warning
        say("webhook", outcome=outcome, status=answer.status, error=answer.error, tries=tries, **known)
        self._counted(outcome)

    async def _attempt(self, message: Claimed) -> Answer:
        assert self._delivery is not None
        try:
            return await self._delivery.send(message.id, message.url, message.body.encode())
        except Exception:  # a bug of ours: the message must be given up some day, too
            log.exception("sending a webhook failed", **_context(message))
            return Answer(error=FAILED)

    def _next(self, answer: Answer, message: Claimed, tries: int) -> tuple[WebhookState, timedelta | None]:
        if answer.delivered:
            return "delivered", None
        if answer.gone:
            return "disabled", None
        elapsed = utc_now() - message.since
        pause = None if answer.refused else self._schedule.pause(tries, elapsed, answer.retry_after)
        return ("failed", None) if pause is None else ("due", pause)

    async def _settle(
        self,
        message: Claimed,
        state: WebhookState,
        attempts: tuple[Attempt, ...],
        tries: int,
        pause: timedelta | None = None,
    ) -> bool:
        """Tell the store of an end, then Redis; False when the message has passed to somebody else."""
        if state != "due" and not await self._recorded(message, state, attempts):
            pause = self._timeout
        for _ in until_cancelled():
            try:
                return await self._messages.settle(message, state, attempts, tries=tries, again=pause)
            except (RedisError, OSError) as error:
                log.debug("cannot say what became of a webhook now", error=str(error), **_context(message))
            await asyncio.sleep(LOOK_SECONDS)
        raise AssertionError  # until_cancelled does not end

    async def _recorded(self, message: Claimed, state: WebhookState, attempts: tuple[Attempt, ...]) -> bool:
        try:
            async with asyncio.timeout(self._timeout.total_seconds() / 2):
                await write_outcome(self._store, message.id, Webhook(url=message.url, state=state, attempts=attempts))
        except OSError as error:  # a TimeoutError is one
            log.warning("the store cannot be told of a webhook; trying again", error=str(error), **_context(message))
            return False
        return True


def _context(message: Claimed) -> dict[str, str]:
    """What every log line about it carries."""
    return {**about(message.id), "request_id": message.request_id}


def _before(message: Claimed) -> tuple[Attempt, ...]:
    """The attempts that are known, and the one that its sender could not tell of."""
    died = [] if message.orphaned_at is None else [Attempt(at=message.orphaned_at, error=DIED)]
    return (*message.attempts, *died)


def _tries(message: Claimed) -> int:
    return message.tries + (message.orphaned_at is not None)
