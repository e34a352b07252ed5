"""`/admin/…`: commands, and what became of them."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from services.gateway.admin import Admin, Kind, Order
from services.gateway.bodies import read_body, require_json
from services.gateway.errors import describe_statuses
from services.gateway.problems import ErrorItem, Problem, pointer
from services.gateway.routes import BODY_PROBLEMS, JSON
from services.gateway.settings import GatewaySettings
from shared.events import Operation

_CODES = {"missing": "missing", "extra_forbidden": "unknown_field"}  # pydantic's words to ours
MAX_WAIT = 300  # seconds
POLL_AFTER = 1  # seconds, Retry-After of an operation that has not ended


def admin_router(admin: Admin, settings: GatewaySettings) -> APIRouter:
    router = APIRouter(prefix="/admin", tags=["admin"])

    def add(kind: Kind, summary: str, *slugs: str) -> None:
        async def give(request: Request, wait: Annotated[float, Query(ge=0, le=MAX_WAIT)] = 0) -> Response:
            order = await _order(request, settings)
            operation = await admin.give(kind, order)
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
    try:
        return Order.model_validate_json(body)
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False, include_context=False)
        if errors[0]["type"] == "json_invalid":
            raise Problem("malformed-body", f"not JSON: {errors[0]['msg'].removeprefix('Invalid JSON: ')}") from invalid
        items = [
            ErrorItem(pointer(*error["loc"]), _CODES.get(error["type"], "wrong_type"), error["msg"]) for error in errors
        ]
        raise Problem("invalid-body", 'expected {"version"?, "reason"?}', errors=items) from invalid


def _operation(operation: Operation) -> Response:
    headers = {"Location": f"/admin/operations/{operation.id}"} | _progress(operation)
    return JSONResponse(operation.model_dump(mode="json"), 200 if operation.done else 202, headers)


def _progress(operation: Operation) -> dict[str, str]:
    return {} if operation.done else {"Retry-After": str(POLL_AFTER)}
