"""Only processes of the running stack that the launcher brings back are hit, and no others that have their pids."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tasador.stack.state import ProcessInfo, StackState, write_state
from tasador.torture.target import LocalStack, NotHere, Process


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def info(process: subprocess.Popen[bytes], **fields: object) -> ProcessInfo:
    created = psutil.Process(process.pid).create_time()
    values = {"name": "one", "service": "scorer", "pid": process.pid, "state": "ready", "created": created} | fields
    return ProcessInfo.model_validate(values)


def a_stack(directory: Path, *processes: ProcessInfo, pid: int | None = None) -> None:
    state = StackState(
        pid=os.getpid() if pid is None else pid,
        started_at="2026-01-01T00:00:00+00:00",
        redis_url="redis://127.0.0.1:1/0",
        store_url="file:///s",
        mlflow_uri="sqlite:///m",
        model_name="m",
        gateway_url="http://127.0.0.1:1",
        monitor_url="http://127.0.0.1:2",
        processes=list(processes),
    )
    write_state(directory, state)


def test_a_process_gets_its_signal_once(sleeper: subprocess.Popen[bytes]) -> None:
    victim = Process(info(sleeper))
    assert victim.send(signal.SIGKILL)
    assert sleeper.wait(30) == -signal.SIGKILL
    assert not victim.send(signal.SIGKILL)


def test_another_process_with_its_pid_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    assert not Process(info(sleeper, created=1.0)).send(signal.SIGKILL)
    assert sleeper.poll() is None


def test_only_those_at_work_that_come_back_are_hit(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    a_stack(
        tmp_path,
        info(sleeper),
        info(sleeper, name="two", state="starting"),
        info(sleeper, name="by hand", created=None),
        info(sleeper, name="trainer", service="trainer"),
        info(sleeper, name="gone", created=1.0),
    )
    stack = LocalStack.running(tmp_path)
    assert [victim.name for victim in stack.workers()] == ["one"]
    assert stack.valkey() is None


def test_what_does_not_run_here_is_refused(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    with pytest.raises(NotHere, match="tasador up"):
        LocalStack.running(tmp_path)
    sleeper.kill()
    sleeper.wait()
    a_stack(tmp_path, pid=sleeper.pid)
    with pytest.raises(NotHere):
        LocalStack.running(tmp_path)
