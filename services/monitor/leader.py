"""Of several monitors one leads: it alone evaluates and asks for retraining. When it dies, another follows."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from redis.exceptions import RedisError

from services.monitor.monitor import NoModel
from shared.lease import Lease
from shared.tasks import until_cancelled
from shared.telemetry import get_logger

LOOK_SECONDS = 0.5
PAUSE = 5.0  # seconds, after a look that failed

log = get_logger(__name__)


class Leader:
    """Holds the lease as long as it can, and does the work meanwhile.

    Args:
        work: one look; it must not write without naming the lease, which may be lost at any moment.
    """

    def __init__(self, lease: Lease, work: Callable[[Lease], Awaitable[None]]) -> None:
        self.leading = False
        self.lease = lease
        self._work = work

    async def run(self) -> None:
        """Lead whenever nobody else does, until cancelled."""
        for _ in until_cancelled():
            try:
                if await self.lease.acquire():
                    await self._lead()
            except (RedisError, OSError) as error:
                log.debug("cannot lead now", error=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def _lead(self) -> None:
        log.info("leading")
        self.leading = True
        try:
            async with self.lease.kept():
                for _ in until_cancelled():
                    if not await self.lease.renew():
                        break
                    await asyncio.sleep(LOOK_SECONDS if await self._look() else PAUSE)
        finally:
            self.leading = False
            log.info("not leading any more")
            with suppress(RedisError, OSError):
                await self.lease.release()

    async def _look(self) -> bool:
        try:
            await self._work(self.lease)
        except NoModel as missing:
            log.debug("there is nothing to evaluate", reason=str(missing))
            return False
        except (RedisError, OSError):
            raise
        except Exception:  # a bug must not end the leadership, and another monitor would meet it as well
            log.exception("an evaluation failed")
            return False
        return True
