"""Services as real processes, started with the command line that the launcher uses."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

import psutil

from shared.process import die_with_parent
from shared.settings import ROOT


def resident_megabytes(pid: int) -> float:
    """Return what a process takes of the machine's memory, shared libraries included."""
    return psutil.Process(pid).memory_info().rss / 1e6


class ServiceProcess:
    """One replica: `python -m services.<service>`. Its log is shown when it does not behave."""

    def __init__(self, service: str, directory: Path, *arguments: str, **settings: object) -> None:
        self.service = service
        self._arguments = arguments
        self.log = directory / f"{service}-{os.urandom(3).hex()}.log"
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("TASADOR_")}
        self._environment |= {f"TASADOR_{name.upper()}": str(value) for name, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"services.{self.service}", *self._arguments],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - only calls prctl
            )
        return self

    def send(self, sig: signal.Signals) -> None:
        os.kill(self.pid, sig)

    def wait(self, timeout: float = 30.0) -> int:
        """Return the exit code."""
        assert self._process is not None
        return self._process.wait(timeout)

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self, timeout: float = 30.0) -> int:
        """SIGTERM, and wait."""
        if self.running():
            self.send(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """SIGKILL."""
        if self.running():
            self.send(signal.SIGKILL)
        self.wait()

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self.running():
            self.send(signal.SIGCONT)
            self.kill()
        if error is not None and self.log.exists():
            sys.stderr.write(f"\n--- {self.log.name}\n{self.log.read_text(errors='replace')[-4000:]}\n")
