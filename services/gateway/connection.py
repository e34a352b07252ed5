"""How requests come in: what uvicorn leaves open of HTTP/1.1 (RFC 9112), so that a connection has an end and an order.

- Until a request has come whole, its answer is the last one of the connection, and says so: the rest is thrown away for
  a moment, so that the caller gets to read the answer, and never taken for another request.
- What came whole is answered, in order, though the caller sends nonsense after it, or will send nothing more.
- A head is bounded in size, and in time: a connection on which nothing is asked for is closed.
- A wish to speak another protocol is passed over. The body of such a request is part of it.
"""

from asyncio import AbstractEventLoop, TimerHandle, Transport
from collections import deque
from collections.abc import Callable, Sized
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from services.gateway.edge import request_ids
from services.gateway.problems import Problem
from services.gateway.reply import refusal
from services.gateway.wire import Joining, JoiningProtocol, with_close, written
from shared.telemetry import get_logger

HEAD_BYTES = 1 << 16
"""Of a request that are no body: its head, and what stands between the parts of a body. Counted per read, of 256 KB."""
LINGER_SECONDS = 2.0
"""What is still on its way is read after the last answer: closing at once would take the answer from the caller."""
HALF_CLOSED_SECONDS = 5.0
"""To answer a caller that will send nothing more. It may as well be gone, and nobody should be waited for."""

_NOWHERE: deque[tuple[bytes, bytes]] = deque(maxlen=0)

log = get_logger(__name__)
_new_id = request_ids()


class NotHttpError(ValueError):
    """The parser takes it, and the standard does not."""


