"""Asks for trainings at the times that `retrain.schedule` of params.yaml names, in UTC.

What was seen to is remembered in Redis, and changed by the same script that gives the command: a time is asked for
once, whatever restarts or takes over in between. Of times that passed while nobody led, the last one is made up for.
The file is read at every look, so that a change counts within a minute; a schedule that is new begins with its next
time.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from cronsim import CronSim
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.clock import utc_now
from shared.events import OPERATION_SECONDS, Operation, RetrainRequested
from shared.keys import Keys
from shared.params import ParamsInvalid, load_params
from shared.tasks import until_cancelled
from shared.telemetry import get_logger

LOOK_SECONDS = 20.0

# KEYS: schedule, operation, stream | ARGV: expression, latest time, operation, seconds it is kept, command
# What is remembered under another expression says nothing about this one: it begins now.
_ASK = """
local seen=redis.call('HMGET',KEYS[1],'expression','at')
local known=seen[1]==ARGV[1]
if known and seen[2]>=ARGV[2] then return 0 end
redis.call('HSET',KEYS[1],'expression',ARGV[1],'at',ARGV[2])
if not known then return 0 end
redis.call('SET',KEYS[2],ARGV[3],'EX',ARGV[4])
redis.call('XADD',KEYS[3],'*','__data__',ARGV[5])
return 1
"""

log = get_logger(__name__)


class Schedule:
    """Looks at one model's schedule."""

    def __init__(self, redis: Redis, keys: Keys, model: str, params_path: Path) -> None:
        self._redis = redis
        self._keys = keys
        self._model = model
        self._params_path = params_path
        self._expression = ""
        self._complaint = ""

    async def run(self) -> None:
        """Look for ever. Only the leading trainer does."""
        for _ in until_cancelled():
            try:
                await self.look(utc_now())
            except (RedisError, OSError) as error:
                log.debug("could not look at the schedule", error=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, now: datetime) -> bool:
        """Ask for a training if one is due; return whether it was."""
        expression = await asyncio.to_thread(self._read)
        due = latest(expression, now) if expression else None
        if due is None:
            await self._redis.delete(self._keys.schedule(self._model))  # one that is set again begins anew
            return False
        asked = await self._ask(expression, due)
        if asked:
            log.info("a training is due", schedule=expression, due=due.isoformat())
        return asked

    async def _ask(self, expression: str, due: datetime) -> bool:
        operation = Operation(
            id=uuid4().hex, kind="retrain", reason=f"scheduled: {expression}, {due:%Y-%m-%d %H:%M} UTC"
        )
        command = RetrainRequested(operation_id=operation.id, reason=operation.reason, trigger="schedule")
        names = [
            self._keys.schedule(self._model),
            self._keys.operation(operation.id),
            self._keys.stream(command.stream),
        ]
        values: list[Any] = [
            expression,
            f"{due:%Y-%m-%dT%H:%M}",
            operation.to_json(),
            OPERATION_SECONDS,
            command.model_dump_json(),
        ]
        return bool(await self._redis.eval(_ASK, len(names), *names, *values))

    def _read(self) -> str:
        """Return the expression; the one known last while the file cannot be used."""
        try:
            self._expression, self._complaint = load_params(self._params_path).retrain.schedule, ""
        except ParamsInvalid as invalid:
            if str(invalid) != self._complaint:
                log.warning("the schedule is kept: the params cannot be read", error=str(invalid))
            self._complaint = str(invalid)
        return self._expression


def latest(expression: str, now: datetime) -> datetime | None:
    """Return the newest time of a schedule that is not later than `now`; None when there was none in fifty years."""
    minute = now.astimezone(UTC).replace(second=0, microsecond=0)
    return next(CronSim(expression, minute + timedelta(minutes=1), reverse=True), None)
