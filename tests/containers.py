"""What tests on containers share."""

import functools
import os
import subprocess
from typing import NoReturn

import pytest

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
