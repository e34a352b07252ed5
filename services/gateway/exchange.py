"""What our protocol offers an application beyond ASGI: a request that has come whole, to be answered in one piece.

ASGI hands bodies and answers over in messages, each of which passes through a coroutine and through the same checks
again. That takes longer than a prediction. An application that finds no exchange, under another server or because the
body is still on its way, does without. As `immediate` this leans on the insides of uvicorn, which `trial` looks at.
"""

from collections.abc import Mapping

from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from services.gateway.connection import GatewayProtocol
from services.gateway.reply import Reply
from services.gateway.wire import Joining, with_close, written

EXTENSION = "tasador.exchange"
"""Its name among the extensions of a scope. Who takes it removes it: it leads back to the scope."""

URL = b"/predict"
"""What asks for one; for all others it would only be made and thrown away."""


class Exchange:
    """Of one request, with a head in which no name stands twice."""

    __slots__ = ("_cycle", "_transport", "head")

    def __init__(self, head: Mapping[bytes, bytes], cycle: RequestResponseCycle, transport: Joining) -> None:
        self.head = head
        self._cycle = cycle
        self._transport = transport

    def body(self) -> bytes | None:
        """Return the body if it is there and can be answered now. Nothing is taken away."""
        cycle = self._cycle
        if cycle.more_body or cycle.waiting_for_100_continue or cycle.disconnected or cycle.flow.write_paused:
            return None
        return bytes(cycle.body)

    def answer(self, reply: Reply, request_id: str) -> None:
        """Send the answer, in the same turn of the event loop in which there was a body."""
        cycle = self._cycle
        last = not cycle.keep_alive or CLOSE_HEADER in cycle.default_headers
        headers = with_close(cycle.default_headers) if last else cycle.default_headers
        self._transport.write_now(written(reply, request_id, headers))
        cycle.response_started = cycle.response_complete = True
        cycle.body = bytearray()  # the connection keeps its last request, and may be idle for long
        cycle.message_event.set()
        if last:
            self._transport.close()
        cycle.on_response()


class ExchangingProtocol(GatewayProtocol):
    """One connection."""

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.url == URL and not self._plain and not self.repeats and self.parser.get_method() == b"POST":
            exchange = Exchange(self.head, self.cycle, self._joining)
            self.scope["extensions"] = {EXTENSION: exchange}  # type: ignore[dict-item] # servers may add their own
