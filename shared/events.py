"""Facts that have happened, and commands; each kind has one stream, versioned by name.

Adding an optional field is compatible; anything else is a new version of the stream. Everything may arrive twice, late,
or after a crash.
"""

import json
from datetime import datetime
from typing import Any, ClassVar, Literal, Self
from uuid import UUID, uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.clock import utc_now


class Event(BaseModel):
    """Immutable. Unknown fields are ignored, so that a producer may add one before consumers know it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    stream: ClassVar[str]

    event_id: UUID = Field(default_factory=uuid4)
    occurred_at: AwareDatetime = Field(default_factory=utc_now)

    def entry(self) -> dict[str, str]:
        """Return the stream entry: the field that FastStream reads the body from."""
        return {"__data__": self.model_dump_json()}

    @classmethod
    def of_entry(cls, fields: dict[str, Any]) -> Self:
        """Read an event from a stream entry. Raises pydantic.ValidationError or KeyError."""
        return cls.model_validate_json(fields["__data__"])


class PredictionsLogged(Event):
    """Predictions that a gateway answered, in columns; all of one version.

    `answered_before` counts the rows that the replica had answered before these; together with `rows` it shows a
    consumer exactly how many rows it missed. `sequence` grows by one per event of a replica.
    """

    stream: ClassVar[str] = "predictions.logged.v1"

    replica: str
    sequence: int
    answered_before: int
    rows: int
    model_name: str
    model_version: str
    request_id: list[str]
    index: list[int]
    """Position of the row in its request; 0 for a single prediction."""
    mode: list[Literal["single", "batch"]]
    time: list[float]
    """When it was answered, Unix seconds."""
    latency: list[float]
    """Engine time per row, seconds; a batch's is divided by its rows."""
    features: list[list[float | None]]
    """One column per feature in the signature's order, encoded; null is None."""
    prediction: list[float]
    failed: dict[Literal["single", "batch"], int] = Field(default_factory=dict)
    """Rows that got no prediction since the event before, by mode: refused for what is in them, or by the engine's
    fault. Not among `rows`, of which there may be none beside them."""


class ChunkScored(Event):
    """A chunk of a job was committed.

    `counts` is a summary in the profile's bins (shared/profile.py), with that of estimated errors if the version has an
    error model and the chunk was not isolated (shared/error_estimate.py).
    """

    stream: ClassVar[str] = "chunk.scored.v1"

    job_id: str
    chunk: int
    rows: int
    failed: int
    model_name: str
    model_version: str
    seconds: float
    """Engine time of the whole chunk."""
    counts: dict[str, int]


class JobFinished(Event):
    """A job reached a terminal state."""

    stream: ClassVar[str] = "job.finished.v1"

    job_id: str
    state: str
    rows: int
    failed: int
    request_id: str = ""
    """Of its submission."""


class FeedbackReceived(Event):
    """What really came of rows that were predicted, in columns; `occurred_at` is when the gateway took it.

    A row is named by the request that predicted it, or by its job: one of the two, the other is None. Whether there is
    such a row nobody has looked. Of several values for one row the one that was received last counts.
    """

    stream: ClassVar[str] = "feedback.received.v1"

    model_name: str | None = None
    """That the gateway serves."""
    brought_by: str = ""
    """Id of the request that brought the values, for logs; one with many of them is several events."""
    request_id: list[str | None]
    job_id: list[str | None]
    index: list[int]
    """Position of the row in its request or job."""
    actual: list[float]


class HeartbeatPassed(Event):
    """A scorer took a heartbeat that the monitor had put into the queue of chunks."""

    stream: ClassVar[str] = "heartbeat.passed.v1"

    sent: float
    """When it was put there by Redis's clock, Unix seconds."""


class ModelStaged(Event):
    """Broadcast: replicas shall load the candidate, check it and send a receipt."""

    stream: ClassVar[str] = "model.staged.v1"

    model_name: str
    version: str
    promotion_id: str


class ModelPromoted(Event):
    """Broadcast: the desired version changed. Only wakes the reconciler, which reads the desired state itself."""

    stream: ClassVar[str] = "model.promoted.v1"

    model_name: str
    version: str
    epoch: int


Trigger = Literal["request", "drift", "quality", "schedule"]
"""What asks for a training: a person, or something that does so by itself."""


class RetrainRequested(Event):
    """As every command, it names the operation that tells what becomes of it, and the HTTP request that gave it."""

    stream: ClassVar[str] = "retrain.requested.v1"

    operation_id: str
    request_id: str = ""
    reason: str
    trigger: Trigger = "request"


class PromotionRequested(Event):
    stream: ClassVar[str] = "promotion.requested.v1"

    operation_id: str
    request_id: str = ""
    version: str
    reason: str


class RollbackRequested(Event):
    stream: ClassVar[str] = "rollback.requested.v1"

    operation_id: str
    request_id: str = ""
    version: str | None = None
    """None: the version that served before the present one."""
    reason: str


class ReloadRequested(Event):
    """Replicas shall check the desired version now, and the operation ends when all of them serve it."""

    stream: ClassVar[str] = "reload.requested.v1"

    operation_id: str
    request_id: str = ""
    reason: str


Command = RetrainRequested | PromotionRequested | RollbackRequested | ReloadRequested
BROADCASTS: tuple[type[Event], ...] = (ModelStaged, ModelPromoted)
BROADCAST_LENGTH = 1000  # entries kept; they only wake
FEEDBACK_ROWS = 1000
"""Most rows of one event: a consumer can rely on it."""


OperationKind = Literal["retrain", "promote", "rollback", "reload"]


class Operation(BaseModel):
    """What became of a command; kept for a week."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: OperationKind
    state: Literal["queued", "running", "succeeded", "failed"] = "queued"
    reason: str
    request_id: str = ""
    """Of the HTTP request that gave the command."""
    created_at: datetime = Field(default_factory=utc_now)
    finished_at: datetime | None = None
    detail: str = ""
    """Progress while it runs; what went wrong when it failed."""
    result: dict[str, Any] = Field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.state in ("succeeded", "failed")

    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"))


OPERATION_SECONDS = 7 * 24 * 3600
