"""Ask a gateway for a new version of the model, and wait for what becomes of it.

Only the standard library, because a runner has nothing else. The environment says what to do:

    GATEWAY_URL            where the gateway is
    GATEWAY_AUTHORIZATION  the header `Authorization`, for the proxy in front of it; may be empty
    REASON                 kept in the history of the model
    REQUEST_ID             names the request in the logs of all services; may be empty
    WAIT_MINUTES           how long a training may take
"""

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

LONG_POLL = 20.0
"""Seconds that the gateway may keep a request: fewer than most proxies let one wait."""
OUTAGE = 300.0
"""Seconds without a good answer that are borne: an accepted training survives a restart of everything."""
PAUSE = 2.0
"""Seconds to the next try, where the answer does not say."""
NOT_NOW = frozenset({429, 502, 503, 504})
NOT_ACCEPTED = frozenset({429, 503})
"""What says for certain that the command was not taken. After 502 and 504 that is not known."""


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, said: str, retry_after: float) -> None:
        super().__init__(f"HTTP status {status}: {said}")
        self.status = status
        self.retry_after = retry_after


class Unreachable(Exception):
    """No answer, or none that can be read."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The authorization is for the address that was configured, and for no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Gateway:
    def __init__(self, url: str, authorization: str, request_id: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Accept": "application/json", "Content-Type": "application/json"}
        self._headers |= {"Authorization": authorization} if authorization else {}
        self._headers |= {"X-Request-Id": request_id} if request_id else {}
        self._opener = urllib.request.build_opener(_NoRedirect)

    def retrain(self, reason: str) -> dict[str, Any]:
        return self._send("POST", "/admin/retrain", {"reason": reason[:500]}, 30)

    def operation(self, name: str, wait: float) -> dict[str, Any]:
        return self._send("GET", f"/admin/operations/{name}?wait={wait:.0f}", None, wait + 30)

    def _send(self, method: str, path: str, body: object, timeout: float) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, self._headers, method=method)
        with _failures(), self._opener.open(request, timeout=timeout) as answer:
            found = json.load(answer)
            if not isinstance(found, dict) or not isinstance(found.get("id"), str) or "state" not in found:
                raise ValueError("is no operation")
            return found


@contextmanager
def _failures() -> Iterator[None]:
    """Turn what can go wrong with a request into Refused or Unreachable."""
    try:
        yield
    except urllib.error.HTTPError as refused:
        raise Refused(refused.code, _said(refused), _seconds(refused.headers.get("Retry-After"))) from None
    except (OSError, http.client.HTTPException) as failed:
        raise Unreachable(str(failed) or type(failed).__name__) from None
    except ValueError as unreadable:
        raise Unreachable(f"what answers is not a gateway of Tasador: {unreadable}") from None


def _said(refused: urllib.error.HTTPError) -> str:
    text = refused.read(2000).decode(errors="replace")
    try:
        problem = json.loads(text)
        return f"{problem['title']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return text.strip()[:200] or refused.reason


def _seconds(retry_after: str | None) -> float:
    try:
        return min(max(float(retry_after or PAUSE), 0.0), 60.0)
    except ValueError:
        return PAUSE


def ask(gateway: Gateway, reason: str) -> dict[str, Any]:
    """Give the command, again while it is refused for now. What may have arrived is not sent a second time."""
    deadline = time.monotonic() + OUTAGE
    while True:
        try:
            return gateway.retrain(reason)
        except Refused as refused:
            if refused.status not in NOT_ACCEPTED or time.monotonic() > deadline:
                raise
            say(f"not now: {refused}")
            time.sleep(refused.retry_after)


def follow(gateway: Gateway, operation: dict[str, Any], minutes: float) -> dict[str, Any]:
    """Wait until it has ended, through outages; return it as last seen when the time is over."""
    end = time.monotonic() + minutes * 60
    answered = time.monotonic()
    told = ""
    while operation["state"] not in ("succeeded", "failed") and (left := end - time.monotonic()) > 0:
        try:
            operation = gateway.operation(operation["id"], min(LONG_POLL, left))
            answered = time.monotonic()
        except (Refused, Unreachable) as failed:
            lasting = isinstance(failed, Refused) and failed.status not in NOT_NOW
            if lasting or time.monotonic() - answered > OUTAGE:
                raise
            say(f"no answer: {failed}")
            time.sleep(failed.retry_after if isinstance(failed, Refused) else PAUSE)
            continue
        if (now := f"{operation['state']} {operation.get('detail') or ''}".strip()) != told:
            say(now)
            told = now
    return operation


def say(text: str) -> None:
    """One line. What a gateway says begins no line, because GitHub takes commands from lines that begin with `::`."""
    sys.stdout.write(f"retrain: {' '.join(text.split())}\n")
    sys.stdout.flush()


def fail(why: str) -> NoReturn:
    say(why)
    escaped = why.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    sys.stdout.write(f"::error title=Retrain::{escaped}\n")
    sys.exit(1)


def main() -> None:
    environment = os.environ
    url = environment.get("GATEWAY_URL", "")
    if not url.startswith(("http://", "https://")):
        fail(f"GATEWAY_URL must be the address of a gateway, such as https://tasador.internal; it is {url!r}")
    minutes = float(environment.get("WAIT_MINUTES") or 60)
    gateway = Gateway(url, environment.get("GATEWAY_AUTHORIZATION", ""), environment.get("REQUEST_ID", ""))
    try:
        operation = ask(gateway, environment.get("REASON", ""))
        say(f"accepted as operation {operation['id']}")
        operation = follow(gateway, operation, minutes)
    except (Refused, Unreachable) as failed:
        fail(str(failed))
    match operation["state"]:
        case "succeeded":
            say(f"result {json.dumps(operation.get('result', {}), sort_keys=True)}")
        case "failed":
            fail(f"the training failed: {operation.get('detail')}")
        case state:
            fail(f"still {state} after {minutes:g} minutes; it goes on as operation {operation['id']}")


if __name__ == "__main__":
    main()
