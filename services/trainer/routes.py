"""Health and metrics of the trainer, as a small ASGI application."""

from prometheus_client import CollectorRegistry, make_asgi_app
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from shared.replica import Replica


def create_app(replica: Replica, metrics: CollectorRegistry) -> Starlette:
    async def live(_: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def ready(_: Request) -> JSONResponse:
        """Ready means that it takes commands; a training in progress does not change that."""
        serving = replica.redis_up and replica.state in ("ready", "training")
        body = {"status": "ready" if serving else "not ready", "state": replica.state, "detail": replica.detail}
        return JSONResponse(body | {"error": replica.error}, 200 if serving else 503)

    return Starlette(
        routes=[
            Route("/health/live", live),
            Route("/health/ready", ready),
            Mount("/metrics", make_asgi_app(metrics)),
        ]
    )
