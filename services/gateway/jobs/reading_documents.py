"""What /docs says of the routes that read what a job has produced: the keyword arguments of each route."""

from typing import Any

from fastapi.responses import JSONResponse, StreamingResponse

from services.gateway.errors import describe_statuses
from services.gateway.jobs.manifest import Manifest
from services.gateway.results import OUTPUTS
from services.gateway.tables import Format

CURSOR = (
    "Index of the first row that is of interest. To resume a broken download, one more than the last index that "
    "arrived; or `Tasador-Next-Cursor` of the answer before."
)
LIMIT = "Most records to return; without, all."

_KNOWN = ("job-not-found", "job-gone", "redis-unavailable", "store-unavailable")
_RECORD = {
    "type": "object",
    "required": ["index"],
    "properties": {
        "index": {"type": "integer"},
        "prediction": {"type": "number"},
        "error": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("field", "code", "detail")},
        },
    },
    "example": {"index": 0, "prediction": 30.12},
}
_DESCRIPTION = (
    "In the format that `Accept` names; JSON lines by default. A record is `{index, prediction}` or "
    "`{index, error: {field, code, detail}}`; flat formats have the columns `index, prediction, error_field, "
    "error_code, error_detail`. Columns that pass through follow under their own names. CSV begins with the names, "
    "unless `Accept` says `text/csv; header=absent`. While the job runs, and after it ended early, the finished rows "
    "before the first gap are returned. `HEAD` gives the headers alone. A document that breaks off without its end is "
    "not whole: go on from a cursor."
)


def _header(description: str, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


_RETRY = {"Retry-After": _header("Seconds until it is worth looking again; absent once the job has ended.", "integer")}
_HEADERS = {
    "Tasador-Rows": _header("How many records follow.", "integer"),
    "Tasador-Partial": _header("`true` when rows of the job are missing at its end."),
    "Tasador-Next-Cursor": _header("Where to go on, now or later; absent when nothing can follow.", "integer"),
    "Content-Disposition": _header("A file name."),
    "ETag": _header("The same for the same bytes."),
}


def reading(summary: str) -> dict[str, Any]:
    """Return the documentation of a route that streams records."""
    contents: dict[str, Any] = {output.media_type.split(";")[0]: {} for output in OUTPUTS.values()}
    contents[OUTPUTS[Format.LINES].media_type] = {"schema": _RECORD}
    contents[OUTPUTS[Format.JSON].media_type] = {"schema": {"type": "array", "items": _RECORD}}
    return {
        "summary": summary,
        "description": _DESCRIPTION,
        "response_class": StreamingResponse,
        "responses": {
            200: {"description": "The records, streamed", "content": contents, "headers": _HEADERS | _RETRY},
            304: {"description": "Still as `If-None-Match` says"},
            **describe_statuses(*_KNOWN, "not-acceptable", "invalid-parameter"),
        },
    }


MANIFEST: dict[str, Any] = {
    "summary": "The parts that a job's results are made of",
    "description": "While the job runs, those before the first gap. Parts never change, and only more can follow.",
    "response_class": JSONResponse,
    "responses": {200: {"model": Manifest, "headers": _RETRY}, **describe_statuses(*_KNOWN)},
}
