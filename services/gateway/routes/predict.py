"""`/predict` and `/predict/batch`."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from services.gateway import schemas
from services.gateway.answers import PredictReplies
from services.gateway.bodies import read_body, require_json
from services.gateway.errors import describe_statuses
from services.gateway.predict import Predictor
from services.gateway.routes import BODY_PROBLEMS, JSON
from services.gateway.settings import GatewaySettings


def predict_router(predictor: Predictor, replies: PredictReplies, settings: GatewaySettings) -> APIRouter:
    router = APIRouter(tags=["predict"])

    @router.post(
        "/predict",
        summary="Predict one row",
        responses={
            200: {"model": schemas.PredictionResponse},
            **describe_statuses(*BODY_PROBLEMS, "invalid-row", "no-model"),
        },
        openapi_extra=_json_body("Row"),
        response_class=JSONResponse,
    )
    async def predict(request: Request) -> Response:
        reply = await replies.reply(request.scope, request.receive, request.state.request_id)
        return Response(reply.body, reply.status, {name.decode(): value.decode() for name, value in reply.headers})

    @router.post(
        "/predict/batch",
        summary="Predict rows, each with its own errors",
        responses={
            200: {"model": schemas.BatchResponse},
            **describe_statuses(
                *BODY_PROBLEMS, "too-many-rows", "invalid-body", "empty-table", "no-model", "overloaded"
            ),
        },
        openapi_extra=_json_body("Rows"),
        response_class=JSONResponse,
    )
    async def predict_batch(request: Request) -> Response:
        require_json(request)
        with predictor.admitted():
            body = await read_body(request, settings.gateway_max_batch_bytes, settings.gateway_body_seconds)
            return Response(await predictor.handle_batch(body, request.state.request_id), media_type=JSON)

    return router


def _json_body(name: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}
