"""`.ci/run` leaves no container, network or volume of the tests behind, however it ends."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from shared.settings import ROOT
from tests.compose.commands import run
from tests.containers import require_engine
from tests.waiting import eventually

pytestmark = pytest.mark.docker

# As much of the tests as the script can see: they start a stack, and fail or take long.
MAKE = """\
#!/bin/sh
[ "$1" = test-docker ] || exit 0
docker compose --project-name "$COMPOSE_TEST_PROJECT-1-main" up --detach || exit 2
echo $$ >made
mv made running
[ "$TESTS" = long ] || exit 2
sleep 100
"""
COMPOSE = """\
services:
  one:
    image: valkey/valkey:8-alpine
    volumes: [kept:/data]
volumes:
  kept:
"""
Ending = Callable[[subprocess.Popen[bytes]], None]


def press_ctrl_c(script: subprocess.Popen[bytes]) -> None:
    os.killpg(script.pid, signal.SIGINT)


def terminate(script: subprocess.Popen[bytes]) -> None:
    script.terminate()


def let_the_tests_fail(_: subprocess.Popen[bytes]) -> None:
    pass


@pytest.mark.parametrize(("end", "code"), [(let_the_tests_fail, 2), (press_ctrl_c, 130), (terminate, 130)])
async def test_nothing_is_left_however_it_ends(tmp_path: Path, end: Ending, code: int) -> None:
    require_engine()
    fails = end is let_the_tests_fail
    script = start(tmp_path, "fail" if fails else "long")
    project = f"tasador-ci-{script.pid}-1-main"
    running = tmp_path / "running"

    async def started() -> bool:
        return running.exists()

    try:
        await eventually(started, within=120)
        assert fails or left_of(project)
        end(script)
        assert script.wait(timeout=120) == code, (tmp_path / "log").read_text()
        assert left_of(project) == ""
        with pytest.raises(ProcessLookupError):  # it could start the next container
            os.kill(int(running.read_text()), 0)
    finally:
        script.kill()
        if running.exists():
            with suppress(ProcessLookupError):
                os.killpg(os.getpgid(int(running.read_text())), signal.SIGKILL)
        run("docker", "compose", "--project-name", project, "down", "--volumes", "--timeout", "0")


def start(directory: Path, tests: str) -> subprocess.Popen[bytes]:
    (directory / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", directory / ".ci")
    (directory / "docker-compose.yml").write_text(COMPOSE)
    (directory / "make").write_text(MAKE)
    (directory / "make").chmod(0o755)
    environment = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}", "TESTS": tests}
    with (directory / "log").open("wb") as said:
        return subprocess.Popen(
            [directory / ".ci" / "run"], env=environment, stdout=said, stderr=said, start_new_session=True
        )


def left_of(project: str) -> str:
    label = f"label=com.docker.compose.project={project}"
    return "".join(
        run("docker", *what, "--quiet", "--filter", label)
        for what in (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
    )
