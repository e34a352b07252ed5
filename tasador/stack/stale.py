"""Ending what a killed launcher left behind."""

import os

import psutil

from tasador.stack.state import StackState

_PATIENCE = 10.0


def end_leftovers(state: StackState) -> list[str]:
    """End the processes of a dead launcher, with all they started; return the names of those still alive.

    Valkey goes last, so that the services can hand back what they hold. Blocks for at most some 20 s.
    """
    alive = [process for process in state.processes if process.is_alive()]
    valkeys = [process for process in alive if process.service == "valkey"]
    services = [process for process in alive if process.service != "valkey"]
    for group in (services, valkeys):
        _end([member for process in group if process.pid for member in _session(process.pid)])
    return [process.name for process in alive]


def _session(leader: int) -> list[psutil.Process]:
    """Return the processes of the session that `leader` leads: each child of the launcher leads one."""
    members = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader:
                members.append(process)
        except OSError:  # gone, or not ours to ask about
            continue
    return members


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        _ignoring_gone(process.terminate)
    _, left = psutil.wait_procs(processes, timeout=_PATIENCE)
    for process in left:
        _ignoring_gone(process.kill)
    psutil.wait_procs(left, timeout=_PATIENCE)


def _ignoring_gone(act: object) -> None:
    assert callable(act)
    try:
        act()
    except psutil.Error:
        return
