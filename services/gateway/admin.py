"""Commands to the trainer: checked as far as can be, recorded as an operation, and handed over in one transaction."""

import asyncio
import re
from collections.abc import Callable
from typing import Annotated, Any, Protocol
from uuid import uuid4

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from redis.asyncio import Redis

from services.gateway.problems import ErrorItem, Problem, unavailable
from shared.broker import UNAVAILABLE
from shared.commands import TooManyWaiting, give
from shared.events import (
    Command,
    Operation,
    OperationKind,
    PromotionRequested,
    ReloadRequested,
    RetrainRequested,
    RollbackRequested,
)
from shared.keys import Keys
from shared.telemetry import get_logger

POLL_SECONDS = 0.2

log = get_logger(__name__)

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # a version is part of a path in the store


def _text(version: object) -> object:
    """Versions are numbers written as text, and easily sent as numbers."""
    return str(version) if isinstance(version, int) and not isinstance(version, bool) else version


class Order(BaseModel):
    """The body of an admin route; it may be left out where no version is needed."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[str | None, BeforeValidator(_text)] = Field(
        None, description="`promote` needs one; `rollback` returns to the previous without."
    )
    reason: str = Field("", max_length=500, description="Kept in the model's history.")


class Versions(Protocol):
    """Knows the versions in the store."""

    async def exists(self, version: str) -> bool: ...

    async def previous(self) -> str | None: ...


class Admin:
    """Gives commands and tells what became of them. Its methods raise Problem, and UNAVAILABLE while Redis is away."""

    def __init__(self, redis: Redis, keys: Keys, versions: Versions, stopping: Callable[[], bool]) -> None:
        self._redis = redis
        self._keys = keys
        self._versions = versions
        self._stopping = stopping

    async def give(self, kind: OperationKind, order: Order, request_id: str) -> Operation:
        """Hand a command to the trainer. It is durable when this returns."""
        await self._check(kind, order)
        reason = order.reason or f"{kind} asked for by an operator"
        try:
            operation = await give(self._redis, self._keys, _command(kind, order.version, reason, request_id))
        except TooManyWaiting as waiting:
            raise unavailable("overloaded", str(waiting)) from waiting
        log.info("command given", operation_id=operation.id, kind=kind, version=order.version, reason=reason)
        return operation

    async def operation(self, operation_id: str) -> Operation:
        text: Any = await self._redis.get(self._keys.operation(operation_id))
        if text is None:
            raise Problem("operation-not-found", f"no operation {operation_id[:64]!r} is known")
        return Operation.model_validate_json(text)

    async def wait(self, operation: Operation, seconds: float) -> Operation:
        """Return the operation when it has ended, or as last seen after `seconds`, or when it cannot be seen any more.

        Never raises: the command was accepted, and whoever gave it must not be led to give it again.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not operation.done and loop.time() < deadline and not self._stopping():
            await asyncio.sleep(min(POLL_SECONDS, deadline - loop.time()))
            try:
                operation = await self.operation(operation.id)
            except (Problem, *UNAVAILABLE):
                break
        return operation

    async def _check(self, kind: OperationKind, order: Order) -> None:
        """Refuse at once what the trainer would refuse later."""
        if order.version is None:
            if kind == "promote":
                detail = "name the version to promote"
                raise Problem("invalid-body", detail, errors=[ErrorItem("/version", "missing", "is required")])
            if kind == "rollback" and await self._versions.previous() is None:
                raise Problem("conflict", "there is no earlier version to go back to")
            return
        if kind in ("reload", "retrain"):
            detail = f"{kind} takes no version"
            raise Problem("invalid-body", detail, errors=[ErrorItem("/version", "unknown_field", detail)])
        if not _VERSION.fullmatch(order.version) or not await self._versions.exists(order.version):
            raise Problem("version-not-found", f"the store has no version {order.version[:64]!r}")


def _command(kind: OperationKind, version: str | None, reason: str, request_id: str) -> Command:
    named = {"operation_id": uuid4().hex, "request_id": request_id, "reason": reason}
    match kind:
        case "reload":
            return ReloadRequested(**named)
        case "retrain":
            return RetrainRequested(**named)
        case "promote":
            assert version is not None  # checked
            return PromotionRequested(**named, version=version)
        case "rollback":
            return RollbackRequested(**named, version=version)