class GatewayProtocol(JoiningProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.head: dict[bytes, bytes] = {}
        """Of the newest request."""
        self.repeats = False
        """Whether a name stands more than once in it."""
        self._unheard = 0  # bytes since the parser last had something to tell
        self._open = False  # the body of the newest request has not come to its end
        self._deaf = False  # what comes is thrown away
        self._ended = False  # nothing more comes
        self._keep_alive = True  # what the newest request wants, once it has come whole
        self._whole: RequestResponseCycle | None = None  # the newest that has
        self._plain = b""  # the head of a request that wants another protocol, without that wish
        self._idle_since: float | None = None  # by the event loop's clock: nothing is asked for
        self._idle_look: TimerHandle | None = None

    def joined(self, transport: Transport) -> Joining:
        return _Lingering(transport, self.loop, self._leaves_something_unread)

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(self._joining, self.pipeline)
        self._idle_since = self.loop.time()
        self._look_later(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle_look is not None:
            self._idle_look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unheard += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self._refuse(_problem(error))
        else:
            if self._unheard > HEAD_BYTES:
                self._refuse(Problem("head-too-large", f"the head may have up to {HEAD_BYTES:,} bytes"))

    def eof_received(self) -> bool:  # type: ignore[override] # as asyncio has it
        self._ended = True
        if not self._owes_answers():
            super().eof_received()
            return False
        self.loop.call_later(HALF_CLOSED_SECONDS, self.transport.close)
        return True

    def shutdown(self) -> None:
        super().shutdown()
        self._keep_alive = False

    def on_response_complete(self) -> None:
        """As uvicorn does, without a timer for each answer: to set and to cancel one takes 2 µs."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = self.loop.time()

    # What the parser calls
    def on_headers_complete(self) -> None:
        self._unheard = 0
        self._idle_since = None
        if self.parser.should_upgrade():
            self._plain = self._without_upgrade()
            return
        if self.expect_100_continue and self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False
        self.head = dict(self.headers)
        self.repeats = len(self.head) < len(self.headers)
        hosts = [name for name, _ in self.headers].count(b"host") if self.repeats else b"host" in self.head
        if hosts != 1 and self.parser.get_http_version() != "1.0":
            raise NotHttpError("a request has one Host")
        super().on_headers_complete()
        self._open = True
        self._keep_alive, self.cycle.keep_alive = self.cycle.keep_alive, False
        self.headers = _NOWHERE  # type: ignore[assignment] # trailers are no headers, and not kept

    def on_body(self, body: bytes) -> None:
        self._unheard = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unheard = 0
        if self._plain:
            return
        super().on_message_complete()
        self._open = False
        self._whole = self.cycle
        if not self.cycle.response_started:
            self.cycle.keep_alive = self._keep_alive

    # How it comes to an end
    def _look_later(self, seconds: float) -> None:
        self._idle_look = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Close a connection on which nothing was asked for, for as long as that may be."""
        idle = 0.0 if self._idle_since is None else self.loop.time() - self._idle_since
        if idle < self.timeout_keep_alive:
            self._look_later(self.timeout_keep_alive - idle)
        else:
            self.timeout_keep_alive_handler()

    def _owes_answers(self) -> bool:
        """Take no more requests, and forget one that has not come whole, if earlier ones wait for their answer."""
        whole = self._whole
        if whole is None or whole.response_complete:
            return False
        self._deaf = True
        if self.cycle is not whole:
            self.pipeline.popleft()
            self.cycle = whole
        whole.keep_alive = False
        return True

    def _refuse(self, problem: Problem) -> None:
        """Answer what cannot be read on from, and end."""
        log.warning("request refused", status=problem.status, problem=problem.slug, detail=problem.detail)
        if self._owes_answers():
            return
        begun = self._open and self.cycle.response_started
        if self._open:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not begun:
            request_id = _new_id()
            last = with_close(self.server_state.default_headers)
            self.transport.write(written(refusal(problem, request_id), request_id, last))
        self._deaf = True
        self.transport.close()

    def _leaves_something_unread(self) -> bool:
        if self._open or self._deaf:
            self._deaf = True
            return not self._ended
        return False

    # Other protocols
    def _feed(self, data: bytes) -> None:
        rest: bytes | memoryview = data
        while True:
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as stopped:
                rest = memoryview(rest)[stopped.args[0] :]
            head, self._plain = self._plain, b""
            self.parser = httptools.HttpRequestParser(self)  # the present one would take the body for what follows
            self.parser.feed_data(head)

    def _without_upgrade(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if method == b"CONNECT":
            raise NotHttpError("CONNECT is for proxies")
        head = [b"%b %b HTTP/%b\r\n" % (method, self.url, version.encode())]
        head += [b"%b: %b\r\n" % (name, value) for name, value in self.headers if name != b"upgrade"]
        return b"".join(head) + b"\r\n"


class _Flow(FlowControl):
    """Reads no further requests while some wait for their turn; uvicorn does, as soon as one asks for its body."""

    def __init__(self, transport: Joining, waiting: Sized) -> None:
        super().__init__(transport)  # type: ignore[arg-type] # it is a transport to whom uses it
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()


class _Lingering(Joining):
    """Closes only its own half, for a moment, where the caller may still be sending."""

    def __init__(self, transport: Transport, loop: AbstractEventLoop, unread: Callable[[], bool]) -> None:
        super().__init__(transport, loop)
        self._unread = unread
        self._lingers = False

    def is_closing(self) -> bool:
        return self._lingers or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        if not self._lingers:
            super().write(data)

    def write_now(self, data: bytes) -> None:
        if not self._lingers:
            super().write_now(data)

    def close(self) -> None:
        if self.is_closing() or not self._unread():
            super().close()
            return
        self.flush()
        self._lingers = True
        self._transport.write_eof()
        self._loop.call_later(LINGER_SECONDS, self._transport.close)


def _problem(error: httptools.HttpParserError) -> Problem:
    cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
    if isinstance(cause, (NotHttpError, httptools.HttpParserError)):
        return Problem("malformed-request", f"this is not HTTP/1.1: {str(cause)[:200]}")
    log.error("request failed", exc_info=cause)
    return Problem("internal-error", "the request could not be read")
