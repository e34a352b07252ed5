"""Handing a command to the trainer: it and the record of its operation reach Redis together, or neither does."""

from redis.asyncio import Redis

from shared.events import (
    OPERATION_SECONDS,
    Command,
    Operation,
    OperationKind,
    PromotionRequested,
    ReloadRequested,
    RetrainRequested,
    RollbackRequested,
)
from shared.keys import Keys
from shared.lua import assembled

MAX_WAITING = 100
"""Commands of one kind that may wait for the trainer; they keep Redis small when there is none."""

GIVE = """
-- The command goes to `stream`; `operation` tells what becomes of it. args: record, its lifetime in seconds, entry.
local function give(operation, stream, record, seconds, entry)
  redis.call('SET', operation, record, 'EX', seconds)
  redis.call('XADD', stream, '*', '__data__', entry)
end
"""
"""For scripts that give a command in one step with something else; `given` is what it is to be called with."""

# KEYS and ARGV: as GIVE wants them, then how many may wait.
_GIVE = """#!lua
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[4]) then return 0 end
give(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3])
return 1
"""

_KINDS: dict[type[Command], OperationKind] = {
    RetrainRequested: "retrain",
    PromotionRequested: "promote",
    RollbackRequested: "rollback",
    ReloadRequested: "reload",
}


class TooManyWaiting(RuntimeError):
    """So many commands of the kind wait that the trainer is most likely not running."""


async def give(redis: Redis, keys: Keys, command: Command) -> Operation:
    """Hand a command to the trainer. It is durable when this returns.

    Raises:
        TooManyWaiting: nothing was written.
    """
    names, args = given(keys, command)
    if not await redis.eval(assembled(_GIVE, GIVE), len(names), *names, *args, MAX_WAITING):
        raise TooManyWaiting(f"{MAX_WAITING} commands wait for the trainer; is it running?")
    return operation_of(command)


def given(keys: Keys, command: Command) -> tuple[list[str], list[str | int]]:
    """Return the keys and the arguments of `GIVE` for a command."""
    names = [keys.operation(command.operation_id), keys.stream(command.stream)]
    return names, [operation_of(command).to_json(), OPERATION_SECONDS, command.entry()["__data__"]]


def operation_of(command: Command) -> Operation:
    """Return the record of a command that waits."""
    return Operation(
        id=command.operation_id,
        kind=_KINDS[type(command)],
        reason=command.reason,
        request_id=command.request_id,
        created_at=command.occurred_at,
    )
