"""Carrying out a schedule: each fault when the work is that far."""

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from redis.exceptions import RedisError

from tasador.torture.history import Fault, History
from tasador.torture.schedule import Kind, Planned
from tasador.torture.target import Nothing, Target, Victim

PATIENCE = 60.0
"""Seconds to wait for somebody to hit: after a few deaths in a row the launcher starts a process after ten only."""
_POLL = 0.02


@dataclass(frozen=True)
class Lengths:
    """How long what passes takes, in seconds: the shortest and the longest."""

    pause: tuple[float, float]
    slow: tuple[float, float] = (0.5, 3.0)


class Injector:
    """Hits one thing at a time; who was paused goes on in due time, whatever happens meanwhile.

    Args:
        promote: puts another version into service and returns which.
        tell: hears of every fault.
        patience: seconds until a fault that can be done to nobody is left out.
    """

    def __init__(
        self,
        target: Target,
        history: History,
        lengths: Lengths,
        *,
        promote: Callable[[], str] | None = None,
        tell: Callable[[Fault], None] = lambda fault: None,
        patience: float = PATIENCE,
    ) -> None:
        self._target = target
        self._history = history
        self._lengths = lengths
        self._promote_another = promote
        self._tell = tell
        self._patience = patience
        self._paused: list[tuple[float, Victim]] = []
        self._actions: Mapping[Kind, Callable[[Planned], str]] = {
            "kill": self._kill,
            "pause": self._pause,
            "redis": self._kill_redis,
            "slow": self._slow,
            "flush": self._flush,
            "promote": self._promote,
        }

    def run(self, planned: Sequence[Planned], progress: Callable[[], float], stop: threading.Event) -> None:
        """Return when all is done, or `stop` is set; nobody is left paused.

        Args:
            progress: how far the work is, from 0 to 1.
        """
        try:
            for fault in planned:
                while progress() < fault.at and not stop.is_set():
                    self._rest()
                if stop.is_set():
                    break
                self._inject(fault, stop)
            while self._paused and not stop.is_set():
                self._rest()
        finally:
            self._resume(everybody=True)

    def _inject(self, planned: Planned, stop: threading.Event) -> None:
        began, target, skipped = self._history.now(), "", ""
        deadline = time.monotonic() + self._patience
        while not stop.is_set():
            began = self._history.now()
            try:
                target, skipped = self._actions[planned.kind](planned), ""
                break
            except (Nothing, RedisError, OSError) as error:  # a server that has just been killed, for instance
                skipped = str(error)
            if time.monotonic() > deadline:
                break
            self._rest()
        else:
            skipped = skipped or "the end came first"
        fault = Fault(at=self._history.now(), began=began, kind=planned.kind, target=target, skipped=skipped)
        self._history.note(fault)
        self._tell(fault)

    def _rest(self) -> None:
        self._resume()
        time.sleep(_POLL)

    def _resume(self, *, everybody: bool = False) -> None:
        now = time.monotonic()
        for until, victim in self._paused.copy():
            if everybody or now >= until:
                victim.send(signal.SIGCONT)
                self._paused.remove((until, victim))

    def _kill(self, planned: Planned) -> str:
        victim = self._choose(planned)
        return self._hit(victim, signal.SIGKILL)

    def _pause(self, planned: Planned) -> str:
        victim = self._choose(planned, leave=1)
        seconds = _between(self._lengths.pause, planned.length)
        told = self._hit(victim, signal.SIGSTOP)
        self._paused.append((time.monotonic() + seconds, victim))
        return f"{told} for {seconds:.1f} s"

    def _kill_redis(self, planned: Planned) -> str:
        server = self._target.valkey()
        if server is None:
            raise Nothing("no server of our own runs")
        return self._hit(server, signal.SIGKILL)

    def _slow(self, planned: Planned) -> str:
        seconds = _between(self._lengths.slow, planned.length)
        self._target.pause_redis(seconds)
        return f"redis for {seconds:.1f} s"

    def _flush(self, planned: Planned) -> str:
        self._target.flush_redis()
        return "redis"

    def _promote(self, planned: Planned) -> str:
        if self._promote_another is None:
            raise Nothing("there is no other version")
        return f"version {self._promote_another()}"

    def _choose(self, planned: Planned, *, leave: int = 0) -> Victim:
        """Return one of those that are ready and not paused; `leave` so many of them alone."""
        paused = {victim.pid for _, victim in self._paused}
        able = [victim for victim in self._target.workers() if victim.pid not in paused]
        if len(able) <= leave:
            raise Nothing("nobody is ready")
        return able[int(planned.choice * len(able))]

    @staticmethod
    def _hit(victim: Victim, number: signal.Signals) -> str:
        if not victim.send(number):
            raise Nothing(f"{victim.name} has just ended")
        return f"{victim.name} (pid {victim.pid})"


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share
