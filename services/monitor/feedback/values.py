"""Values that arrived: which row, and what really happened. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.events import FeedbackReceived
from shared.jobs import job_time

JOB: Final = "job:"
"""Before a job's id, where a request's would stand."""

Key = tuple[str, int]
"""Request id, or `job:` and a job's, and the position of the row in it."""

Said = tuple[str, Key]
"""What an entry of the inbox says of a row: it says it once."""


@dataclass(frozen=True)
class Value:
    model: str
    source: str
    """Request id, or `job:` and a job's."""
    index: int
    actual: float
    at: datetime
    """When Redis took it, which is one clock for all gateways: of several for one row, the latest counts."""
    entry: str
    """Of the inbox."""

    @property
    def key(self) -> Key:
        return self.source, self.index

    @property
    def said(self) -> Said:
        return self.entry, self.key


def values_of(entry: str, event: FeedbackReceived, default_model: str) -> list[Value]:
    """Return what an event holds. Raises ValueError when its columns do not fit together."""
    at = time_of(entry)
    columns = zip(event.request_id, event.job_id, event.index, event.actual, strict=True)
    return [
        Value(event.model_name or default_model, _source(request, job), index, actual, at, entry)
        for request, job, index, actual in columns
    ]


def time_of(entry: str) -> datetime:
    """Return when an entry of a stream was added; those of one millisecond differ by microseconds."""
    milliseconds, _, number = entry.partition("-")
    return datetime.fromtimestamp(0, UTC) + timedelta(
        milliseconds=int(milliseconds), microseconds=min(int(number or 0), 999)
    )


def event_of(values: Sequence[Value]) -> FeedbackReceived:
    """Return an event with some of the values of one."""
    first = values[0]
    requests, jobs = zip(*map(_named, values), strict=True)
    return FeedbackReceived(
        model_name=first.model,
        request_id=list(requests),
        job_id=list(jobs),
        index=[value.index for value in values],
        actual=[value.actual for value in values],
    )


def latest(values: Iterable[Value]) -> tuple[list[Value], Counter[str]]:
    """Return the latest value for each row, and of how many rows of each entry another value took the place."""
    kept: dict[tuple[str, Key], Value] = {}
    replaced = Counter[str]()
    for value in values:
        before = kept.get((value.model, value.key))
        if before is not None:
            replaced[min(before, value, key=lambda each: each.at).entry] += 1
        if before is None or value.at >= before.at:
            kept[value.model, value.key] = value
    return list(kept.values()), replaced


def job_of(source: str) -> str | None:
    """Return the id of the job; None of a request, which may have an id that begins as a job's source does."""
    job_id = source.removeprefix(JOB)
    if job_id == source:
        return None
    try:
        job_time(job_id)
    except ValueError:
        return None
    return job_id


def _source(request: str | None, job: str | None) -> str:
    if (request is None) == (job is None):
        raise ValueError("a row is named by its request or its job, not by both or none")
    if request is not None:
        return request
    job_time(job or "")  # its id becomes a part of paths
    return f"{JOB}{job}"


def _named(value: Value) -> tuple[str | None, str | None]:
    job_id = job_of(value.source)
    return (value.source, None) if job_id is None else (None, job_id)
