"""What tests on containers share, and a Redis or Valkey of a public image."""

import functools
import os
import subprocess
from typing import NoReturn

import pytest

from tests.redis_server import DURABLE, RedisServer, flags

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


class RedisContainer(RedisServer):
    """Its data is in the image's volume /data, which lives as long as the container: through `kill`, until the end."""

    def __init__(self, image: str) -> None:
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - only these tests need wait for it

        require_engine()
        super().__init__()
        # No password, on a port of the loopback address.
        self._container = DockerContainer(image).with_command(flags({"protected-mode": "no"} | DURABLE))
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

    def _log(self) -> str:
        log: bytes = self._container.get_wrapped_container().logs()
        return log.decode()
