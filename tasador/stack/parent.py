"""Noticing that the make which started us was told to stop.

GNU make that gets SIGINT by itself (not its group) waits for its recipe and tells it nothing: both would wait for ever.
What can be seen from outside is that it no longer catches the signal.
"""

import os
import signal
from pathlib import Path

import psutil

_MAKES = frozenset({"make", "gmake"})


class Parent:
    """The process that started us."""

    def __init__(self) -> None:
        self._pid = os.getppid()
        self._is_make = "MAKELEVEL" in os.environ and _name(self._pid) in _MAKES
        self._caught = self._is_make and catches(self._pid, signal.SIGINT)

    def wants_us_to_stop(self) -> bool:
        """Tell whether the make above us is dying or dead; never true when we were not started by make."""
        if not self._is_make:
            return False
        if os.getppid() != self._pid:
            return True
        return self._caught and not catches(self._pid, signal.SIGINT)


def catches(pid: int, number: signal.Signals) -> bool:
    """Tell whether a process has a handler for a signal (Linux; False elsewhere)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    for line in status.splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return ""
