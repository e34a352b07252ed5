"""How often a job is looked at while somebody waits for its end."""

from datetime import timedelta
from itertools import pairwise

import pytest

from services.gateway.jobs.lookup import Looks
from shared.clock import utc_now
from shared.jobs import JobStatus
from tests.builders import a_spec


def running(seconds: float, done: int) -> JobStatus:
    """A job of 1,000 rows that has run for so long."""
    status = JobStatus.submitted(a_spec(rows=1000, chunk_rows=100))
    return status.model_copy(update={"done": done, "started_at": utc_now() - timedelta(seconds=seconds)})


def looks_within(seconds: float, status: JobStatus) -> list[float]:
    """Return the times of the looks, from the first on."""
    looks, at = Looks(), [0.0]
    while at[-1] < seconds:
        at.append(at[-1] + looks.until_next(status))
    return at


@pytest.mark.parametrize(
    "done", [0, 10, 1000], ids=["of which nothing is known", "far from its end", "near it, for long"]
)
def test_an_end_is_told_late_by_a_tenth_of_the_wait_at_most(done: int) -> None:
    looks = list(pairwise(looks_within(20, running(900.0, done))))
    assert all(after - before < 0.0501 + 0.1 * before for before, after in looks)
    assert max(after - before for before, after in looks) == pytest.approx(0.5)


def test_near_its_end_a_job_is_looked_at_more_often() -> None:
    looks = Looks()
    for _ in range(50):
        looks.until_next(running(900.0, 10))  # the pause has its full length
    assert looks.until_next(running(9.7, 970)) == pytest.approx(0.15)
    assert looks.until_next(running(9.9, 990)) == pytest.approx(0.0625)
    assert looks.until_next(running(10.0, 1000)) == pytest.approx(0.0625)


def test_an_end_that_does_not_come_is_not_waited_for_in_haste_for_ever() -> None:
    expected, usual = looks_within(10, running(10.0, 1000)), looks_within(10, running(900.0, 10))
    assert len(expected) <= len(usual) + 12
