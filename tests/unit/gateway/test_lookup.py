"""How often a job is looked at while somebody waits for its end."""

from datetime import timedelta

import pytest

from services.gateway.jobs.lookup import POLL_NEAR_END, until_next_look
from shared.clock import utc_now
from shared.jobs import JobStatus
from tests.builders import a_spec


def running(seconds: float, done: int) -> JobStatus:
    """A job of 1,000 rows that has run for so long."""
    status = JobStatus.submitted(a_spec(rows=1000, chunk_rows=100))
    return status.model_copy(update={"done": done, "started_at": utc_now() - timedelta(seconds=seconds)})


def test_nothing_is_expected_of_a_job_without_progress() -> None:
    assert until_next_look(running(9.0, done=0), 0.4) == 0.4


@pytest.mark.parametrize(
    ("done", "expected"),
    [(100, 0.4), (900, 0.4), (970, 0.15), (990, 0.05), (1000, 0.4 / POLL_NEAR_END)],
    ids=["far", "still far", "near", "at its end", "all rows done, the rest may take"],
)
def test_the_nearer_the_end_the_sooner_the_next_look(done: int, expected: float) -> None:
    assert until_next_look(running(10.0 * done / 1000, done), 0.4) == pytest.approx(expected)
