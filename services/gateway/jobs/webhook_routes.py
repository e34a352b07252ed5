"""The routes under /jobs/{id}/webhook, and what /docs says of them."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse

from services.gateway.errors import describe_statuses
from services.gateway.jobs.webhooks import JobWebhooks
from shared.webhooks.messages import Webhook

JobId = Annotated[str, Path(alias="id", description="As in the answer to the submission.")]

_KNOWN = ("job-not-found", "webhook-not-found", "job-gone", "redis-unavailable", "store-unavailable")

FIND: dict[str, Any] = {
    "summary": "What became of the message about a job's end",
    "description": "Attempts are shown with what came of each. `next_attempt_at` is also when a sender that died is "
    "followed by another.",
    "response_class": JSONResponse,
    "responses": {200: {"model": Webhook}, **describe_statuses(*_KNOWN)},
}
RESEND: dict[str, Any] = {
    "summary": "Send the message about a job's end again",
    "description": "At once, whatever became of it, and under the same `webhook-id`. Safe to repeat: a message that is "
    "being sent at this moment is not sent beside it.",
    "status_code": 202,
    "response_class": JSONResponse,
    "responses": {202: {"model": Webhook, "description": "To be sent"}, **describe_statuses(*_KNOWN, "conflict")},
}


def webhooks_router(webhooks: JobWebhooks) -> APIRouter:
    router = APIRouter(prefix="/jobs/{id}/webhook", tags=["jobs"])

    @router.get("", **FIND)
    async def find(job_id: JobId) -> Response:
        return _answer(await webhooks.find(job_id), 200)

    @router.post("/resend", **RESEND)
    async def resend(job_id: JobId) -> Response:
        return _answer(await webhooks.resend(job_id), 202, {"Location": f"/jobs/{job_id}/webhook"})

    return router


def _answer(webhook: Webhook, status: int, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(webhook.model_dump(mode="json"), status, {"Cache-Control": "no-cache"} | (headers or {}))
