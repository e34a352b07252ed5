"""`/admin/…`: commands, and what became of them."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from services.gateway.admin import Admin, Order
from services.gateway.bodies import parse_model, read_body, require_json
from services.gateway.errors import describe_statuses
from services.gateway.routes import BODY_PROBLEMS, JSON
from services.gateway.settings import GatewaySettings
from shared.events import Operation, OperationKind

MAX_WAIT = 300  # seconds
POLL_AFTER = 1  # seconds, Retry-After of an operation that has not ended


def admin_router(admin: Admin, settings: GatewaySettings) -> APIRouter:
    router = APIRouter(prefix="/admin", tags=["admin"])

    def add(kind: OperationKind, summary: str, *slugs: str) -> None:
        async def give(request: Request, wait: Annotated[float, Query(ge=0, le=MAX_WAIT)] = 0) -> Response:
            order = await _order(request, settings)
            operation = await admin.give(kind, order, request.state.request_id)
            return _operation(await admin.wait(operation, wait))

        router.add_api_route(
            f"/{kind}",
            give,
            methods=["POST"],
            name=kind,
            summary=summary,
            status_code=202,
            response_class=JSONResponse,
            responses={
                202: {"model": Operation, "description": "Accepted; `Location` tells what becomes of it"},
                200: {"model": Operation, "description": "It has ended within `wait` seconds"},
                **describe_statuses(*BODY_PROBLEMS, "invalid-body", *slugs, "redis-unavailable", "overloaded"),
            },
            openapi_extra={"requestBody": {"content": {JSON: {"schema": Order.model_json_schema()}}}},
        )

    add("reload", "Let every replica look at the desired version now")
    add("retrain", "Train a version, and promote it if it is good enough")
    add("promote", "Put a version into service everywhere", "version-not-found")
    add("rollback", "Return to the previous version, or to the one named", "version-not-found", "conflict")

    @router.get(
        "/operations/{id}",
        summary="What became of a command",
        response_class=JSONResponse,
        responses={200: {"model": Operation}, **describe_statuses("operation-not-found", "redis-unavailable")},
    )
    async def operation(
        operation_id: Annotated[str, Path(alias="id")], wait: Annotated[float, Query(ge=0, le=MAX_WAIT)] = 0
    ) -> Response:
        found = await admin.wait(await admin.operation(operation_id), wait)
        return JSONResponse(found.model_dump(mode="json"), headers=_progress(found))

    return router


async def _order(request: Request, settings: GatewaySettings) -> Order:
    body = await read_body(request, settings.gateway_max_row_bytes, settings.gateway_body_seconds)
    if not body.strip():
        return Order()
    require_json(request)
    return parse_model(body, Order, '{"version"?, "reason"?}')


def _operation(operation: Operation) -> Response:
    headers = {"Location": f"/admin/operations/{operation.id}"} | _progress(operation)
    return JSONResponse(operation.model_dump(mode="json"), 200 if operation.done else 202, headers)


def _progress(operation: Operation) -> dict[str, str]:
    return {} if operation.done else {"Retry-After": str(POLL_AFTER)}
