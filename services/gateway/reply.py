"""A whole answer, before it is sent."""

from typing import NamedTuple

from services.gateway.problems import MEDIA_TYPE, Problem


class Reply(NamedTuple):
    """A whole answer, but for the request's id: who sends it adds `x-request-id`."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def refusal(problem: Problem, request_id: str) -> Reply:
    body = problem.body(request_id)
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body))} | problem.headers
    return Reply(problem.status, [(name.lower().encode(), value.encode()) for name, value in headers.items()], body)
