"""When to stop: a signal, or the make above us having got one."""

import asyncio
import signal
import time

from tasador.stack.parent import Parent

_SECOND_THOUGHTS = 1.0
"""Seconds. A signal to the whole group reaches us twice, from the sender and from make: not impatience."""


class Stopping:
    """`asked` once a first signal came; `hurry` once somebody pressed Ctrl-C again."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurry = asyncio.Event()
        self._asked_at = 0.0
        self._parent = Parent()

    def install(self) -> None:
        """Take over the signals; needs the running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal, number)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means it
            loop.add_signal_handler(signal.SIGHUP, self._on_signal, signal.SIGHUP)

    def uninstall(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)

    async def watch_parent(self) -> None:
        """Stop when make was told to; returns then."""
        while not self._parent.wants_us_to_stop():  # noqa: ASYNC110 - another process is no event
            await asyncio.sleep(0.25)
        self._on_signal(signal.SIGTERM)

    def _on_signal(self, number: signal.Signals) -> None:
        now = time.monotonic()
        if not self.asked.is_set():
            self._asked_at = now
            self.asked.set()
        elif number is signal.SIGINT and now - self._asked_at > _SECOND_THOUGHTS:
            self.hurry.set()
