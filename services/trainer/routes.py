"""Health and metrics of the trainer, as a small ASGI application."""

from prometheus_client import CollectorRegistry, make_asgi_app
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from services.trainer.metrics import takes_commands
from shared.replica import Replica


def create_app(replica: Replica, metrics: CollectorRegistry) -> Starlette:
    async def health(_: Request) -> JSONResponse:
        """Always 200, as in the other services. A standby is well: it only does not lead."""
        well = replica.redis_up and replica.state in ("ready", "training", "standby")
        return JSONResponse({"status": "healthy" if well else "degraded"} | _said(replica))

    async def live(_: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def ready(_: Request) -> JSONResponse:
        """Ready means that it takes commands."""
        serving = takes_commands(replica)
        body = {"status": "ready" if serving else "not ready"} | _said(replica)
        return JSONResponse(body, 200 if serving else 503)

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/health/live", live),
            Route("/health/ready", ready),
            Mount("/metrics", make_asgi_app(metrics)),
        ]
    )


def _said(replica: Replica) -> dict[str, str | None]:
    return {"state": replica.state, "detail": replica.detail, "error": replica.error or replica.refusal or None}
