"""The state directory's `stack.json` (what runs, and where) and its lock (that it runs at all)."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from tasador.stack.refused import Refused


class ProcessInfo(BaseModel):
    """One process of the stack."""

    model_config = ConfigDict(extra="ignore")

    name: str
    service: str
    pid: int | None = None
    address: str | None = None
    state: str
    detail: str = ""
    created: float | None = None
    """When it was created, Unix time: with the pid it names a process for good."""

    def is_alive(self) -> bool:
        return self.pid is not None and is_same_process(self.pid, self.created)


class StackState(BaseModel):
    """A stack that runs, or that a killed launcher left behind."""

    model_config = ConfigDict(extra="ignore")

    pid: int
    created: float | None = None
    started_at: str
    ready: bool = False
    redis_url: str
    store_url: str
    mlflow_uri: str
    model_name: str
    gateway_url: str
    monitor_url: str
    mlflow_url: str | None = None
    processes: list[ProcessInfo] = []

    def is_running(self) -> bool:
        """Tell whether the launcher itself lives."""
        return is_same_process(self.pid, self.created)


class AlreadyRunning(Refused):
    """Another launcher holds this state directory."""

    def __init__(self, state_dir: Path, pid: str) -> None:
        super().__init__(
            f"Tasador already runs on {state_dir} (pid {pid}): `tasador status` shows it, `tasador down` ends it"
        )


def is_same_process(pid: int, created: float | None) -> bool:
    """Tell whether `pid` still is the process that was created then; zombies do not count."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return created is None or abs(process.create_time() - created) < 1
    except psutil.Error:
        return False


def stack_path(state_dir: Path) -> Path:
    return state_dir / "stack.json"


def read_state(state_dir: Path) -> StackState | None:
    """Return what `stack.json` says; None if there is none, or nothing that can be read."""
    try:
        return StackState.model_validate_json(stack_path(state_dir).read_bytes())
    except (OSError, ValidationError):
        return None


def write_state(state_dir: Path, state: StackState) -> None:
    """Replace `stack.json` in one step: a reader sees the old or the new one.

    Nobody else may read it: processes that join the stack find its addresses there, with their passwords.
    """
    path = stack_path(state_dir)
    beside = path.with_suffix(".json.new")
    with open(beside, "w", opener=_for_us_alone) as file:
        file.write(state.model_dump_json(indent=2) + "\n")
    beside.replace(path)


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class StateFile:
    """A launcher's `stack.json`. A full disk is told once, and stops nothing."""

    def __init__(self, state_dir: Path, tell: Callable[[str], None]) -> None:
        self._state_dir = state_dir
        self._tell = tell
        self._failing = False

    def write(self, state: StackState) -> bool:
        """Return whether it is written; if not, the reader of the file sees what was before."""
        try:
            write_state(self._state_dir, state)
        except OSError as error:
            if not self._failing:
                self._tell(
                    f"Cannot write {stack_path(self._state_dir)} ({error.strerror}); `tasador status` is behind."
                )
            self._failing = True
        else:
            self._failing = False
        return not self._failing


def remove_state(state_dir: Path) -> None:
    stack_path(state_dir).unlink(missing_ok=True)


@contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Hold the state directory; the system lets go of it when we die, however we die.

    Raises:
        AlreadyRunning: with the pid of the holder.
        Refused: the directory cannot be written.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = (state_dir / "lock").open("a+")
    except OSError as error:
        raise Refused(f"cannot write {state_dir} ({error.strerror}): set TASADOR_STATE_DIR to another place") from error
    with lock as file:
        if not _lock(file):
            file.seek(0)
            raise AlreadyRunning(state_dir, file.read().strip() or "unknown")
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _lock(file: TextIO) -> bool:
    """Try for a moment: somebody who asks for the holder has the lock for microseconds."""
    for _ in range(5):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def holder(state_dir: Path) -> int | None:
    """Return the pid of whoever holds the lock, or None if nobody does."""
    try:
        with (state_dir / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # let go of when the file is closed
    except BlockingIOError:
        text = (state_dir / "lock").read_text().strip()
        return int(text) if text.isdigit() else None
    except OSError:
        return None
    return None
