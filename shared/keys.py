"""Every name that Tasador uses in Redis and in the store, so that nothing is spelled twice."""

from dataclasses import dataclass

SCORERS_GROUP = "scorers"
TRAINERS_GROUP = "trainers"
STATS_GROUP = "monitor-stats"  # folds events into windows
LOG_GROUP = "monitor-log"  # writes the prediction log

BUCKET_FORMAT = "2"
"""Of the monitor's buckets: another order of `services.monitor.layout.HEAD` or `shared.profile.counters` is another."""

QUALITY_FORMAT = "2"
"""Of the sums of errors: another order, or other units, of `services.monitor.quality.COUNTERS` is another."""


@dataclass(frozen=True)
class Keys:
    """Redis keys of one tenant.

    The tenant is the hash tag: everything one script touches lies in one slot, which keeps Redis Cluster possible.
    """

    tenant: str = "default"

    def _key(self, *parts: str) -> str:
        return ":".join(("tasador", f"{{{self.tenant}}}", *parts))

    # --- jobs
    @property
    def chunks(self) -> str:
        """Stream of chunks to score and jobs to finalise: at most a window of entries per job."""
        return self._key("chunks")

    @property
    def backlog(self) -> str:
        """Integer: rows accepted and not yet finished."""
        return self._key("backlog")

    @property
    def jobs(self) -> str:
        """Sorted set of all known job ids, score = creation time in ms."""
        return self._key("jobs")

    @property
    def open_jobs(self) -> str:
        """Sorted set of the ids of jobs whose end is not recorded in the store yet, score = weight of the priority."""
        return self._key("jobs", "unsettled")

    @property
    def ended_jobs(self) -> str:
        """Sorted set of the ids of jobs that have ended and are kept, score = when they ended in ms."""
        return self._key("jobs", "ended")

    @property
    def unswept_jobs(self) -> str:
        """As `ended_jobs`, of jobs whose leftovers in the store were not looked for yet."""
        return self._key("jobs", "unswept")

    @property
    def jobs_restored(self) -> str:
        """Set when every job of the store is known here; gone after a flush."""
        return self._key("jobs", "restored")

    def job(self, job_id: str) -> str:
        return self._key("job", job_id)

    def parts(self, job_id: str) -> str:
        """Hash: chunk number → committed part (JSON)."""
        return self._key("job", job_id, "parts")

    def idempotency(self, key: str) -> str:
        return self._key("idempotency", key)

    @property
    def dead_letters(self) -> str:
        """Sorted set of the ids of dead letters, score = when they died in ms."""
        return self._key("dead")

    @property
    def dead_letter_bodies(self) -> str:
        """Hash: id → dead letter (JSON)."""
        return self._key("dead", "bodies")

    def redrive(self, letters: str) -> str:
        """The id of the job that scores these letters (a digest of their ids) once more."""
        return self._key("redrive", letters)

    # --- webhooks
    @property
    def webhooks_due(self) -> str:
        """Sorted set of the ids of messages to deliver, score = when to try next in ms."""
        return self._key("webhooks", "due")

    def webhook(self, message_id: str) -> str:
        """Hash of one message: url, body (JSON), and what became of it."""
        return self._key("webhook", message_id)

    @property
    def dropped_events(self) -> str:
        """Hash: kind of event → rows whose event was dropped to keep memory bounded."""
        return self._key("events", "dropped")

    # --- models and replicas
    def model(self, name: str) -> str:
        """Hash: the desired version, its epoch and digest, and the candidate of a promotion under way."""
        return self._key("model", name)

    def receipts(self, promotion_id: str) -> str:
        """Hash: replica → receipt (JSON) on the candidate of one promotion."""
        return self._key("promotion", promotion_id, "receipts")

    @property
    def replicas(self) -> str:
        """Set of `<service>:<id>`; a member whose key has expired is gone."""
        return self._key("replicas")

    def replica(self, service: str, replica_id: str) -> str:
        return self._key("replica", service, replica_id)

    def operation(self, operation_id: str) -> str:
        return self._key("operation", operation_id)

    def lease(self, what: str) -> str:
        return self._key("lease", what)

    def schedule(self, model: str) -> str:
        """Hash: the schedule of trainings and the last time of it that was seen to."""
        return self._key("schedule", model)

    # --- events and commands
    @property
    def heartbeat(self) -> str:
        """Hash: `entry`, while a heartbeat is among the chunks; `sent`, `waiting`, `passed`, `lag` of the monitor."""
        return self._key("heartbeat")

    def stream(self, kind: str) -> str:
        """The stream of one kind of event, e.g. `predictions.logged.v1`."""
        return self._key("events", kind)

    # --- monitor
    def bucket(self, model: str, version: str, seconds: int, number: int) -> str:
        """String of counters of one span of time (Unix time // `seconds`) of one version."""
        return self._key("bucket", BUCKET_FORMAT, model, version, str(seconds), str(number))

    def totals(self, model: str, version: str) -> str:
        """As a bucket, of one version since ever; those of the features are left out."""
        return self._key("totals", BUCKET_FORMAT, model, version)

    def monitored(self, model: str) -> str:
        """Sorted set of the versions that predicted, score = when they last did."""
        return self._key("monitored", model)

    @property
    def received(self) -> str:
        """Hash: `<replica>|rows`, `|top` and `|at` of what gateways logged, and counts of what could not be read."""
        return self._key("received")

    def seen(self, source: str, page: int) -> str:
        """Bitmap: which events of a producer were counted, against duplicates."""
        return self._key("seen", source, str(page))

    def quality(self, model: str, version: str, seconds: int, number: int) -> str:
        """As a bucket, of predictions whose actual value is known, by when they were made."""
        return self._key("quality", QUALITY_FORMAT, model, version, str(seconds), str(number))

    def quality_totals(self, model: str, version: str) -> str:
        return self._key("quality", QUALITY_FORMAT, model, version, "ever")

    @property
    def feedback(self) -> str:
        """Hash: what became of feedback → values."""
        return self._key("feedback")

    @property
    def feedback_due(self) -> str:
        """Sorted set of the ids of entries whose predictions were not found, score = when to look again (Unix time)."""
        return self._key("feedback", "due")

    @property
    def feedback_waiting(self) -> str:
        """Hash: id → how often it was tried, and the entry."""
        return self._key("feedback", "waiting")

    @property
    def watch(self) -> str:
        """Hash of what the leading monitor remembers: `memory` (JSON), and `revision`, which grows by every change."""
        return self._key("watch")

    @property
    def alerts(self) -> str:
        """Hash: id → alert (JSON), as the leading monitor left it."""
        return self._key("alerts")

    @property
    def acknowledgements(self) -> str:
        """Hash: id of an alert → who has seen it (JSON). Apart from the alerts: any monitor may write it."""
        return self._key("alerts", "acknowledged")

    @property
    def evaluations(self) -> str:
        """List of evaluations (JSON), the newest first."""
        return self._key("evaluations")

    @property
    def finished_jobs(self) -> str:
        """Hash: terminal state → jobs."""
        return self._key("jobs", "finished")


def artifact_prefix(name: str, version: str) -> str:
    return f"models/{name}/{version}"


def champion_path(name: str) -> str:
    return f"models/{name}/champion.json"


def promotion_path(name: str) -> str:
    return f"models/{name}/promotion.json"


def history_path(name: str) -> str:
    return f"models/{name}/history.jsonl"


def labels_prefix(name: str) -> str:
    """Where rows lie whose actual values were reported, `date=<day of the prediction>/….parquet`."""
    return f"labels/{name}"


def job_path(job_id: str, name: str = "job.json") -> str:
    return f"jobs/{job_id}/{name}"


def part_path(job_id: str, chunk: int, attempt: str) -> str:
    """A part's name carries the attempt: it is never overwritten."""
    return job_path(job_id, f"parts/{chunk}-{attempt}.arrow")
