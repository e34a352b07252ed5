"""The launcher on a real Valkey, with stand-ins for the services."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.ports import free_ports

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
EVERYTHING = ["valkey", "trainer", "gateway", "scorer-1", "scorer-2", "monitor"]


@dataclass
class Up:
    """One `tasador up`, and what it said."""

    state_dir: Path
    settings: dict[str, str]
    output: Path = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.output = self.state_dir.parent / f"output-{time.monotonic_ns()}"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                self.command(),
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def command(self) -> list[str]:
        return [sys.executable, str(HERE / "standin_up.py")]

    @property
    def environment(self) -> dict[str, str]:
        ours = {"TASADOR_STATE_DIR": str(self.state_dir), "TASADOR_MLFLOW_UI": "false", "PYTHONPATH": str(ROOT)}
        outside = {name: value for name, value in os.environ.items() if not name.startswith("TASADOR_")}
        return outside | ours | self.settings

    def said(self) -> str:
        return self.output.read_text()

    def state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads((self.state_dir / "stack.json").read_text())
        except (OSError, ValueError):
            return {"ready": False, "processes": []}
        return state

    def pid(self, name: str) -> int | None:
        pids = {each["name"]: each["pid"] for each in self.state()["processes"]}
        return pids.get(name)

    def is_ready(self) -> bool:
        state = self.state()
        mine = state.get("pid") == self.process.pid  # not of a launcher that was killed
        return mine and state["ready"] and all(each["state"] == "ready" for each in state["processes"])

    def wait_until(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not in time; it said:\n{self.said()}"
            time.sleep(0.05)

    def become_ready(self) -> "Up":
        self.wait_until(self.is_ready)
        return self

    def tasador(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tasador", *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)

    def members(self) -> list[psutil.Process]:
        """Every process of this state directory, Valkey and the launcher included."""
        return [process for process in psutil.process_iter() if _knows(process, self.state_dir)]

    def kill(self) -> None:
        for process in self.members():
            process.kill()
        self.process.kill()
        self.process.wait(10)


def _knows(process: psutil.Process, state_dir: Path) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        # Valkey writes its title over its environment; its data is its working directory.
        mine = Path(process.cwd()).is_relative_to(state_dir)
        return mine or process.environ().get("TASADOR_STATE_DIR") == str(state_dir)
    except psutil.Error:
        return False


@pytest.fixture
def settings() -> dict[str, str]:
    names = ("TASADOR_GATEWAY_PORT", "TASADOR_MONITOR_PORT", "TASADOR_VALKEY_PORT")
    return {name: str(port) for name, port in zip(names, free_ports(3), strict=True)}


@pytest.fixture
def up(tmp_path: Path, settings: dict[str, str]) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(**more: str) -> Up:
        started.append(Up(tmp_path / "a state", {**settings, **more}))
        return started[-1]

    yield start
    for each in started:
        each.kill()


def test_it_starts_everything_and_says_where(up: Callable[..., Up], settings: dict[str, str]) -> None:
    stack = up().become_ready()
    stack.wait_until(lambda: "Ready after" in stack.said())
    gateway = f"http://127.0.0.1:{settings['TASADOR_GATEWAY_PORT']}"
    assert [each["name"] for each in stack.state()["processes"]] == EVERYTHING
    assert stack.state()["gateway_url"] == gateway
    assert f"{gateway}/docs" in stack.said()
    curl = next(line for line in stack.said().splitlines() if line.startswith("curl"))
    pasted = subprocess.run(["sh", "-c", f"{curl} --fail"], capture_output=True, text=True, check=True)
    assert "signature" in pasted.stdout


@pytest.mark.parametrize(
    ("number", "to_the_group"),
    [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGTERM, True), (signal.SIGHUP, False)],
)
def test_a_signal_ends_the_services_before_valkey_and_leaves_nothing(
    up: Callable[..., Up], number: signal.Signals, to_the_group: bool
) -> None:
    stack = up(STANDIN_DRAIN="0.3").become_ready()
    (os.killpg if to_the_group else os.kill)(stack.process.pid, number)
    assert stack.process.wait(30) == 0
    for name in ("trainer", "gateway", "scorer-1", "scorer-2", "monitor"):
        assert "drained, redis says b'+PONG" in (stack.state_dir / "logs" / f"{name}.log").read_text()
    assert stack.members() == []
    assert not (stack.state_dir / "stack.json").exists()


def test_a_second_ctrl_c_does_not_wait(up: Callable[..., Up]) -> None:
    stack = up(STANDIN_DEAF="1").become_ready()
    stack.process.send_signal(signal.SIGINT)
    stack.wait_until(lambda: "Stopping" in stack.said())
    time.sleep(1.2)  # sooner, it counts as the same Ctrl-C arriving twice
    stack.process.send_signal(signal.SIGINT)
    assert stack.process.wait(10) == 0
    assert stack.members() == []


def test_what_dies_is_started_again_with_what_it_last_said(up: Callable[..., Up]) -> None:
    stack = up().become_ready()
    victim = stack.pid("scorer-2")
    assert victim
    os.kill(victim, signal.SIGKILL)
    stack.wait_until(lambda: stack.pid("scorer-2") not in {victim, None} and stack.is_ready())
    assert f"scorer-2 (pid {victim}) was killed by SIGKILL" in stack.said()


def test_a_killed_valkey_comes_back_on_its_port_with_its_data(up: Callable[..., Up]) -> None:
    stack = up().become_ready()
    port, victim = int(stack.settings["TASADOR_VALKEY_PORT"]), stack.pid("valkey")
    assert victim
    assert _ask(port, b"SET kept 1\r\n") == b"+OK\r\n"
    os.kill(victim, signal.SIGKILL)
    stack.wait_until(lambda: stack.pid("valkey") not in {victim, None} and stack.is_ready())
    assert _ask(port, b"GET kept\r\n") == b"$1\r\n1\r\n"


def test_a_second_start_finds_the_data_of_the_first(up: Callable[..., Up]) -> None:
    first = up().become_ready()
    port = int(first.settings["TASADOR_VALKEY_PORT"])
    _ask(port, b"SET kept 1\r\n")
    first.process.terminate()
    assert first.process.wait(30) == 0
    up().become_ready()
    assert _ask(port, b"GET kept\r\n") == b"$1\r\n1\r\n"


def test_a_second_launcher_on_the_same_state_names_the_first(up: Callable[..., Up]) -> None:
    stack, second = up().become_ready(), up()
    assert second.process.wait(20) == 1
    assert f"already runs on {stack.state_dir} (pid {stack.process.pid})" in second.said()
    assert stack.is_ready()


def test_a_killed_launcher_takes_everything_with_it(up: Callable[..., Up]) -> None:
    stack = up().become_ready()
    stack.process.kill()
    stack.process.wait()
    stack.wait_until(lambda: not stack.members())


def test_what_survives_a_killed_launcher_is_ended_by_the_next(up: Callable[..., Up]) -> None:
    stack = up(STANDIN_DEAF="1").become_ready()  # they ignore the SIGTERM that Linux sends them
    stack.process.kill()
    stack.process.wait()
    stack.wait_until(lambda: len(stack.members()) <= 5)
    left = {process.pid for process in stack.members()}
    assert len(left) == 5  # Valkey does not
    after = up()
    after.become_ready()
    assert "clearing up" in after.said()
    assert not left & {process.pid for process in after.members()}


def test_a_taken_port_is_named_with_its_owner_and_the_variable(up: Callable[..., Up], settings: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", int(settings["TASADOR_GATEWAY_PORT"]))):
        stack = up()
        assert stack.process.wait(20) == 1
    for part in (f"port {settings['TASADOR_GATEWAY_PORT']}", f"pid {os.getpid()}", "TASADOR_GATEWAY_PORT"):
        assert part in stack.said()


def test_valkey_takes_another_port_when_its_own_is_taken(up: Callable[..., Up], settings: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", int(settings["TASADOR_VALKEY_PORT"]))):
        stack = up().become_ready()
    assert settings["TASADOR_VALKEY_PORT"] not in stack.state()["redis_url"]


def test_a_service_that_never_starts_ends_the_start_with_its_reason(up: Callable[..., Up]) -> None:
    stack = up(STANDIN_FAILS="3")
    assert stack.process.wait(60) == 1
    assert "no such column" in stack.said()
    assert "Could not start" in stack.said()
    assert stack.members() == []


def test_down_ends_it_from_elsewhere_and_says_when_nothing_runs(up: Callable[..., Up]) -> None:
    stack = up().become_ready()
    ended = stack.tasador("down")
    assert ended.returncode == 0, ended.stderr
    assert f"Stopped (pid {stack.process.pid})" in ended.stdout.replace("\n", " ")
    assert stack.process.wait(5) == 0
    assert "Nothing runs" in stack.tasador("down").stdout


def test_status_tells_programs_and_people(up: Callable[..., Up]) -> None:
    stack = up().become_ready()
    status = json.loads(stack.tasador("status", "-o", "json").stdout)
    assert status["running"] is True
    assert {each["name"]: each["pid"] for each in status["processes"]} == {name: stack.pid(name) for name in EVERYTHING}
    assert "scorer-2" in stack.tasador("status").stdout


def test_status_without_a_stack_fails_and_says_what_to_do(tmp_path: Path) -> None:
    environment = {**os.environ, "TASADOR_STATE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "tasador", "status", "-o", "json"]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert json.loads(found.stdout) == {"running": False, "ready": False, "processes": []}
    assert "tasador up" in found.stderr


def test_a_replica_started_by_hand_is_shown(up: Callable[..., Up]) -> None:
    stack = up().become_ready()
    by_hand = subprocess.Popen(
        [sys.executable, str(HERE / "standin_service.py"), "scorer"],
        env={**stack.environment, "TASADOR_REDIS_URL": stack.state()["redis_url"]},
        stdout=subprocess.DEVNULL,
    )
    try:
        stack.wait_until(lambda: by_hand.pid in {each["pid"] for each in stack.state()["processes"]})
    finally:
        by_hand.kill()
        by_hand.wait()
    stack.wait_until(lambda: by_hand.pid not in {each["pid"] for each in stack.state()["processes"]})


def _ask(port: int, command: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(command)
        return connection.recv(100)


class UpByMake(Up):
    """As `make up` starts it."""

    def command(self) -> list[str]:
        makefile = self.state_dir.parent / "Makefile"
        recipe = " ".join(f"'{word}'" for word in super().command())
        makefile.write_text(f"up:\n\t@exec {recipe}\n")
        # Whoever runs the tests in the background has them, and all they start, ignore SIGINT.
        return ["env", "--default-signal=INT", "make", "-f", str(makefile), "up"]

    def is_ready(self) -> bool:
        return bool(self.state()["ready"])


@pytest.mark.skipif(sys.platform != "linux", reason="what make does with its signals is seen in /proc")
@pytest.mark.parametrize(
    ("number", "to_the_group"),
    [
        (signal.SIGINT, False),
        (signal.SIGINT, True),
        (signal.SIGTERM, False),
        (signal.SIGTERM, True),
        (signal.SIGKILL, False),
    ],
)
def test_a_signal_to_make_ends_what_it_started(
    tmp_path: Path, settings: dict[str, str], number: signal.Signals, to_the_group: bool
) -> None:
    stack = UpByMake(tmp_path / "state", {**settings, "STANDIN_DRAIN": "0.5"}).become_ready()
    try:
        (os.killpg if to_the_group else os.kill)(stack.process.pid, number)
        stack.process.wait(30)
        stack.wait_until(lambda: not stack.members())
        assert "drained" in (stack.state_dir / "logs" / "scorer-1.log").read_text()
    finally:
        stack.kill()


def test_a_reader_that_went_away_does_not_stop_it(up: Callable[..., Up], tmp_path: Path) -> None:
    stack = up()
    stack.process.kill()
    stack.process.wait()
    read, write = os.pipe()
    piped = subprocess.Popen(stack.command(), cwd=ROOT, env=stack.environment, stdout=write, stderr=write)
    os.close(write)
    os.close(read)
    try:
        stack.wait_until(lambda: stack.state().get("pid") == piped.pid and stack.state()["ready"])
        piped.send_signal(signal.SIGINT)
        assert piped.wait(30) == 0
    finally:
        piped.kill()
    assert stack.members() == []
