"""The whole local stack, started as a user starts it, on ports and a state directory of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
from redis import Redis

from shared.settings import ROOT
from tasador.client import Client
from tests.ports import free_ports
from tests.waiting import NO_TLS, pause

START = 240.0  # seconds: a first training on a busy machine
STOP = 60.0  # what the design promises


class LocalStack:
    """`tasador up` in the foreground of a process of its own."""

    command: tuple[str, ...] = (sys.executable, "-m", "tasador", "up")

    def __init__(self, directory: Path, **settings: object) -> None:
        self.state_dir = directory / "state"
        self._log = directory / "up.log"
        ports = dict(zip(("gateway_port", "monitor_port", "valkey_port"), free_ports(3), strict=True))
        chosen = {"state_dir": self.state_dir, "mlflow_ui": False, **ports, **settings}
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("TASADOR_")}
        self._environment |= {f"TASADOR_{name.upper()}": str(value) for name, value in chosen.items()}
        self._launcher: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Return when everything is ready."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._launcher = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.wait(lambda: "Ready after" in self.output(), within=START)
        return self

    def tasador(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line beside it."""
        argv = [sys.executable, "-m", "tasador", *arguments]
        return subprocess.run(argv, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False)

    def stop(self) -> int:
        """Ctrl-C; return the exit code."""
        assert self._launcher is not None
        self._launcher.send_signal(signal.SIGINT)
        return self._launcher.wait(STOP)

    def kill(self) -> None:
        """Make sure that nothing is left, whatever a test did."""
        if self._launcher is not None and self._launcher.poll() is None:
            family = psutil.Process(self._launcher.pid).children(recursive=True)
            self._launcher.kill()
            for process in family:
                with suppress(psutil.NoSuchProcess):  # some die with their parent
                    process.kill()
            self._launcher.wait()

    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def log(self, name: str) -> str:
        return (self.state_dir / "logs" / f"{name}.log").read_text(errors="replace")

    @property
    def described(self) -> dict[str, Any]:
        """stack.json: what runs where."""
        found: dict[str, Any] = json.loads((self.state_dir / "stack.json").read_text())
        return found

    def pids(self) -> dict[str, int]:
        return {process["name"]: process["pid"] for process in self.described["processes"]}

    def send(self, name: str, number: signal.Signals) -> None:
        os.kill(self.pids()[name], number)

    def client(self) -> Client:
        return Client(self.described["gateway_url"])

    def redis(self) -> Redis:
        return Redis.from_url(self.described["redis_url"], decode_responses=True)

    def get(self, service: str, path: str) -> Any:
        """The JSON of `gateway` or `monitor`."""
        url = self.described[f"{service}_url"] + path
        answer = httpx.get(url, headers={"accept": "application/json"}, verify=NO_TLS, timeout=60)
        return answer.raise_for_status().json()

    def wait(self, state: Callable[[], bool], within: float = 60.0) -> None:
        """Return when `state` holds; connections that fail count as not yet."""
        began = time.monotonic()
        while True:
            try:
                if state():
                    return
            except (httpx.HTTPError, OSError, KeyError, ValueError) as error:
                last: object = error
            else:
                last = None
            assert self._launcher is not None
            if self._launcher.poll() is not None:
                raise AssertionError(f"the launcher ended with {self._launcher.returncode}:\n{self.output()}")
            if time.monotonic() - began > within:
                raise AssertionError(f"not within {within:g} s (last error: {last!r}):\n{self.output()[-3000:]}")
            time.sleep(pause(began))
