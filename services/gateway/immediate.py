"""Predictions answered where the parser of HTTP finds them, without the application; an option.

Only what came whole in one read, on a connection that owes no answer, with a head that says nothing unusual, is
answered so, by the same function as always. Everything else is handed on as if it had just come. This leans on the
insides of uvicorn; so `trial` has to find first that they are what they were.
"""

from collections.abc import Callable, Mapping
from typing import Any

from uvicorn.protocols.http.flow_control import CLOSE_HEADER

from services.gateway.answers import is_plain
from services.gateway.exchange import URL, ExchangingProtocol
from services.gateway.reply import Reply
from services.gateway.wire import written

Head = Mapping[bytes, bytes]
Answer = Callable[[Head, bytes], tuple[Reply, str] | None]
"""Returns the answer to a body and the request's id; None where it should be asked for as always."""


class ImmediateProtocol(ExchangingProtocol):
    """One connection."""

    def __init__(self, answer: Answer, **given: Any) -> None:
        super().__init__(**given)
        self._answer = answer
        self._held: list[bytes] | None = None  # the body of a request that may be answered here

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._held is not None:
            self._hand_on()

    def on_headers_complete(self) -> None:
        if self._plainly_a_prediction():
            self._unheard = 0
            self._held = []
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._held is None:
            super().on_body(body)
        else:
            self._unheard = 0
            self._held.append(body)

    def on_message_complete(self) -> None:
        if self._held is not None:
            answered = self._answer(self.head, b"".join(self._held))
            if answered is not None:
                self._held = None
                self._send(*answered)
                return
            self._hand_on()
        super().on_message_complete()

    def _plainly_a_prediction(self) -> bool:
        """Whether nothing is owed, and the head says no more than heads of predictions do."""
        parser, cycle = self.parser, self.cycle
        if self.url != URL or parser.get_method() != b"POST" or (cycle is not None and not cycle.response_complete):
            return False
        self.head = head = dict(self.headers)
        return (
            is_plain(head)
            and b"content-length" in head
            and b"host" in head
            and len(head) == len(self.headers)  # nothing is said twice
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and not self.flow.write_paused
            and not self.transport.is_closing()
            and CLOSE_HEADER not in self.server_state.default_headers  # who leaves gives a last answer, and closes
        )

    def _hand_on(self) -> None:
        held, self._held = self._held or [], None
        super().on_headers_complete()
        for part in held:
            super().on_body(part)

    def _send(self, reply: Reply, request_id: str) -> None:
        self._idle_since = None
        self._joining.write_now(written(reply, request_id, self.server_state.default_headers))
        self.on_response_complete()
