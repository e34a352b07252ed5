"""What the gateway and the monitor answer. Fields that newer ones add are ignored."""

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

Row = dict[str, Any]

JobState = Literal["queued", "running", "finalizing", "completed", "cancelled", "expired", "failed"]
TERMINAL: frozenset[str] = frozenset(("completed", "cancelled", "expired", "failed"))


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Warned(Answer):
    """A value outside what training has seen; it was scored all the same."""

    field: str
    code: str
    detail: str


class Prediction(Answer):
    prediction: float
    model_name: str
    model_version: str
    inference_time: float
    """Seconds in the engine."""
    request_id: str
    warnings: list[Warned] = []


class RowError(Answer):
    index: int
    field: str
    code: str
    detail: str


class BatchPrediction(Answer):
    predictions: list[float | None]
    """In the order of the rows; None for those named in `errors`."""
    errors: list[RowError]
    count: int
    model_name: str
    model_version: str
    inference_time: float
    request_id: str


class FeedbackAnswer(Answer):
    accepted: int
    """Rows that have got a value; what was said twice counts once."""
    request_id: str


class RowCounts(Answer):
    total: int
    done: int
    """Finished, those in error included."""
    failed: int


class Job(Answer):
    id: str
    state: JobState
    rows: RowCounts
    model_name: str
    model_version: str
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    eta_seconds: float | None = None
    ignored_columns: list[str] = []
    passthrough: list[str] = []
    priority: str = "normal"
    deadline: AwareDatetime | None = None
    error: str | None = None
    links: dict[str, str] = {}

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL


class JobPage(Answer):
    jobs: list[Job]
    next_cursor: str | None = None
    """What `jobs(cursor=…)` takes for the next page; None on the last one."""


class ResultError(Answer):
    field: str = ""
    code: str
    detail: str = ""


class Result(Answer):
    """One row of a job: a prediction or an error, and the columns that were passed through."""

    model_config = ConfigDict(extra="allow")

    index: int
    prediction: float | None = None
    error: ResultError | None = None

    @property
    def passed(self) -> dict[str, Any]:
        """The columns that were passed through."""
        return dict(self.model_extra or {})


class Part(Answer):
    """The results of some consecutive rows: an object in the gateway's store."""

    key: str
    sha256: str
    first_row: int
    rows: int
    failed: int


class Manifest(Answer):
    """What a job's results consist of, in the order of its rows."""

    job_id: str
    state: JobState
    partial: bool
    """Whether rows are missing at the end."""
    rows: RowCounts
    model_name: str
    model_version: str
    model_digest: str
    passthrough: list[str] = []
    parts: list[Part]


class Attempt(Answer):
    """One attempt at delivering a message."""

    at: AwareDatetime
    status: int | None = None
    """Of the receiver's answer; None if there was none."""
    error: str | None = None
    seconds: float | None = None


class Webhook(Answer):
    """What became of the message about a job's end."""

    url: str
    state: str
    """waiting (for the job's end), due, delivered, failed (given up) or disabled (the receiver answered 410)."""
    attempts: list[Attempt] = []
    """The newest ones, oldest first."""
    next_attempt_at: AwareDatetime | None = None


class DeadLetter(Answer):
    """Rows that were given up, and why: usually one."""

    id: str
    job: str
    row: int
    """Position of the first one in the job."""
    rows: int
    chunk: int
    reason: str
    deaths: int
    at: AwareDatetime


class DeadLetterPage(Answer):
    dead_letters: list[DeadLetter]
    next_cursor: str | None = None


class RowWarning(Warned):
    index: int


class OpenedDeadLetter(DeadLetter):
    """A dead letter with the values of its rows, as the model understood them."""

    model_name: str | None = None
    model_version: str | None = None
    instances: list[Row | None] | None = None
    """None when the job's input was removed; a row that could not be read in the first place is None, too."""
    warnings: list[RowWarning] = []
    detail: str = ""


class DeletedRows(Answer):
    """What a monitor deleted of a request; rows that were still on their way are not counted."""

    request_id: str
    rows: int
    labelled_rows: int
    files: int


