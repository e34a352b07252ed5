"""When to try again, and when to give up."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import random

_DOUBLINGS = 40  # beyond, any pause is the longest


@dataclass(frozen=True)
class Schedule:
    """Exponential pauses with full jitter: receivers that come back are not met by everybody at once."""

    first: timedelta = timedelta(seconds=5)
    """Longest pause after the first attempt; it doubles with each one."""
    give_up: timedelta = timedelta(hours=24)
    """The last attempt is this long after the first."""

    @property
    def longest(self) -> timedelta:
        return self.give_up / 6

    def pause(
        self,
        tries: int,
        elapsed: timedelta,
        retry_after: timedelta | None = None,
        draw: Callable[[], float] = random,
    ) -> timedelta | None:
        """Return how long to wait after an attempt that failed; None to give up.

        Args:
            tries: attempts so far, at least 1.
            elapsed: since the first one.
            retry_after: what the receiver asked for; kept up to the longest pause.
            draw: gives a number in [0, 1).
        """
        if elapsed >= self.give_up:
            return None
        doubled: timedelta = self.first * 2 ** min(tries - 1, _DOUBLINGS)
        pause = draw() * min(self.longest, doubled)
        if retry_after is not None:
            pause = max(pause, min(retry_after, self.longest))
        return min(pause, self.give_up - elapsed)
