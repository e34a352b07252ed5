"""How a job's progress is told: entity tags, and a stream of server-sent events."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec

from services.gateway.jobs.lookup import Lookup
from services.gateway.problems import Problem
from shared.jobs import Job, JobStatus

POLL_SECONDS = 0.5
RETRY_AFTER = "1"  # seconds
HEARTBEAT_SECONDS = 15  # proxies cut what is silent for longer


def etag(status: JobStatus) -> str:
    """Return a weak tag: the estimate of the remaining time may change below it."""
    return f'W/"{status.state}-{status.done}-{status.failed}"'


def progress_headers(status: JobStatus) -> dict[str, str]:
    """Say that it is worth looking again while a job has not ended."""
    return {} if status.ended else {"Retry-After": RETRY_AFTER}


def matches(if_none_match: str, tag: str) -> bool:
    """Compare weakly, as RFC 9110 says for If-None-Match."""
    tags = {candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")}
    return "*" in tags or tag.removeprefix("W/") in tags


async def events(lookup: Lookup, status: JobStatus) -> AsyncIterator[bytes]:
    """Yield the job's state now and whenever it changes, until it has ended.

    Every event is the whole state, so a client that was cut off misses nothing by connecting again.
    """
    yield b"retry: 2000\n\n"
    yield _event(status)
    told, told_at = etag(status), time.monotonic()
    while not status.ended and not lookup.stopping():
        await asyncio.sleep(POLL_SECONDS)
        with suppress(Problem):  # Redis is away: nothing is known that could be told
            status = await lookup.find(status.id)
        if etag(status) != told:
            yield _event(status)
            told, told_at = etag(status), time.monotonic()
        elif time.monotonic() - told_at > HEARTBEAT_SECONDS:
            yield b": alive\n\n"
            told_at = time.monotonic()


def _event(status: JobStatus) -> bytes:
    data = msgspec.json.encode(Job.of(status).to_response())
    return b"event: job\ndata: " + data + b"\n\n"
