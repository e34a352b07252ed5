"""Where a gateway listens: at a port of its own; or, as one of several workers, at a port of all and one of its own.

The launcher hands the sockets of every worker to each (`tasador.stack.workers`).
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.gateway.settings import GatewaySettings
from shared.process import listen

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # bound to all addresses, it is reached at this one


@dataclass(frozen=True)
class Sockets:
    own: socket.socket
    """Where it answers for itself; what is announced."""
    worker: int = 0
    """Its number among the workers, from 1; 0 alone."""
    shared: socket.socket | None = None
    """Its own of those that listen at the port of all."""
    of_others: tuple[socket.socket, ...] = ()
    """The rest of those."""
    others: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    """Host and port where the others answer for themselves, by their numbers."""

    def is_asked_for_all(self, port: int | None) -> bool:
        """Tell whether a request that came by a port is to all workers."""
        return self.shared is not None and port == self.shared.getsockname()[1]


def open_sockets(settings: GatewaySettings) -> Sockets:
    """Raises: AddressInUse."""
    descriptors, worker = settings.gateway_sockets, settings.gateway_worker
    if not descriptors:
        return Sockets(listen(settings.gateway_host, settings.gateway_port, "TASADOR_GATEWAY_PORT"))
    inherited = [_inherited(each) for each in descriptors]
    shared, own = inherited[: len(inherited) // 2], inherited[len(inherited) // 2 :]
    mine = worker - 1
    return Sockets(
        own=own[mine],
        worker=worker,
        shared=shared[mine],
        of_others=tuple(each for number, each in enumerate(shared) if number != mine),
        others={number + 1: _reached_at(each) for number, each in enumerate(own) if number != mine},
    )


def _inherited(descriptor: int) -> socket.socket:
    inherited = socket.socket(fileno=descriptor)
    inherited.set_inheritable(False)
    inherited.setblocking(False)
    return inherited


def _reached_at(bound: socket.socket) -> tuple[str, int]:
    with bound:  # it is for another to answer there
        host, port = bound.getsockname()[:2]
    return _ANY.get(host, host), port
