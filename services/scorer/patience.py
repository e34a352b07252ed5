"""Trying again what is nobody's fault, and telling "not now" from "never"."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from obstore.exceptions import BaseError
from pydantic import ValidationError

from shared.artifact import ArtifactInvalid
from shared.broker import UNAVAILABLE
from shared.chunks import ChunkInvalid
from shared.store import ObjectNotFound
from shared.telemetry import get_logger

STORE_AWAY = (OSError, BaseError)
"""It may work later, here or elsewhere."""
GONE = (ObjectNotFound, ArtifactInvalid, ChunkInvalid, ValidationError)
"""What the job needs is not there, or is damaged."""
ATTEMPTS = 4
FIRST_PAUSE = 0.25  # seconds; doubles: 0.25 + 0.5 + 1 s in all
REDIS_PAUSE = 0.3  # seconds between attempts while Redis is away

T = TypeVar("T")
log = get_logger(__name__)


class JobImpossible(Exception):
    """The whole job cannot be done, however often one tries. The message is for its owner."""


class StoreAway(Exception):
    """The store did not answer for a while."""


async def insist(what: str, call: Callable[[], Awaitable[T]], pause: float = FIRST_PAUSE) -> T:
    """Ask the store until it works, a few times. Only what is missing every time is really gone.

    Raises:
        JobImpossible, StoreAway
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return await call()
        except (*GONE, *STORE_AWAY) as error:
            log.debug("trying again", what=what, error=str(error))
        await asyncio.sleep(pause)
        pause *= 2
    try:
        return await call()
    except GONE as gone:
        raise JobImpossible(f"{what}: {gone}") from gone
    except STORE_AWAY as away:
        raise StoreAway(f"{what}: {away}") from away


async def until_answered(call: Callable[[], Awaitable[T]], pause: float = REDIS_PAUSE) -> T:
    """Call until Redis answers. Safe for scripts of the queue only: repeating one changes nothing."""
    while True:
        try:
            return await call()
        except UNAVAILABLE as error:
            log.debug("redis is away", error=str(error))
            await asyncio.sleep(pause)
