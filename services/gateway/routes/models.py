"""`/model/info`, `/models` and `/replicas`."""

from typing import Annotated

from fastapi import APIRouter, Query

from services.gateway.errors import describe_statuses
from services.gateway.models import Catalogue, ModelInfo, ModelList, Replicas


def models_router(catalogue: Catalogue) -> APIRouter:
    router = APIRouter(tags=["models"])

    @router.get(
        "/model/info",
        summary="The manifest of the version in service, and what it expects",
        responses=describe_statuses("no-model"),
    )
    async def model_info() -> ModelInfo:
        return catalogue.info()

    @router.get("/models", summary="Versions and history", responses=describe_statuses("store-unavailable"))
    async def models(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> ModelList:
        return await catalogue.models(limit)

    @router.get(
        "/replicas",
        summary="Which gateways and scorers live, and what they serve",
        responses=describe_statuses("redis-unavailable"),
    )
    async def replicas() -> Replicas:
        return await catalogue.replicas()

    return router
