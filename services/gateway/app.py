"""The ASGI application: middleware, routes and documentation around collaborators that are handed in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry

from services.gateway import health, metrics
from services.gateway.admin import Admin
from services.gateway.answers import PredictReplies
from services.gateway.docs import follow_champion
from services.gateway.edge import Edge
from services.gateway.errors import register_handlers
from services.gateway.feedback import Feedback, feedback_router
from services.gateway.figures import Figures
from services.gateway.fleet import Fleet, Told, families
from services.gateway.front import Front
from services.gateway.models import Catalogue
from services.gateway.predict import Predictor
from services.gateway.routes.admin import admin_router
from services.gateway.routes.models import models_router
from services.gateway.routes.predict import predict_router
from services.gateway.routes.status import health_router, metrics_router, pages_router
from services.gateway.settings import GatewaySettings
from services.gateway.tally import Tally
from services.gateway.telemetry import PredictionLogger
from services.gateway.watch import Watch
from shared.clock import utc_now
from shared.follower import ModelFollower
from shared.pages import keep_offline
from shared.replica import Replica

DROPPED_LATELY = 300.0  # seconds that /health tells of dropped telemetry


@dataclass(frozen=True)
class Parts:
    """What the application is made of."""

    settings: GatewaySettings
    follower: ModelFollower
    replica: Replica
    tally: Tally
    logger: PredictionLogger
    predictor: Predictor
    watch: Watch
    catalogue: Catalogue
    admin: Admin
    feedback: Feedback
    fast_path_refused: str = ""

    def health(self) -> health.Health:
        buffer = self.logger.buffer
        facts = health.Facts(
            serving=self.follower.current,
            model_error=self.replica.error,
            fresh=self.follower.fresh,
            seen=self.watch.seen,
            refusal=self.replica.refusal,
            telemetry_dropped=buffer.dropped if buffer.dropping(DROPPED_LATELY) else 0,
            uptime_hours=self.tally.uptime_hours,
            total_predictions=self.logger.counted().total,
            now=utc_now(),
            max_age=timedelta(days=self.settings.gateway_model_max_age_days),
            fast_path_refused=self.fast_path_refused,
        )
        return health.report(facts)

    def figures(self) -> Figures:
        return Figures.of(self.logger.counted(), self.tally.uptime_hours)

    @cached_property
    def registry(self) -> CollectorRegistry:
        return metrics.registry(metrics.GatewayCollector(self.tally, self.follower, self.logger, self.watch))

    def told(self) -> Told:
        return Told(health=self.health(), figures=self.figures(), families=families(self.registry))


def create_app(parts: Parts, further: Sequence[APIRouter] = (), fleet: Fleet | None = None) -> Front:
    """Return the application.

    Args:
        further: routers that come before the pages.
        fleet: all workers; without it this is the only one.
    """
    settings = parts.settings
    replies = PredictReplies(
        parts.predictor, max_bytes=settings.gateway_max_row_bytes, body_seconds=settings.gateway_body_seconds
    )
    return Front(
        _framework(parts, replies, further, fleet or Fleet(None, parts.told)),
        replies,
        parts.tally,
        settings.gateway_max_requests,
    )


def _framework(parts: Parts, replies: PredictReplies, further: Sequence[APIRouter], fleet: Fleet) -> FastAPI:
    app: FastAPI = FastAPIOffline(
        title="Tasador", summary="Predictions from the model in service.", version=_version(), redirect_slashes=False
    )
    keep_offline(app)
    limits = {"max_requests": parts.settings.gateway_max_requests, "max_waiting": parts.settings.gateway_max_waiting}
    app.add_middleware(Edge, tally=parts.tally, **limits)
    register_handlers(app)
    for router in (
        predict_router(parts.predictor, replies, parts.settings),
        *further,
        feedback_router(parts.feedback),
        models_router(parts.catalogue),
        admin_router(parts.admin, parts.settings),
        health_router(parts.health, parts.watch.missing, fleet),
        metrics_router(parts.figures, parts.registry, fleet),
        pages_router(),
    ):
        app.include_router(router)
    openapi = follow_champion(app, parts.follower, parts.settings.gateway_max_batch_rows)
    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def _version() -> str:
    try:
        return version("tasador")
    except PackageNotFoundError:  # run from a checkout without installation
        return "0"
