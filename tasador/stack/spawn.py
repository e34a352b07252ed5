"""Starting one process so that it neither hears our Ctrl-C nor outlives us."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Command:
    """What to run, and under which name it is shown."""

    name: str
    service: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to our own environment."""
    cwd: Path | None = None
    descriptors: tuple[int, ...] = ()
    """Open files that it inherits, under the same numbers."""

    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.env}


def spawn(command: Command, log: Path) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, its output appended to `log`.

    Call it from the main thread only: Linux takes the death of the *thread* that forked for the parent's death.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=command.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=command.descriptors,
            preexec_fn=end_with_parent(),  # noqa: PLW1509 - two system calls, no locks
        )


def end_with_parent() -> Callable[[], None] | None:
    """Ask the kernel to send SIGTERM when the launcher dies, a SIGKILL included (Linux; elsewhere see stale.py)."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork
    launcher = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != launcher:  # it died between the fork and the request
            os._exit(1)

    return ask


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a child and whatever it started in its session; that it is gone already is no error."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):  # macOS says EPERM of a group of zombies
        return
