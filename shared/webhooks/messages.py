"""The queue of messages in Redis: who sends which, when next, and what became of it.

A message is claimed for a time. Whoever does not say within it what became of the attempt has died, and somebody else
claims the message: so it is never lost, never sent by two at once, and may be received twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import randrange
from secrets import token_hex
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter
from redis.asyncio import Redis

from shared.clock import utc_now
from shared.keys import Keys
from shared.lua import assembled

KEPT = timedelta(days=7)
"""How long Redis remembers a message that has ended."""
ATTEMPTS_KEPT = 30

ALERT = "alert-"
"""What the id of a message about an alert begins with; the id of one about a job is the job's."""

WebhookState = Literal["waiting", "due", "delivered", "failed", "disabled"]

_LUA = Path(__file__).parent / "scripts"
ENQUEUE = (_LUA / "prelude.lua").read_text()
"""For scripts that enqueue a message in one step with something else."""


def alert_message_id(alert_id: str, state: str) -> str:
    """Return the id of the message that an alert came into a state: there is one."""
    return f"{ALERT}{alert_id}-{state}"


def about(message_id: str) -> dict[str, str]:
    """Return what a message is about, as the field of a log line."""
    if message_id.startswith(ALERT):
        return {"alert_id": message_id.removeprefix(ALERT).rpartition("-")[0]}
    return {"job_id": message_id}


class Attempt(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    at: AwareDatetime
    status: int | None = Field(None, description="Status of the answer, if there was one.")
    error: str | None = Field(None, description="Why the message does not count as received.")
    seconds: float | None = Field(None, description="How long it took; null when the sender died.")


_Attempts = TypeAdapter(tuple[Attempt, ...])


class Webhook(BaseModel):
    """What became of a message, as clients see it and as the store keeps it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    state: WebhookState = Field(
        description="waiting: there is nothing to tell yet; due: to be sent, again perhaps; delivered: answered by "
        "2xx; failed: given up; disabled: the receiver answered 410."
    )
    attempts: tuple[Attempt, ...] = Field((), description=f"The newest {ATTEMPTS_KEPT}, oldest first.")
    next_attempt_at: AwareDatetime | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that we alone may send for a while, or whose end we alone may record."""

    id: str
    token: str
    url: str
    body: str
    state: WebhookState
    attempts: tuple[Attempt, ...]
    tries: int
    """Attempts since it was due first, or resent."""
    since: datetime
    """When that was tried first."""
    orphaned_at: datetime | None
    """When it was claimed by somebody who never said what became of it."""
    request_id: str = ""
    """Of the request that led to it."""


class Messages:
    """Messages of one tenant. `redis` decodes responses; nothing here retries, and every call may be repeated."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._scripts = {
            name: redis.register_script(assembled((_LUA / f"{name}.lua").read_text(), ENQUEUE))
            for name in ("enqueue", "claim", "settle", "resend")
        }

    async def enqueue(self, message_id: str, url: str, body: str) -> bool:
        """Have a message sent; False if there is one of this id. It arrives as `webhook-id: msg_<id>`.

        Args:
            url: checked by `check_url`.
            body: JSON.
        """
        return bool(await self._run("enqueue", message_id, url, body))

    async def resend(self, message_id: str, url: str, body: str, request_id: str = "") -> bool:
        """Have a message sent now, whatever became of it; False while it is being sent."""
        return bool(await self._run("resend", message_id, url, body, request_id))

    async def due(self, limit: int) -> list[tuple[str, str]]:
        """Return id and URL of messages that are due, or whose end is to be recorded, those that wait longest first.

        Of more than `limit` some that lie together: whoever cannot send the first ones finds others in a later look.
        """
        now = await self._now()
        spare = await self._redis.zcount(self._keys.webhooks_due, 0, now) - limit
        start = randrange(spare + 1) if spare > 0 else 0
        ids: Any = await self._redis.zrangebyscore(self._keys.webhooks_due, 0, now, start, limit)
        async with self._redis.pipeline(transaction=False) as pipe:
            for message_id in ids:
                pipe.hget(self._keys.webhook(message_id), "url")
            urls = await pipe.execute()
        return [(message_id, url or "") for message_id, url in zip(ids, urls, strict=True)]

    async def claim(self, message_id: str, hidden: timedelta) -> Claimed | None:
        """Claim a message for so long; None when it is not due any more."""
        token = token_hex(8)
        fields = await self._run("claim", message_id, token, _milliseconds(hidden))
        return _claimed(message_id, token, dict(zip(fields[::2], fields[1::2], strict=True))) if fields else None

    async def settle(
        self,
        claimed: Claimed,
        state: WebhookState,
        attempts: Sequence[Attempt],
        *,
        tries: int,
        again: timedelta | None,
    ) -> bool:
        """Say what became of a message; False when the claim has passed to somebody else.

        Args:
            again: when to look at it again; None when there is nothing left to do.
        """
        pause = "" if again is None else _milliseconds(again)
        text = _Attempts.dump_json(tuple(attempts)[-ATTEMPTS_KEPT:])
        kept = int(KEPT.total_seconds())
        return bool(await self._run("settle", claimed.id, claimed.token, state, tries, text, pause, kept))

    async def find(self, message_id: str) -> Webhook | None:
        """Return what Redis knows of a message."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(self._keys.webhook(message_id))
            pipe.zscore(self._keys.webhooks_due, message_id)
            fields, due = await pipe.execute()
        if not fields:
            return None
        again = _time(due) if fields["state"] == "due" else None
        return Webhook(url=fields["url"], state=fields["state"], attempts=_attempts(fields), next_attempt_at=again)

    async def waiting(self) -> int:
        """Return how many messages are not yet received, or given up."""
        return int(await self._redis.zcard(self._keys.webhooks_due))

    async def _now(self) -> int:
        seconds, microseconds = await self._redis.time()
        return seconds * 1000 + microseconds // 1000

    async def _run(self, script: str, message_id: str, *args: str | bytes | int) -> Any:
        keys = [self._keys.webhooks_due, self._keys.webhook(message_id)]
        return await self._scripts[script](keys=keys, args=[message_id, *args])


def _claimed(message_id: str, token: str, fields: dict[str, str]) -> Claimed:
    return Claimed(
        id=message_id,
        token=token,
        url=fields["url"],
        body=fields["body"],
        state=fields["state"],  # type: ignore[arg-type]  # what `settle` wrote
        attempts=_attempts(fields),
        tries=int(fields.get("tries", 0)),
        since=_time(fields.get("since")) or utc_now(),
        orphaned_at=_time(fields.get("claimed")) if "holder" in fields else None,
        request_id=fields.get("request_id", ""),
    )


def _attempts(fields: dict[str, str]) -> tuple[Attempt, ...]:
    return _Attempts.validate_json(fields.get("attempts") or "[]")


def _time(milliseconds: str | float | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(float(milliseconds) / 1000, UTC)


def _milliseconds(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
