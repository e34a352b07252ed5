"""The HTTP surface of the monitor."""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import uuid4

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi_offline import FastAPIOffline
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from services.monitor.alert_routes import AlertNotFound, AlertResolved, add_alerts
from services.monitor.alerts import Alert
from services.monitor.drift import DriftReport
from services.monitor.live_quality import QualityReport
from services.monitor.monitor import NoModel, Stats
from services.monitor.problems import problem
from services.monitor.report.data import Condition
from services.monitor.report.page import POLICY
from services.monitor.runtime import Runtime
from services.monitor.windows import InvalidWindow, parse_length
from shared.broker import is_up
from shared.pages import keep_offline
from shared.telemetry import get_logger

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_SLUGS = {404: "not-found", 405: "method-not-allowed"}

LookBack = Annotated[
    str | None,
    Query(
        description="How far to look back: 5m, 1h, 24h or seconds. Default: as many minutes as have enough rows.",
        examples=["1h"],
    ),
]

log = get_logger(__name__)


@dataclass(frozen=True)
class Health:
    status: Literal["healthy", "degraded", "warning"]
    """degraded: something is missing; warning: everything works, and somebody should look."""
    redis: bool
    consuming: bool
    model_version: str | None
    uptime_hours: float
    warnings: list[str]


@dataclass(frozen=True)
class Deleted:
    """What was deleted of a request. Nothing is no error: its rows may be gone already, or not have arrived."""

    request_id: str
    rows: int
    """Of the prediction log."""
    labelled_rows: int
    files: int
    """Written anew without these rows, or removed."""


class StoreAway(RuntimeError):
    """The store does not do what it is asked."""


class LogUnreadable(RuntimeError):
    """Some files could not be searched."""

    def __init__(self, keys: Sequence[str]) -> None:
        more = f", and {len(keys) - 3} more" if len(keys) > 3 else ""
        super().__init__(f"{', '.join(keys[:3])}{more}: restore or remove what is damaged, and repeat the deletion")


_ERRORS: Mapping[type[Exception], str] = {
    NoModel: "no-model",
    AlertNotFound: "not-found",
    AlertResolved: "conflict",
    LogUnreadable: "log-unreadable",
}
"""Errors that say themselves what is the matter."""


def create_app(runtime: Runtime) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with runtime.running():
            yield

    app = FastAPIOffline(
        title="Tasador monitor",
        description="Figures, drift, alerts and metrics of what was predicted.",
        lifespan=lifespan,
    )
    keep_offline(app)
    app.middleware("http")(_with_request_id)
    _answer_problems(app)
    _add_figures(app, runtime)
    _add_log(app, runtime)
    add_alerts(app, runtime.monitor, runtime.watch)
    _add_health(app, runtime)
    return app


def _add_figures(app: FastAPI, runtime: Runtime) -> None:
    monitor = runtime.monitor

    @app.get("/stats")
    async def stats() -> Stats:
        """Predictions, throughput, latency and prediction moments: per window, since ever, by mode and version."""
        return await monitor.stats()

    @app.get("/drift")
    async def drift(window: LookBack = None) -> DriftReport:
        """The champion's live rows against its reference, per feature and for the prediction."""
        seconds = None if window is None else parse_length(window, monitor.keep_seconds)
        return await monitor.drift(seconds)

    @app.get("/quality")
    async def quality() -> QualityReport:
        """Predictions whose actual value is known: errors with their intervals, per version and window."""
        return await runtime.quality.report()

    @app.get("/report", response_class=HTMLResponse)
    async def report(window: LookBack = None) -> HTMLResponse:
        """All of it as a page: distributions, drift and latency over time, quality, alerts. It loads nothing else."""
        health = await _health(runtime)
        page = await runtime.reporter.page(window, Condition(health.status, health.warnings))
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})

    @app.get("/metrics", response_class=Response)
    async def metrics(request: Request) -> Response:
        """Prometheus exposition."""
        body, content_type = runtime.metrics.expose(await runtime.snapshot(), request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})


def _add_log(app: FastAPI, runtime: Runtime) -> None:
    @app.delete("/log/{request_id:path}")
    async def delete_logged(
        request_id: Annotated[str, Path(description="Of the rows to delete.", pattern=f"^{_REQUEST_ID.pattern}$")],
    ) -> Deleted:
        """Delete all rows of a request, labelled ones too: those in the store now, and those on their way as they come.

        Repeating it does no harm, and is what to do after an error: some of the rows may be gone, and some not.
        """
        try:
            found = await runtime.purge.delete(request_id)
        except OSError as error:
            raise StoreAway(str(error)) from error
        if found.unreadable:
            raise LogUnreadable(found.unreadable)
        return Deleted(request_id, found.rows, found.labelled_rows, found.files)


