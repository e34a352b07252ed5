"""The thread in which the engine runs, and what to do about an engine that never comes back."""

import asyncio
import faulthandler
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

BACKSTOP_SECONDS = 5.0  # for the event loop to deal with it, after which the process ends whatever holds it up
LOOK_SECONDS = 0.05

T = TypeVar("T")


class EngineHangs(RuntimeError):
    """The engine took too long. Nothing can interrupt it: the process has to end."""


class EngineThread:
    """One thread: a chunk whose lease was lost has to leave it before the next one may enter."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: what a call may take."""
        self.computing = False
        """Whether a call runs: it cannot be interrupted."""
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="engine")

    async def run(self, call: Callable[[], T]) -> T:
        """Raises EngineHangs, and whatever the call raises."""
        # What was abandoned leaves some day; its time must not count against this call.
        while self.computing:  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(LOOK_SECONDS)
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.get_running_loop().run_in_executor(self._pool, self._watched, call)
        except TimeoutError as late:
            raise EngineHangs(f"no answer within {self._seconds:g} s") from late

    def _watched(self, call: Callable[[], T]) -> T:
        # An engine that hangs with the interpreter's lock stops the event loop, too; this needs neither.
        faulthandler.dump_traceback_later(self._seconds + BACKSTOP_SECONDS, exit=True)
        self.computing = True
        try:
            return call()
        finally:
            self.computing = False
            faulthandler.cancel_dump_traceback_later()
