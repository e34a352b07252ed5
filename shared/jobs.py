"""Jobs: what was asked for (`JobSpec`), how far it is (`JobStatus`), and what clients see of it (`Job`).

A spec lies in the store from the submission of its job, a record from its end, so that losing Redis loses no job. Redis
holds the progress in between.
"""

import os
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, Self
from uuid import UUID

import msgspec
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from shared.clock import utc_now

Priority = Literal["low", "normal", "high"]
JobState = Literal["queued", "running", "finalizing", "completed", "cancelled", "expired", "failed"]
EndState = Literal["completed", "cancelled", "expired", "failed"]
TERMINAL: frozenset[str] = frozenset(("completed", "cancelled", "expired", "failed"))

MIN_WINDOW = 4  # chunks of one job in the stream, even with a single scorer


def target_window(live_scorers: int) -> int:
    """Return how many chunks of a job may be in the stream: enough that no scorer waits for the next one."""
    return max(MIN_WINDOW, 2 * live_scorers)


_last_tick = 0
_tick_lock = threading.Lock()


def new_job_id() -> str:
    """Return a UUIDv7: ids of one process strictly increase, those of several sort by their millisecond."""
    global _last_tick  # noqa: PLW0603 - two ids of one process must not share a tick
    with _tick_lock:
        tick = time.time_ns() * 4096 // 1_000_000  # ms in the high bits, 1/4096 ms in the low twelve
        _last_tick = tick = max(tick, _last_tick + 1)
    bits = (tick >> 12) << 80 | 0x7 << 76 | (tick & 0xFFF) << 64
    return str(UUID(int=bits | 0b10 << 62 | int.from_bytes(os.urandom(8)) >> 2))


def job_time(job_id: str) -> datetime:
    """Return when an id was made, to the millisecond.

    Raises:
        ValueError: it is no job id in canonical form.
    """
    uuid = UUID(job_id)
    if uuid.version != 7 or str(uuid) != job_id:
        raise ValueError(f"{job_id!r} is no job id")
    return datetime.fromtimestamp((uuid.int >> 80) / 1000, UTC)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # a newer release may have added fields


