"""A real Redis or Valkey on a free port, that tests may kill, pause, restart and flush."""

import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.ports import free_port

DURABLE = {
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "maxmemory": "256mb",
    "maxmemory-policy": "noeviction",
}
"""As in production: append-only file, fsync before every answer, no eviction."""


class RedisServer(ABC):
    """What all of them do; how is told by `tests.valkey` and `tests.containers`."""

    def __init__(self) -> None:
        self.port = free_port()
        self.running = False

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start, also after `kill`, with the data that is on disk; returns when it answers."""
        assert not self.running
        self._launch()
        self.running = True
        self._wait()

    def kill(self) -> None:
        """SIGKILL: what was answered is on disk, nothing else is."""
        assert self.running
        self._kill()
        self.running = False

    @abstractmethod
    def pause(self) -> None:
        """Stop it in the middle of whatever it does; connections stay."""

    @abstractmethod
    def resume(self) -> None: ...

    def flush(self) -> None:
        """Lose everything."""
        with self._client() as client:
            client.flushall()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._end()

    @abstractmethod
    def _launch(self) -> None: ...

    @abstractmethod
    def _kill(self) -> None: ...

    @abstractmethod
    def _end(self) -> None:
        """End it for good, in whatever state it is."""

    @abstractmethod
    def _has_ended(self) -> bool: ...

    @abstractmethod
    def _log(self) -> str: ...

    @abstractmethod
    def _recognise(self, client: Redis) -> None:
        """Raise AssertionError if it is another server that answers at our port."""

    def _client(self) -> Redis:
        return Redis(port=self.port, socket_timeout=2)

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        with self._client() as client:
            while True:
                try:
                    client.ping()
                except (RedisConnectionError, RedisTimeoutError) as error:
                    if time.monotonic() > deadline or self._has_ended():
                        raise AssertionError(f"the server did not start: {error}\n{self._log()}") from error
                    time.sleep(0.02)
                else:
                    self._recognise(client)
                    return


def flags(options: dict[str, str]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", value)]
