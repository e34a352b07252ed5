"""Reading bodies: bounded, of the right media type, and with an explanation when they are no JSON."""

import asyncio
import json
import math
from collections.abc import Awaitable
from typing import TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from services.gateway.begun import Begun
from services.gateway.problems import ErrorItem, Problem, pointer

M = TypeVar("M", bound=BaseModel)

_CODES = {"missing": "missing", "extra_forbidden": "unknown_field"}  # pydantic's words to ours
_LONGEST_INTEGER = 310  # digits; more are larger than any float64, and slow to convert


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """Return the body. Raises what `receive_body` does."""
    announced = request.headers.get("content-length", "0").encode()
    return await receive_body(request.receive, announced, limit, seconds)


async def receive_body(receive: Receive, announced: bytes | None, limit: int, seconds: float) -> bytes:
    """Return the body.

    Args:
        announced: its length, as the head says.

    Raises:
        Problem: it is larger than `limit`, which is known before it is read if its length is announced; or it did not
            arrive in time, so that slow senders cannot take every place.
        ClientDisconnect
    """
    if announced is not None and int(announced) > limit:
        raise _too_large(limit)
    first = Begun(receive())  # most bodies are there already, and a timer costs as much as a prediction
    if first.done:
        body, more = _part(first.result)
        if not more and len(body) <= limit:
            return body
    try:
        async with asyncio.timeout(seconds):
            return await _read(first, receive, limit)
    except TimeoutError:
        raise Problem("body-timeout", f"the body did not arrive within {seconds:g} s") from None


async def _read(first: Awaitable[Message], receive: Receive, limit: int) -> bytes:
    body, more = _part(await first)
    whole = bytearray(body)
    while more and len(whole) <= limit:
        body, more = _part(await receive())
        whole += body
    if len(whole) > limit:
        raise _too_large(limit)
    return bytes(whole)


def _part(message: Message) -> tuple[bytes, bool]:
    """Return a part of the body, and whether there is more."""
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message.get("body", b""), message.get("more_body", False)


def _too_large(limit: int) -> Problem:
    return Problem("payload-too-large", f"the body may have up to {limit:,} bytes")


def require_json(request: Request) -> None:
    """Refuse a body that says it is not plain JSON. One that says nothing is taken for JSON."""
    refuse_coding(request)
    content_type = request.headers.get("content-type", "application/json")
    if not says_json(content_type):
        raise Problem(
            "unsupported-media-type",
            f"this route reads application/json, not {_media_type(content_type)[:100]}",
            headers={"Accept": "application/json"},
        )


def refuse_coding(request: Request) -> None:
    """Refuse a body that says it is compressed."""
    coding = request.headers.get("content-encoding", "identity")
    if coding != "identity":
        raise Problem(
            "unsupported-media-type",
            f"this route does not read Content-Encoding: {coding[:50]}",
            headers={"Accept-Encoding": "identity"},
        )


def says_json(content_type: str) -> bool:
    media_type = _media_type(content_type)
    return media_type == "application/json" or media_type.endswith("+json")


def _media_type(content_type: str) -> str:
    return content_type.split(";", maxsplit=1)[0].strip().lower()


def parse_model(body: bytes, kind: type[M], expected: str) -> M:
    """Return the body as what it should be; `expected` says that to a person. Raises Problem."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False, include_context=False)
        if errors[0]["type"] == "json_invalid":
            raise Problem("malformed-body", f"not JSON: {errors[0]['msg'].removeprefix('Invalid JSON: ')}") from invalid
        items = [
            ErrorItem(pointer(*error["loc"]), _CODES.get(error["type"], "wrong_type"), error["msg"]) for error in errors
        ]
        raise Problem("invalid-body", f"expected {expected}", errors=items) from invalid


def decode_json(body: bytes) -> tuple[object, str | None]:
    """Return the value, and what is wrong with the text if it only nearly is JSON.

    NaN, Infinity and numbers beyond float64 are no JSON, but the caller should hear which field holds them. So they are
    returned as numbers that are not finite, together with the complaint; whoever finds no fault with the value must
    refuse the body for the complaint.

    Raises:
        Problem: the text cannot be read at all.
    """
    try:
        return msgspec.json.decode(body), None
    except (ValueError, RecursionError) as refused:
        return _explained(body), _complaint(refused)


def _complaint(refused: Exception) -> str:
    reason = str(refused).removeprefix("JSON is malformed: ")
    if "truncated" in reason:  # what msgspec says of the one thing that only the standard library reads to the end
        reason = "a \\u escape is half a character"
    return f"not JSON: {reason}"


def _explained(body: bytes) -> object:
    if not body.strip():
        raise Problem("malformed-body", "the body is empty; expected a JSON object")
    try:
        return json.loads(body.decode(), parse_int=_integer)
    except UnicodeDecodeError as error:
        raise Problem("malformed-body", f"not UTF-8: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise Problem("malformed-body", f"not JSON: {error.msg} at {where}") from error
    except RecursionError as error:
        raise Problem("malformed-body", "not read: nested too deeply") from error


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < _LONGEST_INTEGER else math.copysign(math.inf, -1 if digits[0] == "-" else 1)