class JobSpec(_Record):
    """What was asked for: `jobs/<id>/job.json`, written before Redis hears of the job and never changed.

    Chunk i is the bytes [input_offsets[i], input_offsets[i + 1]) of the input object, an encoded `shared.chunks.Chunk`
    of `chunk_rows` rows (the last one may have fewer).
    """

    schema_version: Literal[1] = 1
    id: str
    tenant: str = "default"
    model_name: str
    model_version: str
    model_digest: str
    rows: int = Field(ge=0)
    chunk_rows: int = Field(gt=0)
    chunks: int = Field(ge=0)
    input_key: str
    input_offsets: list[int]
    ignored_columns: list[str] = []
    passthrough: list[str] = []
    """Columns of the table that come back beside the results, in this order."""
    priority: Priority = "normal"
    deadline: AwareDatetime | None = None
    """What is not scored by then ends the job as `expired`."""
    webhook: str | None = None
    """URL that hears of the job's end."""
    suspect: bool | None = None
    """Its rows killed an engine before: they are isolated from the first attempt on."""
    created_at: AwareDatetime = Field(default_factory=utc_now)
    request_id: str = ""

    @model_validator(mode="after")
    def _chunks_cover_the_rows(self) -> Self:
        if self.chunks != -(-self.rows // self.chunk_rows):
            raise ValueError(f"{self.rows} rows are not {self.chunks} chunks of {self.chunk_rows}")
        if len(self.input_offsets) != self.chunks + 1:
            raise ValueError(f"{self.chunks} chunks need {self.chunks + 1} offsets, got {len(self.input_offsets)}")
        return self

    def first_row(self, chunk: int) -> int:
        return chunk * self.chunk_rows

    def rows_of(self, chunk: int) -> int:
        return min(self.chunk_rows, self.rows - self.first_row(chunk))


class DeadLetter(_Record):
    """Rows that were given up, and why: usually one. They end as `poison` in the results, too."""

    job_id: str
    row: int
    """Position of the first one in the job."""
    rows: int = 1
    chunk: int
    reason: str
    deaths: int
    """Attempts that brought no result."""
    at: AwareDatetime = Field(default_factory=utc_now)

    @property
    def id(self) -> str:
        return f"{self.job_id}:{self.row}"


class Part(_Record):
    """The committed result of one chunk: an object in the store that never changes."""

    key: str
    sha256: str
    rows: int
    failed: int
    dead_letters: tuple[DeadLetter, ...] = ()
    """Kept here too, so that losing Redis does not lose them."""


_LISTS = ("ignored_columns", "passthrough")  # fields that are JSON in the hash


class JobStatus(_Record):
    """How far a job is, as Redis knows it, or as its record in the store says after Redis forgot it."""

    id: str
    tenant: str = "default"
    state: JobState
    rows: int
    done: int = 0
    """Finished rows, those in error included."""
    failed: int = 0
    chunks: int
    left: int
    """Chunks without a committed part."""
    next: int = 0
    """First chunk that was not yet put into the stream."""
    model_name: str
    model_version: str
    ignored_columns: tuple[str, ...] = ()
    passthrough: tuple[str, ...] = ()
    priority: Priority = "normal"
    deadline: AwareDatetime | None = None
    webhook: str | None = None
    suspect: bool | None = None
    request_id: str = ""
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    error: str | None = None

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL

    @property
    def context(self) -> dict[str, str]:
        """What every log line about it carries."""
        return {"job_id": self.id, "request_id": self.request_id}

    def outcome(self) -> dict[str, object]:
        """Return what the log says of its end; `seconds` since its submission."""
        seconds = round(((self.finished_at or utc_now()) - self.created_at).total_seconds(), 3)
        return {"state": self.state, "rows": self.done, "failed": self.failed, "seconds": seconds, **self.context}

    @classmethod
    def submitted(cls, spec: JobSpec) -> Self:
        """Return the status of a job that has just been accepted."""
        return cls(state="queued", left=spec.chunks, **spec.model_dump(include=set(cls.model_fields)))

    @classmethod
    def of_hash(cls, fields: Mapping[str, str]) -> Self:
        """Read the hash that the scripts keep."""
        values: dict[str, Any] = {name: value for name, value in fields.items() if value}
        for name in _LISTS:
            values[name] = msgspec.json.decode(fields.get(name) or "[]")
        return cls.model_validate(values)

    def to_hash(self) -> dict[str, str]:
        values = self.model_dump(mode="json", exclude_none=True)
        for name in _LISTS:
            values[name] = msgspec.json.encode(values[name]).decode()
        return {name: str(value) for name, value in values.items()}


class JobRecord(_Record):
    """How a job ended and the parts that can be read: `manifest.json` of a completed job, `end.json` of any other.

    `parts[i]` is the part of chunk i. A job that was not completed keeps the parts up to its first missing chunk, and
    its counts are those of these parts.
    """

    schema_version: Literal[1] = 1
    status: JobStatus
    model_digest: str
    parts: tuple[Part, ...]


class RowCounts(BaseModel):
    model_config = ConfigDict(frozen=True)

    total: int
    done: int = Field(description="Finished rows, those that ended in an error included.")
    failed: int = Field(description="Finished rows that ended in an error.")


class Job(BaseModel):
    """A job as clients see it."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    id: str
    state: JobState
    rows: RowCounts
    model_name: str
    model_version: str
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    eta_seconds: float | None
    ignored_columns: tuple[str, ...]
    passthrough: tuple[str, ...]
    priority: Priority
    deadline: AwareDatetime | None
    error: str | None
    links: dict[str, str]

    @classmethod
    def of(cls, status: JobStatus, *, rows_per_second: float | None = None, now: datetime | None = None) -> Self:
        """Describe a status.

        Args:
            rows_per_second: of all scorers together, for the estimate before the job's own speed is known.
        """
        here = f"/jobs/{status.id}"
        names = ["results", "errors", "manifest", "events"] + ["webhook"] * (status.webhook is not None)
        return cls(
            rows=RowCounts(total=status.rows, done=status.done, failed=status.failed),
            eta_seconds=eta_seconds(status, now or utc_now(), rows_per_second),
            links={"self": here} | {name: f"{here}/{name}" for name in names},
            **status.model_dump(include=set(cls.model_fields) - {"rows"}),
        )

    def to_response(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def overdue(job: JobSpec | JobStatus, now: datetime) -> str | None:
    """Return why a job has to end as `expired`; None while its deadline, if it has one, lies ahead."""
    if job.deadline is None or now < job.deadline:
        return None
    return f"its deadline, {job.deadline.astimezone(UTC).isoformat(timespec='seconds')}, passed"


def job_message(status: JobStatus) -> str:
    """Return the JSON that a webhook hears of a job's end: type, timestamp and the job as clients see it."""
    data = Job.of(status).to_response()
    at = (status.finished_at or utc_now()).isoformat()
    return msgspec.json.encode({"type": f"job.{status.state}", "timestamp": at, "data": data}).decode()


def eta_seconds(status: JobStatus, now: datetime, rows_per_second: float | None = None) -> float | None:
    """Estimate the seconds to the job's end from its own progress, or else from the scorers' speed; None if unknown."""
    if status.ended:
        return None
    remaining = status.rows - status.done
    if status.started_at is not None and status.done > 0:
        elapsed = max((now - status.started_at).total_seconds(), 0.0)
        return round(elapsed / status.done * remaining, 1)
    return round(remaining / rows_per_second, 1) if rows_per_second else None
