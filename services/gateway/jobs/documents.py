"""What /docs says of the routes under /jobs: the keyword arguments of each route."""

from typing import Any

from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

from services.gateway.errors import describe_statuses
from services.gateway.jobs.references import REFERENCE
from services.gateway.settings import GatewaySettings
from services.gateway.tables import FORMATS, Format
from shared.jobs import Job

IDEMPOTENCY_KEY = (
    "Repeat a request with the same key, and you get the job that the first one made. The same key with another body, "
    'format or query is refused, and so is a repeat while the first request is being answered. `"abc"` and `abc` are '
    "the same key."
)
WAIT = (
    "Long poll: answer when the job has ended, or after so many seconds. With `If-None-Match`, answer as soon as the "
    "job differs from that tag."
)

_KNOWN = ("job-not-found", "job-gone", "redis-unavailable")
_ROW = {"$ref": "#/components/schemas/Row"}
_BODIES: dict[Format, dict[str, Any]] = {
    Format.JSON: {
        "schema": {
            "oneOf": [
                {
                    "type": "object",
                    "required": ["instances"],
                    "properties": {"instances": {"type": "array", "minItems": 1, "items": _ROW}},
                },
                REFERENCE,
            ]
        }
    },
    Format.LINES: {"schema": {"type": "string", "description": "One JSON object per line."}},
    Format.CSV: {"schema": {"type": "string", "description": "Comma-separated UTF-8 with a header line (RFC 4180)."}},
    Format.PARQUET: {"schema": {"type": "string", "format": "binary"}},
    Format.ARROW: {"schema": {"type": "string", "format": "binary", "description": "Arrow IPC stream."}},
    Format.ARROW_FILE: {"schema": {"type": "string", "format": "binary", "description": "Arrow IPC file."}},
}


class JobList(BaseModel):
    """Jobs, the newest first."""

    jobs: list[Job]
    next_cursor: str | None = Field(description="For the next page; null at the end.")


def _header(description: str, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


_RETRY = {"Retry-After": _header("Seconds until it is worth looking again; absent once the job has ended.", "integer")}


def submission(settings: GatewaySettings) -> dict[str, Any]:
    description = (
        "The body is a table; its format is the `Content-Type`, and `Content-Encoding` may be gzip or zstd. Columns "
        "are matched by name in any order; those that the model does not know are ignored and listed in the job. An "
        "absent or empty value is null. Numbers may be text in CSV only. A bad row costs itself: it ends as an error "
        "record. All rows are scored by the version in service now, or by the one that `version` names, through any "
        "number of promotions.\n\n"
        'In place of a table, the JSON document `{"input": "s3://bucket/table.csv.gz"}` says where it lies, below '
        "prefixes that the operator allows. Its format and compression are those of the name, or `format`.\n\n"
        f"Limits: {settings.gateway_max_job_bytes:,} bytes (also after decompression), "
        f"{settings.gateway_max_document_bytes:,} of one JSON document, {settings.gateway_max_job_rows:,} rows, "
        f"{settings.gateway_max_open_jobs:,} open jobs."
    )
    accepted = {
        "model": Job,
        "description": "Accepted: the job will reach an end, whatever dies",
        "headers": {"Location": _header("Path of the job.")} | _RETRY,
    }
    refusals = describe_statuses(
        *("malformed-request", "malformed-body", "input-not-allowed", "version-not-found", "body-timeout"),
        *("idempotency-in-progress", "payload-too-large", "too-many-rows", "unsupported-media-type"),
        *("missing-column", "invalid-body", "invalid-parameter", "empty-table", "idempotency-mismatch"),
        *("version-unusable", "input-unreadable", "over-quota", "too-many-jobs"),
        *("no-model", "redis-unavailable", "store-unavailable", "overloaded"),
    )
    return {
        "summary": "Submit a table to be scored",
        "description": description,
        "status_code": 202,
        "response_class": JSONResponse,
        "responses": {202: accepted, **refusals},
        "openapi_extra": {
            "requestBody": {"required": True, "content": {name: _BODIES[kind] for name, kind in FORMATS.items()}}
        },
    }


LISTING: dict[str, Any] = {
    "summary": "List jobs, the newest first",
    "description": "A page that is filtered by state may be shorter than `limit`, even empty, and yet not be the last.",
    "response_class": JSONResponse,
    "responses": {
        200: {"model": JobList},
        **describe_statuses("invalid-parameter", "redis-unavailable", "store-unavailable"),
    },
}

ONE: dict[str, Any] = {
    "summary": "How far a job is",
    "response_class": JSONResponse,
    "responses": {
        200: {"model": Job, "headers": {"ETag": _header("Changes with the state and the counts.")} | _RETRY},
        304: {"description": "Still as `If-None-Match` says"},
        **describe_statuses(*_KNOWN, "invalid-parameter"),
    },
}

CANCEL: dict[str, Any] = {
    "summary": "Cancel a job",
    "description": "What is done stays readable. Safe to repeat; a job that has ended stays as it is.",
    "response_class": JSONResponse,
    "responses": {200: {"model": Job}, **describe_statuses(*_KNOWN)},
}

EVENTS: dict[str, Any] = {
    "summary": "A job's progress as server-sent events",
    "description": "Events named `job` carry the whole job: as it is now, and whenever it changes, until it has ended.",
    "response_class": StreamingResponse,
    "responses": {
        200: {"description": "Events", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
        **describe_statuses(*_KNOWN),
    },
}
