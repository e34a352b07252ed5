"""The monitor's errors as problem documents (RFC 9457), in the gateway's shape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi.responses import JSONResponse

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 5


@dataclass(frozen=True)
class Kind:
    status: int
    title: str


KINDS: Mapping[str, Kind] = {
    "invalid-parameter": Kind(422, "A parameter is not valid"),
    "not-found": Kind(404, "There is no such resource"),
    "method-not-allowed": Kind(405, "The resource does not support this method"),
    "conflict": Kind(409, "The state of the resource does not allow this"),
    "malformed-body": Kind(400, "The body cannot be read"),
    "malformed-request": Kind(400, "The request cannot be read"),
    "no-model": Kind(503, "There is no model to compare with"),
    "log-unreadable": Kind(500, "A file of the prediction log cannot be read"),
    "store-unavailable": Kind(503, "The store cannot be reached"),
    "redis-unavailable": Kind(503, "The counters cannot be reached"),
    "internal-error": Kind(500, "The service has failed"),
}


def problem(
    slug: str,
    detail: str,
    request_id: str,
    errors: Sequence[Mapping[str, str]] = (),
    *,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return the answer for a slug of `KINDS`."""
    kind = KINDS[slug]
    document = {
        "type": f"/problems/{slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "request_id": request_id,
        "errors": list(errors),
    }
    retry = {"Retry-After": str(RETRY_SECONDS)} if kind.status == 503 else {}
    return JSONResponse(document, kind.status, {**retry, **(headers or {})}, MEDIA_TYPE)
