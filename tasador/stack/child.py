"""One supervised process: started, watched, started again, and ended when told to."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tasador.stack import logs
from tasador.stack.backoff import Backoff
from tasador.stack.spawn import Command, signal_group, spawn

_POLL = 0.05
LINES_SHOWN = 12
SHOWN_IN_A_ROW = 3
"""How often the last lines of a process that cannot start are worth showing."""


@dataclass(frozen=True)
class Death:
    """Why a process is being started again."""

    name: str
    pid: int
    code: int
    """As subprocess has it: negative is the number of the signal."""
    restart_in: float
    log: Path
    lines: list[str]
    """The last that it wrote."""

    @property
    def reason(self) -> str:
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        try:
            return f"was killed by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"was killed by signal {-self.code}"


@dataclass
class Child:
    """Keeps `command` running until `end()`.

    `state` is what the launcher knows by itself; a replica that runs tells the rest in its announcement.
    """

    command: Command
    log: Path
    on_death: Callable[[Death], None]
    backoff: Backoff = field(default_factory=Backoff)
    state: str = "waiting"
    address: str | None = None
    detail: str = ""
    error: str | None = None
    created: float | None = None
    last_code: int = 0
    """With which exit code it died last."""
    failures: int = 0
    """How often in a row it ended by itself without having been ready."""
    _process: subprocess.Popen[bytes] | None = None
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _restart_asked: bool = False

    @property
    def name(self) -> str:
        return self.command.name

    @property
    def service(self) -> str:
        return self.command.service

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def is_ready(self) -> bool:
        return self.state == "ready"

    def now(self, state: str, detail: str = "", address: str | None = None, error: str | None = None) -> None:
        """Note what the process says of itself; ignored once it has been told to end."""
        if self._ending.is_set() or not self._process:
            return
        self.state, self.detail, self.error = state, error or detail, error
        self.address = address or self.address
        if self.is_ready:
            self.failures = 0

    async def keep_alive(self) -> None:
        """Run until `end()`; never raises for what the process does."""
        while not self._ending.is_set():
            started = time.monotonic()
            offset = self._start()
            code, pid = await self._wait()
            await self._bury(code, pid, offset, time.monotonic() - started)
        self.state = "stopped"

    def restart(self) -> None:
        """End the process; it comes back at once."""
        self._restart_asked = self._process is not None
        self.signal(signal.SIGTERM)

    def end(self) -> None:
        """Ask the process to end, and do not start it again."""
        self._ending.set()
        if self.state != "waiting":
            self.state, self.detail = ("stopping" if self._process else "stopped"), ""
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and its children without asking."""
        if self._process:
            signal_group(self._process.pid, signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Signal the process alone: what it started is its own to end."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

    def _start(self) -> int:
        logs.rotate(self.log)
        offset = self.log.stat().st_size if self.log.exists() else 0
        self._process = spawn(self.command, self.log)
        self.created = _creation_time(self._process.pid)
        self.state, self.detail = "starting", ""
        return offset

    async def _wait(self) -> tuple[int, int]:
        process = self._process
        assert process
        while (code := process.poll()) is None:  # noqa: ASYNC110 - a pid is no event
            await asyncio.sleep(_POLL)
        signal_group(process.pid, signal.SIGKILL)  # what it leaves in its session nobody else would end
        self._process, self.created, self.address = None, None, None
        return code, process.pid

    async def _bury(self, code: int, pid: int, offset: int, lived: float) -> None:
        if self._ending.is_set():
            return
        asked, self._restart_asked = self._restart_asked, False
        if asked:
            return
        self.failures += code > 0
        self.last_code = code
        pause = self.backoff.after(lived)
        self.state = "restarting"
        shown = LINES_SHOWN if self.failures <= SHOWN_IN_A_ROW else 0
        self.on_death(Death(self.name, pid, code, pause, self.log, logs.tail(self.log, shown, offset)))
        try:
            await asyncio.wait_for(self._ending.wait(), pause)
        except TimeoutError:
            return


def _creation_time(pid: int) -> float | None:
    """Return when the process was created, which tells it from a later one with the same number."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None
