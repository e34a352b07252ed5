"""Acting on a stack from another terminal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from shared.settings import ROOT
from tasador.settings import StackSettings
from tasador.stack import logs
from tasador.stack.refused import Refused
from tasador.stack.stale import end_leftovers
from tasador.stack.state import AlreadyRunning, StackState, holder, locked, read_state, remove_state

END_PATIENCE = 60.0
START_PATIENCE = 600.0
_POLL = 0.1


class DidNotEnd(Refused):
    """The launcher still runs after the patience."""


class DidNotStart(Refused):
    """A detached stack ended before it was ready."""


def running(state_dir: Path) -> StackState | None:
    """Return the stack that runs; None for none, or for what a killed launcher left."""
    state = read_state(state_dir)
    return state if state and state.is_running() else None


def down(state_dir: Path) -> str:
    """End the stack and wait for it; return what was done.

    Raises:
        DidNotEnd: it takes longer than it may.
    """
    pid = holder(state_dir)
    if pid is None:
        return _clear_up(state_dir)
    os.kill(pid, signal.SIGTERM)
    if not _within(END_PATIENCE, lambda: holder(state_dir) is None):
        raise DidNotEnd(f"pid {pid} still runs after {END_PATIENCE:.0f} s; `kill -9 {pid}` ends it for good")
    return f"Stopped (pid {pid}). Jobs, models and history are kept in {state_dir}."


def start_detached(settings: StackSettings, *, reload: bool = False) -> StackState:
    """Start `tasador up` in a session of its own, and return when it is ready.

    Raises:
        AlreadyRunning: as the launcher itself would.
        DidNotStart: with the last lines of its log.
    """
    if pid := holder(settings.state_dir):
        raise AlreadyRunning(settings.state_dir, str(pid))
    log = settings.state_dir / "logs" / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    logs.rotate(log)
    offset = log.stat().st_size if log.exists() else 0
    argv = [sys.executable, "-m", "tasador", "up", *(["--reload"] if reload else [])]
    with log.open("ab") as output:
        launcher = subprocess.Popen(
            argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )

    def settled() -> bool:
        state = running(settings.state_dir)
        return launcher.poll() is not None or bool(state and state.ready)

    in_time = _within(START_PATIENCE, settled)
    state = running(settings.state_dir)
    if not in_time or launcher.poll() is not None or not state:
        raise DidNotStart("\n".join(["the stack did not become ready:", *logs.tail(log, 20, offset)]))
    return state


def _clear_up(state_dir: Path) -> str:
    left = read_state(state_dir)
    if not left:
        return f"Nothing runs on {state_dir}."
    with locked(state_dir):
        ended = end_leftovers(left)
        remove_state(state_dir)
    return f"The launcher was gone already; ended {', '.join(ended) or 'nothing'} that it left."


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True
