"""Waiting for jobs and operations, through outages."""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from tasador.client.errors import TasadorError, TimedOut, Unavailable, Unreachable

LONG_POLL = 10.0
"""Seconds that the gateway may keep a request; progress is reported at least this often."""
OUTAGE = 60.0
"""Seconds without an answer that are borne: an accepted job survives a restart of everything."""
_PAUSE = 0.5
_SHORTEST = 0.1  # between two questions, should the gateway not keep one


class Ends(Protocol):
    @property
    def ended(self) -> bool: ...


E = TypeVar("E", bound=Ends)


def wait_for_end(
    ask: Callable[[float], E],
    timeout: float | None,
    on_progress: Callable[[E], None] | None,
    poll: float = LONG_POLL,
    on_outage: Callable[[TasadorError], None] | None = None,
) -> E:
    """Ask, with the seconds that the gateway may take, until it has ended.

    Args:
        on_outage: hears of the first question of an outage that was not answered.

    Raises:
        TimedOut: after `timeout` seconds; the work itself goes on.
        Unreachable, Unavailable: nobody answered for a minute.
    """
    deadline = time.monotonic() + timeout if timeout is not None else float("inf")
    answered = time.monotonic()
    away = False
    while True:
        asked = time.monotonic()
        left = deadline - asked
        try:
            found = ask(max(0.0, min(poll, left)))
        except (Unreachable, Unavailable) as error:
            if time.monotonic() - answered > OUTAGE or left <= 0:
                raise
            if on_outage and not away:
                on_outage(error)
            away = True
            time.sleep(_PAUSE)
            continue
        answered, away = time.monotonic(), False
        if on_progress:
            on_progress(found)
        if found.ended:
            return found
        if left <= 0:
            raise TimedOut(f"not finished after {timeout:g} s; it goes on")
        time.sleep(max(0.0, asked + min(_SHORTEST, poll) - time.monotonic()))
