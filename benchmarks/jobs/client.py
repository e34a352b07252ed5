"""A job as its user sees it: from a file on disk to results on disk."""

import time
from dataclasses import dataclass
from pathlib import Path

from tasador.client import Client
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
        accepted = time.perf_counter()
        job = client.wait(job.id)
        scored = time.perf_counter()
        assert (job.state, job.rows.failed) == ("completed", 0), job
        client.save_results(job.id, target)
        saved = time.perf_counter()
    return Taken(accepted - start, scored - accepted, saved - scored)
