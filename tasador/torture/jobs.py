"""One job from its submission to its results, noted on the way; outages are waited for."""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasador.client import Client, Job, Problem, TasadorError
from tasador.client.formats import NDJSON
from tasador.client.options import Priority
from tasador.torture.history import Accepted, History, Letters, Manifest, Read, Refused, Seen, Unread
from tasador.torture.oracle import Oracle
from tasador.torture.outcome import Records, outcome

LOOK_EVERY = 0.2
READ_PATIENCE = 60.0
"""Seconds in which the results of an ended job must be there."""


@dataclass(frozen=True)
class Table:
    """What to submit: rows of the oracle's pool."""

    places: NDArray[np.intp]
    priority: Priority = "normal"
    seconds: float | None = None
    """After which its deadline comes, if it has one."""


class JobRunner:
    """Runs jobs one after the other.

    Args:
        give_up: says when to wait no longer; whatever was noted by then is judged.
    """

    def __init__(self, client: Client, history: History, oracle: Oracle, give_up: Callable[[], bool]) -> None:
        self._client = client
        self._history = history
        self._oracle = oracle
        self._give_up = give_up

    def submit(self, table: Table) -> str | None:
        """Return the id once it is accepted; an idempotency key makes repeats the same job."""
        body, key = self._oracle.body(table.places), str(uuid4())
        while not self._give_up():
            try:
                job = self._submit(body, key, table)
            except TasadorError as refused:
                at, status = self._history.now(), _status(refused)
                retry_after = refused.retry_after if isinstance(refused, Problem) else None
                self._history.note(Refused(at=at, status=status, retry_after=retry_after))
                time.sleep(min(retry_after or 1.0, 2.0))
            else:
                self._history.note(Accepted(at=self._history.now(), job=job.id, rows=job.rows.total))
                return job.id
        return None

    def _submit(self, body: bytes, key: str, table: Table) -> Job:
        return self._client.submit(
            io.BytesIO(body),
            content_type=NDJSON,
            idempotency_key=key,
            priority=table.priority,
            deadline=None if table.seconds is None else timedelta(seconds=table.seconds),
            passthrough=[self._oracle.number],
        )

    def follow(
        self,
        job_id: str,
        *,
        cancel_at: float | None = None,
        on_look: Callable[[Seen], None] = lambda seen: None,
    ) -> Seen | None:
        """Look until it has ended.

        Args:
            cancel_at: share of its rows after which it is cancelled; None for never.
            on_look: hears of every look.
        """
        while not self._give_up():
            seen = self.look(job_id)
            on_look(seen)
            if seen.ended:
                return seen
            if cancel_at is not None and seen.known and seen.done >= cancel_at * seen.total:
                cancel_at = None if self._cancel(job_id) else cancel_at
            time.sleep(LOOK_EVERY)
        return None

    def look(self, job_id: str) -> Seen:
        """Ask once, and note what was answered."""
        asked = self._history.now()
        try:
            job = self._client.job(job_id)
        except TasadorError as problem:
            seen = Seen(at=self._history.now(), asked=asked, job=job_id, status=_status(problem))
        else:
            seen = Seen(
                at=self._history.now(),
                asked=asked,
                job=job_id,
                state=job.state,
                total=job.rows.total,
                done=job.rows.done,
                failed=job.rows.failed,
                version=job.model_version,
            )
        self._history.note(seen)
        return seen

    def read(self, ended: Seen, table: Table) -> None:
        """Fetch results, manifest and dead letters, and hold the results against what they should be."""
        deadline = time.monotonic() + READ_PATIENCE
        while True:
            try:
                found = self._records(ended.job)
                said = (self._manifest(ended.job), self._letters(ended.job))
                break
            except (TasadorError, pa.ArrowInvalid) as problem:
                if time.monotonic() > deadline:
                    self._history.note(Unread(at=self._history.now(), job=ended.job, why=str(problem)))
                    return
                time.sleep(LOOK_EVERY)
        expected = self._oracle.expected(ended.version, table.places)
        compared = outcome(found, len(table.places), expected, prefix=ended.state != "completed")
        self._history.note(*said, Read(at=self._history.now(), job=ended.job, outcome=compared))

    def _records(self, job_id: str) -> Records:
        body = io.BytesIO()
        self._client.save_results(job_id, body, format="arrows")
        body.seek(0)
        with pa.ipc.open_stream(body) as stream:
            return Records.of_table(stream.read_all(), self._oracle.number)

    def _manifest(self, job_id: str) -> Manifest:
        found = self._client.manifest(job_id)
        return Manifest(
            at=self._history.now(),
            job=job_id,
            version=found.model_version,
            digest=found.model_digest,
            parts=len(found.parts),
            rows=sum(part.rows for part in found.parts),
            failed=sum(part.failed for part in found.parts),
        )

    def _letters(self, job_id: str) -> Letters:
        page = self._client.dead_letters(job=job_id, limit=200)
        return Letters(at=self._history.now(), job=job_id, rows=sum(letter.rows for letter in page.dead_letters))

    def _cancel(self, job_id: str) -> bool:
        try:
            self._client.cancel(job_id)
        except TasadorError:
            return False
        return True


def _status(error: TasadorError) -> int:
    """Return the status of an answer, 0 for none."""
    return error.status if isinstance(error, Problem) else 0
