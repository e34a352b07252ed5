"""What may be broken of a stack that the launcher of this machine runs, and brings back."""

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import psutil
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasador.stack import control
from tasador.stack.refused import Refused
from tasador.stack.state import ProcessInfo, StackState, read_state

HERE = "nothing runs here: `tasador up` starts what can be tortured; a stack elsewhere has no processes to reach"


class NotHere(Refused):
    """There is no stack on this machine that could be tortured."""


class Impossible(NotHere):
    """What was asked for cannot be done to this stack."""


class Victim(Protocol):
    """A process."""

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int: ...

    def send(self, number: signal.Signals) -> bool:
        """Return whether the process was still there."""
        ...


class Target(Protocol):
    """Where faults can be put."""

    def workers(self) -> Sequence[Victim]:
        """Return the processes that work on jobs, are ready, and are brought back when they die."""
        ...

    def valkey(self) -> Victim | None:
        """Return the server, if it runs and is brought back when it dies."""
        ...

    def pause_redis(self, seconds: float) -> None: ...

    def flush_redis(self) -> None: ...


class Nothing(Exception):
    """There is nobody, just now, to do this to."""


class Process:
    """One process of the stack; never another one that was given its pid."""

    def __init__(self, info: ProcessInfo) -> None:
        assert info.pid is not None
        self.name = info.name
        self.pid = info.pid
        self._info = info

    def send(self, number: signal.Signals) -> bool:
        try:
            process = psutil.Process(self.pid)
            if not self._info.is_alive():
                return False
            process.send_signal(number)
        except psutil.NoSuchProcess:
            return False
        return True


class LocalStack:
    """The stack of a state directory, by what its launcher last wrote about it."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir

    @classmethod
    def running(cls, state_dir: Path) -> "LocalStack":
        """Raises NotHere."""
        if control.running(state_dir) is None:
            raise NotHere(HERE)
        return cls(state_dir)

    @property
    def state(self) -> StackState:
        """Raises NotHere: it has ended meanwhile."""
        state = read_state(self._state_dir)
        if state is None:
            raise NotHere(HERE)
        return state

    def workers(self) -> Sequence[Process]:
        return [Process(each) for each in self._launched("scorer") if each.state == "ready"]

    def valkey(self) -> Process | None:
        return next((Process(each) for each in self._launched("valkey")), None)

    def pause_redis(self, seconds: float) -> None:
        """Let no command through for a while, as a server that swaps or forks does."""
        with self._redis() as redis:
            redis.client_pause(round(seconds * 1000))

    def flush_redis(self) -> None:
        with self._redis() as redis:
            redis.flushall()

    def _launched(self, service: str) -> list[ProcessInfo]:
        """Those that somebody started by hand are not ours to kill: nobody would start them again."""
        mine = [each for each in self.state.processes if each.service == service and each.created is not None]
        return [each for each in mine if each.is_alive()]

    def _redis(self) -> Redis:
        url = self.state.redis_url
        return Redis.from_url(url, socket_timeout=30, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0))
