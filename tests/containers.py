"""What tests on containers share, and a Redis or Valkey of a public image."""

import atexit
import functools
import os
import socket
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from redis import Redis

from tests.redis_server import DURABLE, RedisServer, flags

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

PUBLIC_IMAGES = ("redis:7-alpine", "valkey/valkey:8-alpine")

# Read when tests are collected: while one runs, no TASADOR_… variable is set.
_MUST_RUN = os.environ.get("TASADOR_REQUIRE_DOCKER", "") not in ("", "0")


def require_engine() -> None:
    """Skip the test where no Docker engine answers; with TASADOR_REQUIRE_DOCKER=1, fail it."""
    if missing := _what_is_missing():
        _give_up(missing)


@functools.cache
def _what_is_missing() -> str | None:
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError:
        return "there is no `docker` command; install Docker"
    except subprocess.TimeoutExpired:
        return "`docker version` got no answer within 20 s; start the engine again"
    if answer.returncode:
        return f"no Docker engine answers; start one, or set DOCKER_HOST ({answer.stderr.strip()})"
    return None


def _give_up(missing: str) -> NoReturn:
    if _MUST_RUN:
        pytest.fail(f"TASADOR_REQUIRE_DOCKER is set, and {missing}", pytrace=False)
    pytest.skip(missing)


def new_container(image: str, **how: Any) -> "DockerContainer":
    """Return one to be started, which ends however this process ends."""
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - only tests on containers need wait for it

    require_engine()
    # Before the first one is started: a Ryuk that was not heard from in time is gone, and would be asked for again.
    _let_ryuk_know()
    return DockerContainer(image, **how)


@functools.cache
def _let_ryuk_know() -> None:
    """Have Ryuk remove the containers of testcontainers that this process leaves behind, however it ends.

    testcontainers starts Ryuk and tells it, but does not look whether it was heard; on a busy machine it was not, and
    nothing is removed (testcontainers-python#1114). So it is told once more, until it answers.
    """
    from testcontainers.core.config import testcontainers_config  # noqa: PLC0415 - as below
    from testcontainers.core.container import Reaper  # noqa: PLC0415
    from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID  # noqa: PLC0415

    if testcontainers_config.ryuk_disabled:
        return
    Reaper.get_instance()
    ryuk = Reaper._container
    assert ryuk is not None
    address = (ryuk.get_container_host_ip(), ryuk.get_exposed_port(8080))
    deadline = time.monotonic() + 30
    while not _was_heard(address, f"label={LABEL_SESSION_ID}={SESSION_ID}\n"):
        assert time.monotonic() < deadline, f"Ryuk does not answer on {address}"
        time.sleep(0.1)


def _was_heard(address: tuple[str, int], words: str) -> bool:
    """Ryuk removes what was named to it when the last connection has gone, so this one stays."""
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(socket.create_connection(address, timeout=2))
            connection.sendall(words.encode())
            heard = connection.recv(16).startswith(b"ACK")
        except OSError:
            return False
        if heard:
            atexit.register(stack.pop_all().close)
        return heard


class RedisContainer(RedisServer):
    """Its data is in the image's volume /data, which lives as long as the container: through `kill`, until the end."""

    def __init__(self, image: str) -> None:
        super().__init__()
        # No password, on a port of the loopback address.
        self._container = new_container(image).with_command(flags({"protected-mode": "no"} | DURABLE))
        # A port that the engine chose would be another one after `kill` and `start`.
        self._container.ports["6379/tcp"] = ("127.0.0.1", self.port)  # type: ignore[assignment] # the engine's client takes it
        self._created = False

    def pause(self) -> None:
        self._container.get_wrapped_container().pause()

    def resume(self) -> None:
        self._container.get_wrapped_container().unpause()

    def _launch(self) -> None:
        if self._created:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._created = True

    def _kill(self) -> None:
        container = self._container.get_wrapped_container()
        container.kill()
        container.wait()

    def _end(self) -> None:
        self._container.stop()

    def _has_ended(self) -> bool:
        container = self._container.get_wrapped_container()
        container.reload()
        ended: bool = container.status == "exited"
        return ended

    def _recognise(self, client: Redis) -> None:
        """Docker publishes a port once."""

    def _log(self) -> str:
        log: bytes = self._container.get_wrapped_container().logs()
        return log.decode()
