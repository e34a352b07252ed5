"""In front of the framework: `POST /predict` is answered here, everything else goes on.

FastAPI takes longer to find a route than a prediction takes. Its own route of that name is what `/docs` shows; it gives
the same replies.
"""

import time
from collections.abc import Awaitable, Generator, Mapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.answers import PredictReplies, is_plain
from services.gateway.edge import given_id, request_ids, sane_id, too_many
from services.gateway.exchange import EXTENSION, Exchange
from services.gateway.reply import Reply, refusal
from services.gateway.tally import Tally

PATH = "/predict"
_NONE: Mapping[str, Any] = {}


class _Done(Awaitable[None]):
    def __await__(self) -> Generator[Any, Any, None]:
        return iter(())  # type: ignore[return-value] # nothing is sent to it


_DONE = _Done()


class Front:
    """An ASGI application. It counts, bounds and names requests as `edge` does."""

    def __init__(self, app: ASGIApp, replies: PredictReplies, tally: Tally, max_requests: int) -> None:
        self._app = app
        self._replies = replies
        self._tally = tally
        self._max_requests = max_requests
        self._new_id = request_ids()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST":
            exchange: Exchange | None = scope.pop("extensions", _NONE).get(EXTENSION)  # it leads back to the scope
            if exchange is not None and self._exchanged(exchange):
                return _DONE
            return self._predict(scope, receive, send)
        return self._app(scope, receive, send)

    def _exchanged(self, exchange: Exchange) -> bool:
        """Answer what has come whole, if it is as requests usually are."""
        body = exchange.body() if is_plain(exchange.head) else None
        answered = None if body is None else self.at_once(exchange.head, body)
        if answered is None:
            return False
        exchange.answer(*answered)
        return True

    def at_once(self, head: Mapping[bytes, bytes], body: bytes) -> tuple[Reply, str] | None:
        """Return the answer to a body that came whole with a plain head, and its request id.

        None if it is not to be had at once: the body is too large, the model too slow, or there is no place. The
        request has to come the usual way then.
        """
        tally, replies = self._tally, self._replies
        full = tally.in_flight - tally.waiting >= self._max_requests
        if full or len(body) > replies.max_bytes or not replies.at_once:
            return None
        started = time.perf_counter()
        given = head.get(b"x-request-id")
        request_id = (given and sane_id(given)) or self._new_id()
        reply = replies.answer(body, request_id)
        tally.request(PATH, "POST", reply.status, time.perf_counter() - started)
        return reply, request_id

    async def _predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, tally, status = time.perf_counter(), self._tally, 500
        tally.in_flight += 1
        try:
            request_id = given_id(scope) or self._new_id()
            if problem := too_many(tally, self._max_requests):
                reply = refusal(problem, request_id)
            else:
                reply = await self._replies.reply(scope, receive, request_id)
            status = reply.status
            headers = [*reply.headers_with_length, (b"x-request-id", request_id.encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": reply.body})
        finally:
            tally.in_flight -= 1
            tally.request(PATH, "POST", status, time.perf_counter() - started)
