"""Which TCP ports are free, and who holds those that are not."""

import socket
from dataclasses import dataclass

import psutil

from tasador.stack.refused import Refused

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Owner:
    """The process behind a listening port."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.command})"


class PortTaken(Refused):
    """A port that the stack needs is in use; `str()` says by whom and what to set."""

    def __init__(self, what: str, port: int, variable: str) -> None:
        by = find_owner(port)
        holder = str(by) if by else "another process (of another user, perhaps)"
        super().__init__(f"port {port} for {what} is in use by {holder}: end it, or set {variable} to a free port")
        self.port = port
        self.owner = by


def is_free(port: int) -> bool:
    """Try to listen; connections that linger from an earlier listener do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def find_free(preferred: int) -> int:
    """Return `preferred` if it is free, else a port that the system picks."""
    if is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(what: str, port: int, variable: str) -> None:
    """Raises: PortTaken."""
    if not is_free(port):
        raise PortTaken(what, port, variable)


def find_owner(port: int) -> Owner | None:
    """Name the listener, or None where the system does not tell (another user's process, macOS without rights)."""
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return None
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr or not connection.pid:
            continue
        if connection.laddr.port == port:
            return Owner(connection.pid, _command_of(connection.pid))
    return None


def _command_of(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())[:80]
    except psutil.Error:
        return "its command line is hidden"
