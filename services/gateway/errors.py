"""Every error of the web framework in our one shape."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from services.gateway.edge import METHODS
from services.gateway.problems import KINDS, MEDIA_TYPE, ErrorItem, Problem, unavailable
from shared.store import StoreUnavailable
from shared.telemetry import get_logger

_SLUGS = {400: "malformed-request", 404: "not-found", 405: "method-not-allowed"}
_CODES = {"missing": "missing", "extra_forbidden": "unknown_parameter"}  # pydantic's words to ours
CLIENT_CLOSED = 499  # nobody reads it; only the metrics show it

log = get_logger(__name__)


def register_handlers(app: FastAPI) -> None:
    """Everything else is an uncaught error, which `edge` logs and answers."""

    def handle(error: type[Exception], to_problem: Any) -> None:
        async def handler(request: Request, caught: Exception) -> Response:
            return answer(request, to_problem(request, caught))

        app.add_exception_handler(error, handler)

    handle(Problem, lambda _, problem: problem)
    handle(HTTPException, _http)
    handle(RequestValidationError, lambda _, invalid: _invalid(invalid))
    for away in (RedisConnectionError, RedisTimeoutError):
        handle(away, lambda *_: unavailable("redis-unavailable", "Redis cannot be reached"))
    handle(ResponseError, _refused)
    handle(StoreUnavailable, _store)
    app.add_exception_handler(ClientDisconnect, _gone)


def answer(request: Request, problem: Problem) -> Response:
    request.state.problem = problem  # `edge` may have to tell of it
    body = problem.body(request.state.request_id)
    return Response(body, problem.status, problem.headers, MEDIA_TYPE)


def _http(request: Request, error: HTTPException) -> Problem:
    slug = _SLUGS.get(error.status_code, "malformed-request" if error.status_code < 500 else "internal-error")
    details = {"not-found": f"there is nothing at {request.url.path[:200]}"}
    details["method-not-allowed"] = f"{request.url.path[:200]} does not support {request.method[:20]}"
    headers = {"Allow": _allowed(request)} if slug == "method-not-allowed" else error.headers
    return Problem(slug, details.get(slug, str(error.detail)), headers=headers)


def _allowed(request: Request) -> str:
    """Return the methods of a path; the framework names those of one of its routes."""
    return ", ".join(sorted(method for method in METHODS if _has_route(request, method)))


def _has_route(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)


def _invalid(invalid: RequestValidationError) -> Problem:
    errors = [_parameter(error) for error in invalid.errors()]
    return Problem(
        "invalid-parameter", "; ".join(f"{e.pointer.split('/', 2)[-1]}: {e.detail}" for e in errors), errors=errors
    )


def _parameter(error: Mapping[str, Any]) -> ErrorItem:
    code, detail = _CODES.get(error["type"], "invalid"), error["msg"].removeprefix("Value error, ")
    if code == "unknown_parameter":
        detail = "there is no such parameter"
    return ErrorItem("#/" + "/".join(str(part) for part in error["loc"]), code, detail)


def _refused(_: Request, error: ResponseError) -> Problem:
    """A server that answers, but cannot do it now: loading its data, out of memory, read-only."""
    log.error("redis refuses a command", error=str(error))
    return unavailable("redis-unavailable", "Redis cannot take this now")


def _store(_: Request, error: StoreUnavailable) -> Problem:
    log.error("the store fails", error=str(error))
    return unavailable("store-unavailable", "the store cannot be reached")


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED)


def describe_statuses(*slugs: str) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of the problems a route may answer with."""
    found: dict[int | str, dict[str, Any]] = {}
    for slug in slugs:
        kind = KINDS[slug]
        text = f"{found[kind.status]['description']}; or: {kind.title}" if kind.status in found else kind.title
        schema = {"$ref": "#/components/schemas/Problem"}
        found[kind.status] = {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}
    return found
