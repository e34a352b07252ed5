"""Waiting for a state with a deadline, in place of sleeping a fixed time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

T = TypeVar("T")


NO_TLS = False
"""For `verify` of an httpx client that speaks plain HTTP: reading all certificates takes as long as ten requests."""
SHORTEST, LONGEST = 0.02, 0.1
"""Seconds between two looks."""


def pause(since: float) -> float:
    """Return how long to wait until the next look: what took long already is looked at less often.

    Looking costs processor time, of who looks and of who is looked at, and what is waited for may need it.
    """
    return min(max(SHORTEST, (time.monotonic() - since) / 20), LONGEST)


def nothing_waits(stats: dict[str, Any]) -> bool:
    """Whether every group of the monitors has done with all entries, by what `/stats` says.

    The figures of the same answer may be older: of one that was read while the last event was applied, parts are.
    """
    lags = [lag["entries"] for groups in stats["flow"]["lag"].values() for lag in groups.values()]
    return bool(lags) and not any(lags)


async def eventually(state: Callable[[], Awaitable[T]], *, within: float = 60.0) -> T:
    """Return the first true answer of `state`.

    An AssertionError or an error of the connection counts as "not yet"; the last one is shown if time runs out.
    """
    began = time.monotonic()
    last: object = None
    while True:
        try:
            last = answer = await state()
            if answer:
                return answer
        except (AssertionError, OSError, httpx.TransportError) as error:
            last = error
        except Exception as error:
            if "redis" not in type(error).__module__:
                raise
            last = error
        if time.monotonic() - began > within:
            raise AssertionError(f"not within {within:g} s: {state!r}; last seen: {last!r}")
        await asyncio.sleep(pause(began))
