"""A whole answer, before it is sent."""

from collections.abc import Sequence
from typing import NamedTuple

from services.gateway.problems import MEDIA_TYPE, Problem

Header = tuple[bytes, bytes]


class Reply(NamedTuple):
    """A whole answer, but for its length and the request's id, which whoever sends it adds."""

    status: int
    headers: Sequence[Header]
    body: bytes

    @property
    def headers_with_length(self) -> list[Header]:
        return [*self.headers, (b"content-length", b"%d" % len(self.body))]


def refusal(problem: Problem, request_id: str) -> Reply:
    headers = {"content-type": MEDIA_TYPE} | problem.headers
    lower = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return Reply(problem.status, lower, problem.body(request_id))
