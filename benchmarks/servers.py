"""Servers under measurement: processes pinned to a core, what they cost, and their end."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import httpx
import psutil

from shared.process import die_with_parent
from shared.settings import ROOT

SERVER_CORE, CLIENT_CORE = 0, 1
_SECONDS_TO_START, _SECONDS_TO_END, _PAUSE = 180.0, 15.0, 0.02


class CannotMeasure(Exception):
    """The machine lacks something."""


class NotStarted(Exception):
    """A server did not come up, or does not answer as it should."""


def require_two_cores() -> None:
    """Raises CannotMeasure."""
    if len(os.sched_getaffinity(0)) < 2:
        raise CannotMeasure("servers and the load get a core each, and there is only one here")
    if shutil.which("taskset") is None:
        raise CannotMeasure("taskset is missing (on Debian and Ubuntu: apt install util-linux)")


class Server:
    """A program and all that it starts; one of ours runs where the code is, any other in its directory."""

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        *,
        core: int | None = SERVER_CORE,
        environment: Mapping[str, str] | None = None,
        ours: bool = True,
    ) -> None:
        pinned = ["taskset", "--cpu-list", str(core)] if core is not None else []
        self._log = directory / f"{Path(command[0]).name}-{os.urandom(3).hex()}.log"
        directory.mkdir(parents=True, exist_ok=True)
        # Of our own settings none: a benchmark measures defaults, whatever its user's shell says.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TASADOR_")}
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*pinned, *command],
                cwd=ROOT if ours else directory,
                env=inherited | threads | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - only calls prctl
            )

    def processes(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        return []

    def busy(self) -> float:
        """Return the processor's seconds that its processes have taken."""
        taken = 0.0
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                taken += times.user + times.system
        return taken

    def divided(self) -> float:
        """Return the MB of all its processes; what they share, with others too, is divided among them."""
        taken = 0
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                taken += process.memory_full_info().pss
        return taken / 2**20

    def resident(self) -> float:
        """Return the MB of its first process, all that it shares included."""
        rss: int = psutil.Process(self._process.pid).memory_info().rss
        return rss / 2**20

    def wait_for(self, url: str, body: bytes | None = None, within: float = _SECONDS_TO_START) -> None:
        """Ask until it answers with 200: to POST where there is a body. Raises NotStarted."""
        deadline = time.monotonic() + within
        said = "no connection"
        with httpx.Client(timeout=10, headers={"content-type": "application/json"}) as http:
            while time.monotonic() < deadline:
                if self._process.poll() is not None:
                    raise NotStarted(f"ended with {self._process.returncode}: {self._last_words()}")
                try:
                    answer = http.get(url) if body is None else http.post(url, content=body)
                    if answer.status_code == 200:
                        return
                    said = f"{answer.status_code} {answer.text[:200]}"
                except httpx.TransportError as error:
                    said = str(error) or said
                time.sleep(_PAUSE)
        raise NotStarted(f"no answer within {within:.0f} s ({said}): {self._last_words()}")

    def loaded(self, libraries: Iterable[str]) -> list[str]:
        """Return which of these Python libraries its first process has mapped."""
        mapped = Path(f"/proc/{self._process.pid}/maps").read_text()
        return [library for library in libraries if f"/{library}/" in mapped]

    def stop(self) -> None:
        processes = self.processes()
        with suppress(ProcessLookupError):
            self._process.terminate()
        _, stubborn = psutil.wait_procs(processes, _SECONDS_TO_END)
        for process in stubborn:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()

    def _last_words(self) -> str:
        return " ".join(self._log.read_text(errors="replace").split()[-40:])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
