"""Commands from the gateway and the monitor, read one after the other from their streams.

Plain XREADGROUP rather than FastStream: there is one trainer at a time with one consumer name, so what a trainer that
died left pending is simply read first; and a training may run for hours, which a lease per entry would not make safer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from shared.broker import ensure_group
from shared.clock import utc_now
from shared.events import OPERATION_SECONDS, Command, Operation
from shared.keys import TRAINERS_GROUP, Keys
from shared.tasks import until_cancelled
from shared.telemetry import get_logger, traced

CONSUMER = "trainer"
PAUSE = 1.0  # seconds between attempts while Redis is away

log = get_logger(__name__)

Report = Callable[[str], Awaitable[None]]
Handler = Callable[[Any, Report], Awaitable[dict[str, Any]]]


class CommandFailed(RuntimeError):
    """A command could not be carried out; the message is for whoever gave it."""


class Lane:
    """Reads some kinds of commands and carries them out in turn.

    A command is acknowledged when its operation has ended, so one that was interrupted is carried out again: handlers
    must bear that, and recognise by the operation's id what has taken effect already.
    """

    def __init__(self, redis: Redis, keys: Keys, handlers: dict[type[Command], Handler]) -> None:
        self._redis = redis
        self._keys = keys
        self._kinds = {keys.stream(kind.stream): (kind, handler) for kind, handler in handlers.items()}

    async def run(self) -> None:
        """Carry out commands for ever, those left pending first."""
        await self._ensure_groups()
        position = "0"
        for _ in until_cancelled():
            try:
                entries = await self._read(position)
                position = "0" if entries else ">"
                for stream, entry_id, fields in entries:
                    await self._carry_out(stream, entry_id, fields)
            except ResponseError as error:  # most likely the groups are gone with the data
                position = "0"
                log.warning("reading commands failed", error=str(error))
                await asyncio.sleep(PAUSE)
                await self._ensure_groups()
            except (RedisError, OSError):
                position = "0"  # the answer that was lost may have brought an entry
                await asyncio.sleep(PAUSE)

    async def _read(self, position: str) -> Sequence[tuple[str, str, dict[str, str]]]:
        streams: Any = dict.fromkeys(self._kinds, position)
        found: Any = await self._redis.xreadgroup(TRAINERS_GROUP, CONSUMER, streams, count=1, block=1000)
        return [(stream, entry_id, fields) for stream, entries in found or [] for entry_id, fields in entries]

    async def _ensure_groups(self) -> None:
        try:
            for stream in self._kinds:
                await ensure_group(self._redis, stream, TRAINERS_GROUP)
        except (RedisError, OSError) as error:
            log.warning("cannot create consumer groups", error=str(error))

    async def _carry_out(self, stream: str, entry_id: str, fields: dict[str, str]) -> None:
        kind, handler = self._kinds[stream]
        ended: dict[str, Any] = {}
        command: Command | None = None
        try:
            command = kind.of_entry(fields)
        except (ValidationError, KeyError) as invalid:
            log.error("dropping a command that is not readable", stream=stream, error=str(invalid))
        else:
            with traced(request_id=command.request_id, operation_id=command.operation_id):
                ended = await self._perform(command, handler)
        for _ in until_cancelled():  # what has taken effect is not carried out again because Redis is away now
            try:
                if command is not None:
                    await self._update(command, finished_at=utc_now(), **ended)
                await self._acknowledge(stream, entry_id)
            except (RedisError, OSError) as error:
                log.warning("cannot say yet how a command ended", stream=stream, error=str(error))
                await asyncio.sleep(PAUSE)
            else:
                return

    async def _acknowledge(self, stream: str, entry_id: str) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xack(stream, TRAINERS_GROUP, entry_id)
            pipe.xdel(stream, entry_id)
            await pipe.execute()

    async def _perform(self, command: Command, handler: Handler) -> dict[str, Any]:
        """Return how the operation ended."""

        async def report(detail: str) -> None:
            with suppress(RedisError, OSError):  # progress is not worth a training
                await self._update(command, state="running", detail=detail)

        log.info("command taken", stream=command.stream, reason=command.reason)
        try:
            await report("")
            result = await handler(command, report)
            log.info("command succeeded", stream=command.stream, **result)
            return {"state": "succeeded", "detail": "", "result": result}
        except CommandFailed as failed:
            log.warning("command failed", stream=command.stream, error=str(failed))
            return {"state": "failed", "detail": str(failed)}
        except RedisError:
            raise  # nobody's fault: it stays pending and is carried out again
        except OSError as error:
            log.warning("command failed", stream=command.stream, error=str(error))
            return {"state": "failed", "detail": f"the disk or the store failed: {error}"}
        except Exception as error:
            log.exception("command failed", stream=command.stream)
            return {"state": "failed", "detail": f"internal error: {error}"}

    async def _update(self, command: Command, **changes: Any) -> None:
        key = self._keys.operation(command.operation_id)
        text: Any = await self._redis.get(key)
        if text is not None:
            operation = Operation.model_validate_json(text).model_copy(update=changes)
            await self._redis.set(key, operation.to_json(), ex=OPERATION_SECONDS)
