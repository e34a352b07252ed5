"""Everything the gateway answers when it cannot do what was asked: one table, one shape (RFC 9457).

Raise `Problem` with a slug of `KINDS`; the status and the title come from there. `type` is `/problems/<slug>`, which is
a page that says what to do. A slug is never renamed: clients switch on it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from shared.signature import FieldError

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Kind:
    """What all problems of one slug share."""

    status: int
    title: str
    advice: str
    """What the caller can do, for the page and the docs."""


KINDS: Mapping[str, Kind] = {
    "malformed-body": Kind(
        400,
        "The body cannot be read",
        "Send one complete document of the stated media type. JSON is UTF-8, without a byte order mark; NaN, Infinity, "
        "comments and trailing commas are not JSON. `detail` names the line and column.",
    ),
    "malformed-request": Kind(
        400,
        "The request cannot be read",
        "Correct the header that `detail` names; or send HTTP/1.1, which this was not.",
    ),
    "input-not-allowed": Kind(
        403,
        "Input may not be taken from there",
        "Send the table itself, or ask the operator to add the place to `TASADOR_GATEWAY_INPUT_PREFIXES`.",
    ),
    "not-found": Kind(404, "There is no such resource", "Check the path; `/docs` lists every route."),
    "version-not-found": Kind(
        404, "There is no such version of the model", "`GET /models` lists the versions that can be served."
    ),
    "operation-not-found": Kind(
        404,
        "There is no such operation",
        "Operations are kept for a week. Follow the `Location` of the 202 answer as it is.",
    ),
    "job-not-found": Kind(
        404, "There is no such job", "No job with this id was ever accepted here. `GET /jobs` lists those that were."
    ),
    "dead-letter-not-found": Kind(
        404,
        "There is no such dead letter",
        "It was dropped or redriven, it made room for newer ones, or it never was. `GET /dead-letters` lists them.",
    ),
    "webhook-not-found": Kind(
        404, "The job has no webhook", "Submit a job with `?webhook=<url>` to have its end told to that URL."
    ),
    "method-not-allowed": Kind(
        405, "The resource does not support this method", "The `Allow` header names those it does."
    ),
    "not-acceptable": Kind(
        406,
        "None of the accepted formats is available",
        "Name one of the formats in `detail` in `Accept`, or leave it out.",
    ),
    "body-timeout": Kind(408, "The body did not arrive in time", "Send it again; a slow line wants smaller bodies."),
    "conflict": Kind(
        409, "The present state does not allow this", "`detail` says what stands in the way; look again and repeat."
    ),
    "idempotency-in-progress": Kind(
        409,
        "A request with this idempotency key is being answered",
        "Wait as long as `Retry-After` says, then repeat the request: it is answered with the job of the first one.",
    ),
    "job-gone": Kind(
        410,
        "The job is past its retention",
        "The job existed, and its results were removed as configured. Submit it again.",
    ),
    "input-gone": Kind(
        410,
        "The rows are not kept any more",
        "The input of their job was removed as configured. Drop the dead letters that `errors` names; to score the "
        "rows after all, submit them again.",
    ),
    "payload-too-large": Kind(
        413, "The body is too large", "Send less at once; many rows belong to `POST /jobs`. `detail` names the limit."
    ),
    "too-many-rows": Kind(
        413,
        "The table has too many rows",
        "Submit it to `POST /jobs`, or in several requests. `detail` names the limit.",
    ),
    "unsupported-media-type": Kind(
        415,
        "The body has a media type that is not read here",
        "Set `Content-Type` to one that `detail` names, and send the body in that format.",
    ),
    "invalid-row": Kind(
        422,
        "The row does not fit the model",
        "`errors` names every bad field: `pointer` is a JSON pointer into the body. `GET /model/info` and `/docs` show "
        "what the model expects.",
    ),
    "invalid-body": Kind(
        422, "The body does not have the expected shape", "Compare it with the schema of this route in `/docs`."
    ),
    "invalid-parameter": Kind(
        422,
        "A parameter is not valid",
        "`errors` names each one: `pointer` is `#/query/<name>`, `#/path/<name>` or `#/header/<name>`.",
    ),
    "empty-table": Kind(422, "The table has no rows", "Send at least one row."),
    "missing-column": Kind(
        422,
        "The table lacks a column that the model needs",
        "Add the columns that `errors` names; their order is free.",
    ),
    "invalid-feedback": Kind(
        422,
        "The feedback cannot be taken",
        "Nothing of it was taken. `errors` names everything that is wrong: `pointer` leads to the value and its field, "
        "counted from 0; `detail` begins with the line, where the body has lines. Correct it and send all of it again.",
    ),
    "input-unreadable": Kind(
        422,
        "The input that was referred to cannot be read",
        "Check the name that `detail` has, and whether the gateway may read it.",
    ),
    "version-unusable": Kind(
        422,
        "The version cannot be loaded",
        "Its artifact is damaged or of another release: `detail` says how. Name another version, or train again.",
    ),
    "idempotency-mismatch": Kind(
        422,
        "The idempotency key was used with another request",
        "Use a new `Idempotency-Key` for a new request. A repeat has the same body, `Content-Type`, `Content-Encoding` "
        "and query.",
    ),
    "head-too-large": Kind(
        431, "The head of the request is too large", "Send fewer or shorter headers, or a shorter URL."
    ),
    "over-quota": Kind(
        429, "Too much work is waiting", "Wait as long as `Retry-After` says, then submit again. Nothing was accepted."
    ),
    "too-many-jobs": Kind(
        429, "Too many jobs are open", "Wait as long as `Retry-After` says, or put more rows into fewer jobs."
    ),
    "internal-error": Kind(
        500,
        "The service has failed",
        "This is our fault. The log has the cause under the `request_id`; repeating a prediction is safe.",
    ),
    "no-model": Kind(
        503,
        "There is no model to answer with",
        "No version was trained and promoted yet, or it does not load here. `/health` says more. Try again later.",
    ),
    "not-ready": Kind(
        503,
        "Requests should not be sent here yet",
        "Wait until `/health/ready` answers 200. At first that takes a model, Redis and a scorer; later a model.",
    ),
    "redis-unavailable": Kind(
        503,
        "The queue cannot be reached",
        "Predictions go on meanwhile. Jobs, feedback and admin commands are accepted again as soon as Redis is back.",
    ),
    "store-unavailable": Kind(
        503, "The store cannot be reached", "Predictions go on meanwhile. Try again as `Retry-After` says."
    ),
    "feedback-full": Kind(
        503,
        "No more feedback can be kept now",
        "Nothing of the request was taken; what was accepted before is safe. Wait as long as `Retry-After` says, then "
        "send it again. When this goes on: does the monitor run, and has Redis memory left?",
    ),
    "overloaded": Kind(503, "The gateway has too much to do", "Wait as long as `Retry-After` says, or add a gateway."),
}


@dataclass(frozen=True)
class ErrorItem:
    """One thing that is wrong, and where."""

    pointer: str
    """JSON pointer into the body; "" is the body as a whole."""
    code: str
    detail: str


class Problem(Exception):
    """The request ends with this problem.

    Args:
        slug: of `KINDS`.
        detail: what is wrong this time, for a person; no internals.
        errors: each thing that is wrong.
        headers: further headers of the answer, e.g. Retry-After.
    """

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        errors: Iterable[ErrorItem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = KINDS[slug]
        self.slug = slug
        self.status = self.kind.status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def document(self, request_id: str) -> dict[str, Any]:
        return {
            "type": f"/problems/{self.slug}",
            "title": self.kind.title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
            "errors": [asdict(error) for error in self.errors],
        }

    def body(self, request_id: str) -> bytes:
        """Return the JSON text. Callers' own text may hold lone surrogates, which UTF-8 cannot say; they become `?`."""
        return json.dumps(self.document(request_id), ensure_ascii=False).encode("utf-8", "replace")


def unavailable(slug: str, detail: str, *, retry_after: int = 5) -> Problem:
    """Return a problem that goes away by itself; the caller should try again after `retry_after` seconds."""
    return Problem(slug, detail, headers={"Retry-After": str(retry_after)})


def pointer(*parts: str | int) -> str:
    """Return the JSON pointer (RFC 6901) of a place: `pointer("instances", 3, "RM")` is `/instances/3/RM`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def field_errors(errors: Iterable[FieldError], *base: str | int) -> list[ErrorItem]:
    """Return the errors of a row that lies at `base` in the body."""
    return [ErrorItem(pointer(*base, *([e.field] if e.field else [])), e.code, e.detail) for e in errors]