def _add_health(app: FastAPI, runtime: Runtime) -> None:
    @app.get("/health")
    async def health() -> Health:
        """How it is; always 200 while the process answers."""
        return await _health(runtime)

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/health/ready")
    async def ready() -> JSONResponse:
        """200 once every consumer has read from Redis, and from then on; else 503."""
        status = "ready" if runtime.was_ready else "starting"
        return JSONResponse({"status": status}, 200 if runtime.was_ready else 503)


async def _health(runtime: Runtime) -> Health:
    redis = await is_up(runtime.redis)
    consuming, version, warnings = redis and runtime.consumers.consuming, None, []
    if not redis:
        why = runtime.replica.refusal or "Redis is away; it heals by itself"
        warnings.append(f"nothing is counted now, and figures cannot be read: {why}")
    elif not consuming:
        warnings.append("the consumers are starting")
    degraded = bool(warnings)
    if runtime.webhooks.warning:
        warnings.append(runtime.webhooks.warning)
    try:
        version = (await runtime.monitor.champion()).version
    except NoModel as missing:
        warnings.append(str(missing))
    try:
        if redis:
            alerts = (await runtime.watch.read()).alerts
            warnings += [_warning(alert) for alert in alerts if alert.state == "firing"]
    except (RedisError, OSError) as error:
        warnings.append(f"the alerts cannot be read: {error}")
    hours = (time.monotonic() - runtime.started) / 3600
    status: Literal["healthy", "degraded", "warning"] = "warning" if warnings else "healthy"
    return Health("degraded" if degraded else status, redis, consuming, version, round(hours, 4), warnings)


def _warning(alert: Alert) -> str:
    return f"{alert.rule} of {alert.subject}: {alert.reason}; see /alerts/{alert.id}"


async def _with_request_id(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
    given = request.headers.get("x-request-id", "")
    request.state.request_id = given if _REQUEST_ID.fullmatch(given) else str(uuid4())
    response = await call(request)
    response.headers["X-Request-ID"] = request.state.request_id
    return response


def _answer_problems(app: FastAPI) -> None:
    """The one table from exception to answer."""
    for kind in _ERRORS:
        app.add_exception_handler(kind, _told)

    @app.exception_handler(InvalidWindow)
    async def invalid_window(request: Request, error: InvalidWindow) -> Response:
        errors = [{"pointer": "#/query/window", "code": "invalid", "detail": str(error)}]
        return problem("invalid-parameter", str(error), _id(request), errors)

    @app.exception_handler(RequestValidationError)
    async def invalid_request(request: Request, error: RequestValidationError) -> Response:
        errors = [
            {"pointer": "#/" + "/".join(map(str, e["loc"])), "code": e["type"], "detail": e["msg"]}
            for e in error.errors()
        ]
        if any(e["type"] == "json_invalid" for e in error.errors()):
            return problem("malformed-body", "the body is no JSON", _id(request), errors)
        return problem("invalid-parameter", "the request has invalid parameters", _id(request), errors)

    @app.exception_handler(StoreAway)
    async def store_away(request: Request, error: StoreAway) -> Response:
        log.warning("cannot reach the store", error=str(error))
        return problem("store-unavailable", "the store does not answer; try again later", _id(request))

    @app.exception_handler(RedisError)
    @app.exception_handler(OSError)
    async def away(request: Request, error: Exception) -> Response:
        log.warning("cannot read the counters", error=str(error))
        return problem("redis-unavailable", "Redis does not answer; try again later", _id(request))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        slug = _SLUGS.get(error.status_code, "malformed-request")
        return problem(slug, str(error.detail), _id(request), headers=error.headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        log.error("request failed", request_id=_id(request), exc_info=error)
        # Answered outside of what adds this header to all others.
        named = {"X-Request-ID": _id(request)}
        return problem("internal-error", "the log has the cause under this request id", _id(request), headers=named)


async def _told(request: Request, error: Exception) -> Response:
    return problem(_ERRORS[type(error)], str(error), _id(request))


def _id(request: Request) -> str:
    return str(request.state.request_id)
