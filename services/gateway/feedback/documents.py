"""What /docs says of the route."""

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from services.gateway.errors import describe_statuses
from services.gateway.feedback.items import MAX_INDEX
from services.gateway.routes import BODY_PROBLEMS, JSON
from services.gateway.settings import GatewaySettings
from shared.signature import MAX_MAGNITUDE

_JOB = "019aab3c-5b1c-7d0e-9c7f-3f2e5f0c9c1a"
_NUMBER = {"type": "number", "minimum": -MAX_MAGNITUDE, "maximum": MAX_MAGNITUDE}
_POSITION = {"type": "integer", "minimum": 0, "maximum": MAX_INDEX}
_OF_REQUEST: dict[str, Any] = {
    "type": "object",
    "title": "Of a request",
    "properties": {
        "request_id": {"type": "string", "description": "As answered, or sent as `X-Request-Id`, with the prediction."},
        "index": _POSITION | {"default": 0, "description": "Position in `instances`; 0 for a single prediction."},
        "actual": _NUMBER | {"description": "What really happened, in the target's unit."},
    },
    "required": ["request_id", "actual"],
    "additionalProperties": False,
}
_OF_JOB: dict[str, Any] = {
    "type": "object",
    "title": "Of a job",
    "properties": {
        "job_id": {"type": "string", "format": "uuid"},
        "row": _POSITION | {"description": "Position in the job: `index` of its results."},
        "actual": _NUMBER,
    },
    "required": ["job_id", "row", "actual"],
    "additionalProperties": False,
}
_ITEM = {"oneOf": [_OF_REQUEST, _OF_JOB]}
_EXAMPLES: list[dict[str, Any]] = [
    {"request_id": "17ae7a937196-1", "actual": 21.3},
    {"request_id": "17ae7a937196-1a", "index": 4, "actual": 30.0},
    {"job_id": _JOB, "row": 17, "actual": 19.0},
]
_LINES = "".join(
    f'{{"job_id": "{_JOB}", "row": {row}, "actual": {actual}}}\n' for row, actual in ((17, 19.0), (18, 24.5))
)
_CSV = f"job_id,row,actual\n{_JOB},17,19.0\n{_JOB},18,24.5\n"

MEDIA_TYPES: Mapping[str, Mapping[str, Any]] = {
    JSON: {},
    "application/x-ndjson": {
        "schema": {"type": "string", "description": "One value per line, each an object as in JSON."},
        "example": _LINES,
    },
    "text/csv": {
        "schema": {
            "type": "string",
            "description": "Columns `request_id,index,job_id,row,actual` in any order, those that are not needed left "
            "out; an empty cell is absent. No others: a misspelt one would put values to wrong rows.",
        },
        "example": _CSV,
    },
}


class FeedbackAnswer(BaseModel):
    accepted: int = Field(description="Rows that have got a value; what was said twice counts once.")
    request_id: str


def receiving(settings: GatewaySettings) -> dict[str, Any]:
    most = settings.gateway_max_feedback_rows
    description = (
        "Values are told by request and position, or by job and row; at any time, in any order. The last that is "
        "received for a row is what counts, so a value is corrected by sending another, and sending it again changes "
        "nothing. A request is taken as a whole, or not at all.\n\n"
        "202 means that the values are kept. It does not say that there is such a prediction: values are joined with "
        "predictions by the monitor, which keeps those that it finds none for, counts them, and tries them again.\n\n"
        f"Limits: {most:,} values and {settings.gateway_max_feedback_bytes:,} bytes of one request."
    )
    document = {
        "type": "object",
        "properties": {"feedback": {"type": "array", "items": _ITEM, "minItems": 1, "maxItems": most}},
        "required": ["feedback"],
        "additionalProperties": False,
        "example": {"feedback": _EXAMPLES},
    }
    refusals = describe_statuses(
        *(*BODY_PROBLEMS, "body-timeout", "too-many-rows", "invalid-body", "invalid-feedback", "empty-table"),
        *("feedback-full", "redis-unavailable", "overloaded"),
    )
    return {
        "summary": "Tell what really happened to rows that were predicted",
        "description": description,
        "status_code": 202,
        "response_class": JSONResponse,
        "responses": {202: {"model": FeedbackAnswer, "description": "Kept for the monitor"}, **refusals},
        "openapi_extra": {
            "requestBody": {"required": True, "content": {**MEDIA_TYPES, JSON: {"schema": document}}},
        },
    }
