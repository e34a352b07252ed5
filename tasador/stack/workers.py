"""Several gateways on one port. The launcher opens their sockets, and keeps them for those that are started again.

Each has a socket of its own on the port, over which the kernel spreads connections evenly, and inherits those of the
others: what waits at a worker that died, hangs or is only starting, the others take. So none is lost with a worker.
"""

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from shared.process import AddressInUse, listen
from shared.settings import PREFIX
from tasador.settings import StackSettings
from tasador.stack.ports import require_free
from tasador.stack.refused import Refused
from tasador.stack.spawn import Command

_PORT = f"{PREFIX}GATEWAY_PORT"


@dataclass(frozen=True)
class WorkerSockets:
    """Of every worker in turn: one on the port of all, and one on a free port, where it answers for itself alone."""

    shared: tuple[socket.socket, ...]
    own: tuple[socket.socket, ...]

    def hand_to(self, commands: Iterable[Command]) -> Iterator[Command]:
        descriptors = tuple(each.fileno() for each in (*self.shared, *self.own))
        told = {f"{PREFIX}GATEWAY_SOCKETS": json.dumps(descriptors)}
        number = 0
        for command in commands:
            if command.service == "gateway":
                number += 1
                env = {**command.env, **told, f"{PREFIX}GATEWAY_WORKER": str(number)}
                yield replace(command, env=env, descriptors=descriptors)
            else:
                yield command


@contextmanager
def worker_sockets(settings: StackSettings) -> Iterator[WorkerSockets | None]:
    """Open them; None for a gateway alone, which opens its port by itself.

    Raises:
        PortTaken
        Refused: the host is not an address of this machine.
    """
    require_free("the gateway", settings.gateway_port, _PORT)
    if settings.gateway_workers == 1:
        yield None
        return
    with ExitStack() as opened:

        def some(port: int) -> tuple[socket.socket, ...]:
            return tuple(
                opened.enter_context(listen(settings.gateway_host, port, _PORT, several=port > 0))
                for _ in range(settings.gateway_workers)
            )

        try:
            sockets = WorkerSockets(some(settings.gateway_port), some(0))
        except AddressInUse as taken:
            raise Refused(str(taken)) from None
        yield sockets
