"""One attempt to deliver a message: look the host up, connect to an address that was checked, post, read the status."""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from typing import Any

import certifi
import httpcore

from shared.clock import utc_now
from shared.webhooks.addresses import Guard, Target, WebhookRefused
from shared.webhooks.signing import signature

ADDRESSES_TRIED = 2  # each gets half of the time
GONE = 410
_FAILED = (OSError, UnicodeError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)
_ERROR = 200  # characters

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""From host and port to addresses."""


@dataclass(frozen=True)
class Answer:
    """What an attempt came to."""

    status: int | None = None
    error: str | None = None
    """None: it was received."""
    retry_after: timedelta | None = None
    refused: bool = False
    """We do not send there: there is no use in trying again."""

    @property
    def delivered(self) -> bool:
        return self.error is None

    @property
    def gone(self) -> bool:
        return self.status == GONE


class Delivery:
    """Sends messages, signed by every key.

    Args:
        timeout: for all of an attempt, from the look-up to the status.
        tls: by default the authorities of SSL_CERT_FILE, or else those of certifi.
        resolve: looks a host up; it is asked once for an attempt.
    """

    def __init__(
        self,
        keys: Sequence[bytes],
        guard: Guard,
        timeout: timedelta,
        *,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self._keys = keys
        self._guard = guard
        self._timeout = timeout
        self._tls = tls or ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or certifi.where())
        self._resolve = resolve or look_up
        self._agent = f"tasador/{_version()}"

    async def send(self, message_id: str, url: str, body: bytes) -> Answer:
        """Try once. Redirects are not followed, and the body of the answer is not read."""
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                return await self._post(Target.of(url), message_id, url, body)
        except WebhookRefused as refused:
            return Answer(error=str(refused), refused=True)
        except TimeoutError:
            return Answer(error=f"no answer within {self._timeout.total_seconds():g} s")
        except (
            OSError,
            UnicodeError,
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
        ) as error:
            return Answer(error=_text(error))

    async def _post(self, target: Target, message_id: str, url: str, body: bytes) -> Answer:
        backend = _Checked(self._guard, target, self._resolve)
        headers = self._headers(target, f"msg_{message_id}", body)
        limits = {"timeout": {"connect": self._timeout.total_seconds() / ADDRESSES_TRIED}}
        async with (
            httpcore.AsyncConnectionPool(ssl_context=self._tls, network_backend=backend) as pool,
            pool.stream("POST", url, headers=headers, content=body, extensions=limits) as response,
        ):
            return _answer(response.status, dict(response.headers).get(b"retry-after", b"").decode("latin-1"))

    def _headers(self, target: Target, webhook_id: str, body: bytes) -> list[tuple[str, str]]:
        now = int(time.time())
        return [
            ("host", target.authority),
            ("user-agent", self._agent),
            ("accept", "*/*"),
            ("connection", "close"),
            ("content-type", "application/json"),
            ("webhook-id", webhook_id),
            ("webhook-timestamp", str(now)),
            ("webhook-signature", signature(self._keys, webhook_id, now, body)),
        ]


class _Checked(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked just before: a second look-up could give others."""

    def __init__(self, guard: Guard, target: Target, resolve: Resolve) -> None:
        self._guard = guard
        self._target = target
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - of the base class
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = self._guard.permitted(map(ip_address, await self._resolve(host, port)), self._target)
        failed: Exception = OSError("the host has no address")
        for address in addresses[:ADDRESSES_TRIED]:
            try:
                return await self._network.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise WebhookRefused("no message goes to a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def look_up(host: str, port: int) -> list[str]:
    """Return the addresses of a host, as the system prefers them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


def _answer(status: int, retry_after: str) -> Answer:
    if 200 <= status < 300:
        return Answer(status)
    hint = "; redirects are not followed" if 300 <= status < 400 else ""
    return Answer(status, f"the receiver answered {status}{hint}", _seconds(retry_after))


def _seconds(retry_after: str) -> timedelta | None:
    """Read Retry-After: seconds, or a date."""
    try:
        if retry_after.strip().isdecimal():
            return timedelta(seconds=int(retry_after))
        return max(parsedate_to_datetime(retry_after) - utc_now(), timedelta())
    except (ValueError, TypeError, OverflowError):
        return None


def _text(error: Exception) -> str:
    if isinstance(error, socket.gaierror | UnicodeError):
        return "the name of the host cannot be resolved"
    name = {"ConnectError": "cannot connect", "RemoteProtocolError": "this is no HTTP"}.get(type(error).__name__)
    return f"{name or 'the connection failed'}: {error}"[:_ERROR]


def _version() -> str:
    try:
        return version("tasador")
    except PackageNotFoundError:  # run from a checkout without installation
        return "0"
