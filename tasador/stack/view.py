"""What `tasador up` shows: a table that moves while it starts, plain lines where nothing can move."""

import time
from io import StringIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tasador.stack.child import Death
from tasador.stack.state import ProcessInfo, StackState

_COLOURS = {"ready": "green", "stopped": "dim", "restarting": "red", "failed": "red", "silent": "red"}
_UNREMARKABLE = frozenset({"waiting", "starting", "restarting", "stopping"})
"""States that say nothing new once the stack runs."""
_DETAIL_EVERY = 2.0
"""Seconds between two plain lines that differ in their detail only."""


class View:
    """Shows states until the stack is ready, and afterwards only what happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._told: dict[str, tuple[str, str]] = {}
        self._told_at: dict[str, float] = {}
        self._starting = True
        self._began = time.monotonic()

    def show(self, state: StackState) -> None:
        """Show the state of a stack that starts, and later what changes."""
        if self._starting and self._console.is_terminal:
            self._animate(state)
        else:
            for process in state.processes:
                self._tell(process)

    def ready(self, state: StackState, curl: str | None) -> None:
        self._still()
        self._told = {process.name: (process.state, process.detail) for process in state.processes}
        self._print(table(state.processes))
        self._lines(*addresses(state), *([curl, ""] if curl else []))
        seconds = time.monotonic() - self._began
        self.say(f"Ready after {seconds:.1f} s. Ctrl-C ends everything; `tasador down` does from elsewhere.")

    def died(self, death: Death) -> None:
        self.say(f"{death.name} (pid {death.pid}) {death.reason}; restarting in {death.restart_in:g} s", "red")
        for line in death.lines:
            self.say(f"    {line}", "dim")
        if death.lines:
            self.say(f"    more in {death.log}", "dim")

    def say(self, line: str, style: str = "") -> None:
        self._print(Text(line, style), soft_wrap=True)

    def stopping(self) -> None:
        self._still()
        self.say("Stopping: the services finish what they hold, then Valkey. Ctrl-C again does not wait.")

    def _print(self, shown: Table | Text, *, soft_wrap: bool = False) -> None:
        """Print. A reader who went away, or a closed terminal, is no reason to stop the stack."""
        try:
            self._console.print(shown, soft_wrap=soft_wrap)
        except (OSError, SystemExit):  # rich ends the program on a broken pipe
            self._console = Console(file=StringIO())

    def _animate(self, state: StackState) -> None:
        if not self._live:
            # No refresh thread: forking with threads running asks for deadlocks in the child.
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(table(state.processes), refresh=True)

    def _still(self) -> None:
        if self._live:
            self._live.update(Text(), refresh=True)
            self._live.stop()
            self._live = None
        self._starting = False

    def _tell(self, process: ProcessInfo) -> None:
        said, now = (process.state, process.detail), time.monotonic()
        if said == self._told.get(process.name) or not self._is_news(process, now):
            return
        self._told[process.name], self._told_at[process.name] = said, now
        self.say(" ".join(filter(None, [f"{process.name:<10}", *said, process.address])))

    def _is_news(self, process: ProcessInfo, now: float) -> bool:
        before = self._told.get(process.name)
        if before is None or before[0] != process.state:
            return process.state not in _UNREMARKABLE or (self._starting and process.state != "waiting")
        return self._starting and now >= self._told_at.get(process.name, now) + _DETAIL_EVERY

    def _lines(self, *lines: str) -> None:
        for line in lines:
            self.say(line)


def table(processes: list[ProcessInfo]) -> Table:
    drawn = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("process", "state", "pid", "address", ""):
        drawn.add_column(heading, no_wrap=heading in {"process", "state", "pid", "address"})
    for process in processes:
        drawn.add_row(
            process.name,
            Text(process.state, _COLOURS.get(process.state, "yellow")),
            str(process.pid or "–"),
            process.address or "–",
            Text(process.detail, "dim"),
        )
    return drawn


def addresses(state: StackState) -> list[str]:
    """Return where a browser finds things, with an empty line before and after."""
    pages = {
        "API docs": f"{state.gateway_url}/docs",
        "Metrics": f"{state.gateway_url}/metrics",
        "Monitor": f"{state.monitor_url}/report",
        "MLflow": _mlflow(state),
    }
    return ["", *(f"{name:<9} {url}" for name, url in pages.items() if url), ""]


def _mlflow(state: StackState) -> str | None:
    """MLflow's pages start last, and serving does not wait for them."""
    starting = any(process.name == "mlflow" and process.state != "ready" for process in state.processes)
    return f"{state.mlflow_url} (in a moment)" if state.mlflow_url and starting else state.mlflow_url