class ColumnDrift(Answer):
    """A feature, or the prediction, against its reference; what a newer monitor says besides is kept."""

    model_config = ConfigDict(extra="allow")

    drifted: bool
    suspect: bool
    """It has drifted, or nearly."""
    reasons: list[str] = []
    kind: str
    n: int
    effect: float | None = None
    """Largest change in the probability of anything."""
    p_value: float | None = None
    mean_shift: float | None = None
    psi: float | None = None
    mean: float | None = None
    reference_mean: float | None = None
    null_rate: float | None = None
    reference_null_rate: float | None = None


class Drift(Answer):
    """The champion's rows of a window against its reference."""

    window: float
    """Seconds."""
    n: int
    since: AwareDatetime
    until: AwareDatetime
    model_name: str
    model_version: str
    drifted: list[str]
    features: dict[str, ColumnDrift]
    prediction: ColumnDrift


class Dropped(Answer):
    dropped: int


class ModelInfo(Answer):
    """The version that answers: its manifest, with all its fields, and its signature as the artifact holds it."""

    model_config = ConfigDict(extra="allow")

    name: str
    version: str
    epoch: int | None = None
    digest: str | None = None
    engine: str | None = None
    """What the manifest asks for."""
    serving_engine: str | None = None
    """What computes in the gateway that answered."""
    engine_instead: str | None = None
    """Why it is another one; it gives the same bits."""
    candidate: str = ""
    metrics: dict[str, Any] = {}
    """By candidate."""
    signature: dict[str, Any]

    def example(self) -> Row:
        """Return a row made of the signature's examples."""
        return {feature["name"]: feature.get("example") for feature in self.signature["features"]}


class Champion(Answer):
    version: str
    epoch: int


class VersionInfo(Answer):
    version: str
    state: str
    """champion, previous (what a rollback returns to) or available."""
    created_at: AwareDatetime
    candidate: str = ""
    engine: str = ""
    metrics: dict[str, Any] | None = None
    mlflow_run_id: str = ""


class HistoryEntry(Answer):
    at: AwareDatetime
    action: str
    """promoted, rolled_back, aborted (nothing changed) or held_back (trained, and not put into service)."""
    version: str
    previous: str | None = None
    epoch: int | None = None
    reason: str = ""
    decision: dict[str, Any] | None = None
    """Of a version that was trained: why it did or did not go into service, and the figures."""


class ModelList(Answer):
    name: str
    champion: Champion | None = None
    versions: list[VersionInfo]
    history: list[HistoryEntry] = []


class Desired(Answer):
    version: str
    epoch: int


class ReplicaState(Answer):
    service: str
    id: str
    version: str | None = None
    epoch: int | None = None
    engine: str | None = None
    state: str
    error: str | None = None
    seen_at: AwareDatetime
    address: str = ""


class Replicas(Answer):
    desired: Desired | None = None
    converged: bool
    replicas: list[ReplicaState]


class Operation(Answer):
    """What became of a command."""

    id: str
    kind: str
    state: Literal["queued", "running", "succeeded", "failed"]
    reason: str = ""
    created_at: AwareDatetime
    finished_at: AwareDatetime | None = None
    detail: str = ""
    """Progress while it runs; what went wrong when it failed."""
    result: dict[str, Any] = {}

    @property
    def ended(self) -> bool:
        return self.state in ("succeeded", "failed")


class Health(Answer):
    status: Literal["healthy", "degraded", "warning"]
    model_loaded: bool
    model_version: str | None = None
    uptime_hours: float
    total_predictions: int
    warnings: list[Any] = []


class Metrics(Answer):
    """Of the gateway replica that answered. Times in seconds; None before the first prediction."""

    total_predictions: int
    predictions_per_hour: float
    avg_inference_time: float | None = None
    p50_inference_time: float | None = None
    p95_inference_time: float | None = None
    p99_inference_time: float | None = None
    avg_prediction: float | None = None
    std_prediction: float | None = None
    uptime_hours: float
