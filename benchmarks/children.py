"""Nothing that a section starts may outlive it, and no section may take for ever."""

import ctypes
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_SECONDS_TO_END = 10.0


class OutOfTime(Exception):
    """A section took longer than it may."""


def adopt_orphans() -> None:
    """Become the parent of what a child leaves behind, so that `end_children` finds it. On Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_children() -> None:
    """End whatever this process started, directly or not."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.terminate()
    _, stubborn = psutil.wait_procs(children, _SECONDS_TO_END)
    # Those that were started meanwhile, too.
    for child in {*stubborn, *psutil.Process().children(recursive=True)}:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(stubborn, _SECONDS_TO_END)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in what takes longer, wherever it waits."""

    def raise_it(number: int, frame: FrameType | None) -> None:
        raise OutOfTime(f"not done within {seconds / 60:.0f} minutes")

    before = signal.signal(signal.SIGALRM, raise_it)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def end_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does: with what it started."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
