"""Around every request: its id, a bound on how many are in flight, the count, and an answer whatever happens.

Its id is on every log line that is written meanwhile. There is none for a request as such: at 120 µs it would cost more
than a prediction; metrics count them.
"""

import itertools
import re
import time
from collections.abc import Callable
from secrets import token_hex

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.problems import Problem, unavailable
from services.gateway.reply import refusal
from services.gateway.tally import Tally
from shared.telemetry import get_logger

ALWAYS_ADMITTED = ("/health", "/metrics")  # an orchestrator must not take a busy gateway for a dead one
UNTOLD = ("/predict", *ALWAYS_ADMITTED)  # refusals that are only counted: there may be thousands a second
MAX_PATH = 200  # characters in the log
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_SANE = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")

log = get_logger(__name__)


def request_ids() -> Callable[[], str]:
    """Return a source of ids: unique to this process by a random prefix, then counted; cheaper than a UUID."""
    prefix, count = token_hex(6), itertools.count(1)
    return lambda: f"{prefix}-{next(count):x}"


class Edge:
    """ASGI middleware.

    It puts `request_id` into the request's state and on the answer. `log.error` has the cause of a 500; the answer not.
    """

    def __init__(self, app: ASGIApp, tally: Tally, max_requests: int, max_waiting: int) -> None:
        self._app = app
        self._tally = tally
        self._max_requests = max_requests
        self._max_waiting = max_waiting
        self._new_id = request_ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(given_id(scope) or self._new_id(), send)
        scope.setdefault("state", {})["request_id"] = answer.request_id
        started, waits = time.perf_counter(), _waits(scope)
        self._tally.in_flight += 1
        self._tally.waiting += waits
        try:
            await self._answer(scope, receive, answer, waits)
        finally:
            self._tally.in_flight -= 1
            self._tally.waiting -= waits
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._tally.request(_route(scope), method, answer.status, time.perf_counter() - started)
            _tell(scope, answer)

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer", waits: bool) -> None:
        refused = None if scope["path"].startswith(ALWAYS_ADMITTED) else self._refused(waits)
        if refused is not None:
            scope["state"]["problem"] = refused
            await answer.problem(refused)
            return
        with structlog.contextvars.bound_contextvars(request_id=answer.request_id):
            try:
                await self._app(scope, receive, answer.send)
            except Exception as error:
                if answer.started:
                    log.error("answer broken off", error=str(error), **_named(scope))
                    raise  # uvicorn logs it and cuts the connection: half an answer must not pass for a whole one
                log.exception("request failed", **_named(scope))
                await answer.problem(Problem("internal-error", "the request could not be answered"))

    def _refused(self, waits: bool) -> Problem | None:
        """Those that only wait have places of their own: however many there are, predictions are answered."""
        tally = self._tally
        if waits and tally.waiting > self._max_waiting:
            return unavailable("overloaded", f"{self._max_waiting} requests wait for something", retry_after=5)
        return None if waits else too_many(tally, self._max_requests)


class _Answer:
    """Sends the answer with the request's id, and remembers its status."""

    def __init__(self, request_id: str, send: Send) -> None:
        self.request_id = request_id
        self.status = 500  # until the answer starts
        self.started = False
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.request_id.encode())]
        await self._send(message)

    async def problem(self, problem: Problem) -> None:
        reply = refusal(problem, self.request_id)
        await self.send({"type": "http.response.start", "status": reply.status, "headers": reply.headers_with_length})
        await self.send({"type": "http.response.body", "body": reply.body})


def _tell(scope: Scope, answer: _Answer) -> None:
    """Say which requests got no answer for want of something: Redis, the store, a model, room."""
    problem: Problem | None = scope["state"].get("problem")
    if problem is None or answer.status <= 500 or scope["path"].startswith(UNTOLD):  # a 500 was told with its cause
        return
    known = {"status": answer.status, "problem": problem.slug, "detail": problem.detail}
    log.warning("request refused", request_id=answer.request_id, **known, **_named(scope))


def _named(scope: Scope) -> dict[str, str]:
    return {"method": scope["method"], "path": scope["path"][:MAX_PATH]}


def too_many(tally: Tally, limit: int) -> Problem | None:
    """Whether a request that works, itself counted already, finds no place."""
    if tally.in_flight - tally.waiting > limit:
        return unavailable("overloaded", f"{limit} requests are in flight", retry_after=1)
    return None


def given_id(scope: Scope) -> str | None:
    """Return the id that a request brought, if it is one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and (sane := sane_id(value)):
            return sane
    return None


def sane_id(given: bytes) -> str | None:
    return given.decode() if _SANE.fullmatch(given) else None


def _waits(scope: Scope) -> bool:
    """Whether a request waits for something rather than works: a long poll, or a stream of events."""
    path: str = scope["path"]
    return path.endswith("/events") or b"wait=" in scope["query_string"]


def _route(scope: Scope) -> str:
    """Return the route's template: a path would make a metric's label grow without end."""
    route = scope.get("route")
    return getattr(route, "path", "") or ("/static-offline-docs" if scope.get("endpoint") else "unmatched")
