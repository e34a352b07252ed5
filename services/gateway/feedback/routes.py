"""The route /feedback."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from services.gateway.bodies import read_body, refuse_coding, says_json
from services.gateway.feedback import documents
from services.gateway.feedback.service import Feedback
from services.gateway.problems import Problem
from services.gateway.routes import JSON
from services.gateway.tables import Format, format_of


def feedback_router(feedback: Feedback) -> APIRouter:
    router = APIRouter(prefix="/feedback", tags=["feedback"])
    settings = feedback.settings

    @router.post("", **documents.receiving(settings))
    async def receive(request: Request) -> Response:
        kind = _format(request)
        with feedback.admitted():
            body = await read_body(request, settings.gateway_max_feedback_bytes, settings.gateway_body_seconds)
            accepted = await feedback.take(body, kind, request.state.request_id)
        return JSONResponse({"accepted": accepted, "request_id": request.state.request_id}, 202)

    return router


def _format(request: Request) -> Format:
    """Return the format of the body; one that says nothing is taken for JSON."""
    refuse_coding(request)
    content_type = request.headers.get("content-type", JSON)
    kind = Format.JSON if says_json(content_type) else format_of(content_type)
    if kind not in (Format.JSON, Format.LINES, Format.CSV):
        known = ", ".join(documents.MEDIA_TYPES)
        detail = f"feedback is not read as {content_type[:100]!r}; send one of {known}, in UTF-8"
        raise Problem("unsupported-media-type", detail, headers={"Accept-Post": known})
    return kind
