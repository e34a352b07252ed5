"""Telling the model registry who the champion is. Serving does not depend on it; `champion.json` is the decision."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, repeat
from typing import Protocol

from shared.artifact import Champion
from shared.tasks import end
from shared.telemetry import get_logger

PAUSES = (5.0, 15.0, 60.0)  # an attempt costs seconds of a processor

log = get_logger(__name__)


class VersionUnknown(RuntimeError):
    """The registry does not have the version, and will not have it later."""


class Registry(Protocol):
    """What promotion needs of the model registry."""

    async def set_champion(self, name: str, version: str) -> None:
        """Point the alias `champion` at a version. May take seconds.

        Raises:
            VersionUnknown, or anything else, which is tried again.
        """
        ...


class Mirror:
    """Keeps the registry's alias at the champion.

    Args:
        champion: returns who it is. Asked before every attempt: another trainer may have promoted since.
        pauses: seconds between attempts; the last one stays.
    """

    def __init__(
        self,
        registry: Registry,
        name: str,
        champion: Callable[[], Awaitable[Champion | None]],
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._registry = registry
        self._name = name
        self._champion = champion
        self._pauses = pauses
        self._telling: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()

    def tell(self, after: float = 0.0) -> None:
        """Tell the registry, `after` so many seconds, and again until it has heard."""
        self._tried.clear()
        self._telling = asyncio.create_task(self._tell(after, self._telling))

    async def tried(self) -> None:
        """Return when the registry was told of the last promotion, or could not be told at first."""
        if self._telling is not None:
            await self._tried.wait()

    async def _tell(self, after: float, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await end([before])  # it must not come second with the older version
        await asyncio.sleep(after)
        for pause in chain(self._pauses, repeat(self._pauses[-1])):
            settled = await self._attempt(pause)
            self._tried.set()
            if settled:
                return
            await asyncio.sleep(pause)

    async def _attempt(self, pause: float) -> bool:
        """Return whether there is nothing left to do."""
        try:
            champion = await self._champion()
            if champion is not None:
                await self._registry.set_champion(self._name, champion.version)
        except VersionUnknown as unknown:
            log.warning("the registry's alias cannot be set", error=str(unknown))
        except Exception as error:  # whatever client library is behind it
            log.warning("the registry's alias could not be set; trying again", error=str(error), pause=pause)
            return False
        return True
