"""What a process of ours needs of the operating system."""

import asyncio
import ctypes
import os
import signal
import socket
import sys
from importlib.abc import MetaPathFinder

BACKLOG = 2048  # connections waiting to be accepted
STALLED_SECONDS = 75.0  # as the proxy has it
_PR_SET_PDEATHSIG = 1
_ANY = ("0.0.0.0", "::")


class AddressInUse(OSError):
    """Another process listens on the address that we were told to use."""


def die_with_parent(sig: int = signal.SIGTERM, parent: int | None = None) -> None:
    """Ask the kernel to send us `sig` when our parent dies, whatever kills it. Linux only; elsewhere nothing.

    Args:
        parent: its process id, where it is known: it may have died before the kernel was asked.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, sig)
        if parent not in (None, os.getppid()):
            os.kill(os.getpid(), sig)


def listen(host: str, port: int, variable: str, *, several: bool = False) -> socket.socket:
    """Return a listening socket; port 0 takes a free one.

    It listens at once, so that nobody else can take the port, and early clients wait instead of being refused. Whoever
    takes nothing of an answer for STALLED_SECONDS is cut off: the request would keep its place for ever.

    Args:
        several: of one address. Linux spreads connections over them; each waits in the queue of its own.

    Raises:
        AddressInUse: naming the variable that chooses another port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if several:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * STALLED_SECONDS))
    try:
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise AddressInUse(
            f"cannot listen on {host}:{port} ({error.strerror}): set {variable} to another port"
        ) from error
    return bound


def address_of(bound: socket.socket) -> str:
    """Return the base URL of a bound socket, as others can use it: this machine's for one bound to all addresses."""
    host, port = bound.getsockname()[:2]
    if host in _ANY:
        host = _own_address()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _own_address() -> str:
    """Return what this machine, or container, is known as on its network; the name where it has no address."""
    name = socket.gethostname()
    try:
        return socket.gethostbyname(name)
    except OSError:
        return name


def stop_event() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set. Call it inside the running loop."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, event.set)
    return event


_UNUSED = frozenset(
    (
        "pandas",  # pyarrow, when it first makes an array: seconds, and a hundred megabytes
        "pydantic.v1",  # FastAPI, for each route: 0.15 s, and 4 MB
    )
)
"""What libraries look for, where it is installed, to recognise its types; serving never has any."""


class _NotFound(MetaPathFinder):
    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname in _UNUSED:
            raise ModuleNotFoundError(f"serving needs no {fullname}", name=fullname)


def without_unused() -> None:
    """Let nothing load what serving does not use."""
    sys.meta_path.insert(0, _NotFound())
