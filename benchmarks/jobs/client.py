"""A job as its user sees it: from a file on disk to results on disk."""

import time
from dataclasses import dataclass
from pathlib import Path

from tasador.client import Client, Job
from tests.e2e.stack import LocalStack


@dataclass(frozen=True)
class Taken:
    """Seconds of a job: until it is accepted, until it is scored, until its results are on disk."""

    accepted: float
    scored: float
    saved: float

    @property
    def total(self) -> float:
        return self.accepted + self.scored + self.saved


def run_job(stack: LocalStack, source: Path, target: Path) -> Taken:
    with Client(stack.described["gateway_url"], timeout=600) as client:
        start = time.perf_counter()
        job = client.submit(source)
        accepted = scored = time.perf_counter()

        def looked(_: Job) -> None:
            nonlocal scored
            scored = time.perf_counter()  # at the last look it has ended

        job = client.wait(job.id, on_progress=looked, save_to=target)
        saved = time.perf_counter()
        assert (job.state, job.rows.failed) == ("completed", 0), job
    return Taken(accepted - start, scored - accepted, saved - scored)
