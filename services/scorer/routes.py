"""Health and metrics of a scorer."""

import json
import logging
from typing import Any

from faststream.asgi import AsgiFastStream, AsgiResponse, get
from faststream.redis import RedisBroker
from prometheus_client import CollectorRegistry, make_asgi_app

from services.scorer.watchdog import Watchdog
from shared.replica import Replica


def create_app(broker: RedisBroker, replica: Replica, watchdog: Watchdog, registry: CollectorRegistry) -> Any:
    """Return the ASGI application. Its lifespan is not used: the watchdog starts the broker, and starts it again."""

    def said() -> dict[str, Any]:
        return {"state": replica.state, "detail": replica.detail, "error": replica.error or replica.refusal or None}

    @get
    async def health(_: Any) -> AsgiResponse:
        """Always 200, as in the other services."""
        status = "healthy" if watchdog.ready else "degraded"
        return _answer(True, {"status": status, "model_version": replica.version} | said())

    @get
    async def live(_: Any) -> AsgiResponse:
        return _answer(watchdog.alive, {"status": "alive" if watchdog.alive else "stuck"})

    @get
    async def ready(_: Any) -> AsgiResponse:
        return _answer(watchdog.ready, {"status": "ready" if watchdog.ready else "not ready"} | said())

    return AsgiFastStream(
        broker,
        asgi_routes=[
            ("/health", health),
            ("/health/live", live),
            ("/health/ready", ready),
            ("/metrics", make_asgi_app(registry)),
        ],
        asyncapi_path="/asyncapi",
        logger=logging.getLogger("broker"),
    )


def _answer(well: bool, body: dict[str, Any]) -> AsgiResponse:
    headers = {"Content-Type": "application/json"}
    return AsgiResponse(json.dumps(body).encode(), 200 if well else 503, headers)
