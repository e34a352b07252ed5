"""Waiting for a state with a deadline, in place of sleeping a fixed time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(state: Callable[[], Awaitable[T]], *, within: float = 20.0, every: float = 0.02) -> T:
    """Return the first true answer of `state`.

    An AssertionError or an error of the connection counts as "not yet"; the last one is shown if time runs out.
    """
    deadline = time.monotonic() + within
    last: object = None
    while True:
        try:
            last = answer = await state()
            if answer:
                return answer
        except (AssertionError, OSError, ConnectionError) as error:
            last = error
        except Exception as error:
            if "redis" not in type(error).__module__:
                raise
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {state!r}; last seen: {last!r}")
        await asyncio.sleep(every)
