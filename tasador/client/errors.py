"""What can go wrong, by what the caller can do about it.

TasadorError
├─ Unreachable         nobody answers at that address
├─ TimedOut            waited as long as was allowed; the work goes on
└─ Problem             the gateway said no (RFC 9457)
   ├─ Malformed (400) · NotFound (404) · Conflict (409) · Gone (410) · TooLarge (413)
   ├─ UnsupportedMediaType (415) · Invalid (422) · OverQuota (429)
   └─ ServerFailed (500) · Unavailable (503)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError


class TasadorError(Exception):
    """Anything that this client raises on purpose."""


class Unreachable(TasadorError):
    """The request may or may not have arrived, or its answer broke off."""

    def __init__(self, url: str, why: str, *, answered: bool = False) -> None:
        missing = f"nothing answers at {url} ({why}); `tasador up` starts the local stack"
        super().__init__(f"{url} broke off its answer ({why})" if answered else missing)
        self.url = url


class TimedOut(TasadorError):
    """The state that was waited for did not come in time."""


class ProblemItem(BaseModel):
    """One thing that is wrong, and where: `pointer` is a JSON pointer into the body."""

    model_config = ConfigDict(extra="ignore")

    pointer: str = ""
    code: str = ""
    detail: str = ""


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore")

    type: str = "about:blank"
    title: str = ""
    detail: str = ""
    request_id: str | None = None
    errors: list[ProblemItem] = []


@dataclass
class Problem(TasadorError):
    """A refusal, with the fields of RFC 9457. `slug`, the last part of `type`, is stable: switch on it."""

    status: int
    type: str
    title: str
    detail: str
    request_id: str | None
    errors: list[ProblemItem]
    retry_after: float | None = None
    """Seconds after which it makes sense to try again."""

    @property
    def slug(self) -> str:
        return self.type.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        lines = [self._summary() or f"HTTP status {self.status}"]
        for item in self.errors:
            what = item.detail or item.code
            if what not in self.detail and repr(item.pointer[1:]) not in self.detail:  # said already
                lines.append(f"  {item.pointer or '(body)'}: {what}")
        return "\n".join(lines)

    def _summary(self) -> str:
        if self.detail and self.slug.endswith("not-found"):
            return self.detail  # the title says the same of no one in particular
        return ": ".join(filter(None, [self.title, self.detail]))


class Malformed(Problem):
    """The request could not be read."""


class NotFound(Problem):
    """There is no such job, version or operation."""


class Conflict(Problem):
    """The present state does not allow it."""


class Gone(Problem):
    """The job is past its retention."""


class TooLarge(Problem):
    """Over a limit; many rows belong into a job."""


class UnsupportedMediaType(Problem):
    """The gateway does not read this format."""


class Invalid(Problem):
    """The body breaks the schema; `errors` says where."""


class OverQuota(Problem):
    """Too much is waiting already: try again after `retry_after`."""


class Unavailable(Problem):
    """Not able now: try again after `retry_after`."""


class ServerFailed(Problem):
    """A fault of the gateway; its log has the cause under `request_id`."""


_BY_STATUS: Mapping[int, type[Problem]] = {
    400: Malformed,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    415: UnsupportedMediaType,
    422: Invalid,
    429: OverQuota,
    500: ServerFailed,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def problem_of(response: httpx.Response) -> Problem:
    """Read a refusal; one that is no problem document, a proxy's for instance, keeps its status and text."""
    try:
        document = _Document.model_validate_json(response.content)
    except ValidationError:
        document = _Document(title=response.reason_phrase, detail=response.text[:200].strip())
    return _BY_STATUS.get(response.status_code, Problem)(
        response.status_code,
        document.type,
        document.title,
        document.detail,
        document.request_id or response.headers.get("x-request-id"),
        document.errors,
        _seconds(response.headers.get("retry-after")),
    )


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:  # a date is allowed; nobody of ours sends one
        return None
