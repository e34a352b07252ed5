from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from shared.jobs import Job, JobStatus, Part, eta_seconds, job_time, new_job_id, overdue, target_window
from tests.builders import a_spec

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_status(**fields: object) -> JobStatus:
    return JobStatus.submitted(a_spec(rows=1000, chunk_rows=100)).model_copy(update=fields)


def test_ids_sort_by_the_time_they_were_made() -> None:
    ids = [new_job_id() for _ in range(1000)]
    assert ids == sorted(set(ids))


def test_an_id_tells_when_it_was_made() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    assert before <= job_time(new_job_id()) <= datetime.now(UTC)


@pytest.mark.parametrize(
    "text", ["", "x", "6e0a2a5e-6c86-4b33-8d8c-1d7c2a4f9c11", "01A205B3-1F29-7000-8636-923B911857C2"]
)
def test_a_malformed_id_is_told_from_a_job_id(text: str) -> None:
    with pytest.raises(ValueError, match=r"job id|badly formed"):
        job_time(text)


def test_a_spec_whose_chunks_do_not_cover_its_rows_is_refused() -> None:
    spec = a_spec(rows=1000, chunk_rows=100)
    with pytest.raises(ValidationError, match="are not 9 chunks"):
        type(spec).model_validate(spec.model_dump() | {"chunks": 9})


def test_the_last_chunk_has_what_is_left() -> None:
    spec = a_spec(rows=250, chunk_rows=100)
    assert [(spec.first_row(i), spec.rows_of(i)) for i in range(3)] == [(0, 100), (100, 100), (200, 50)]


def test_a_status_survives_the_hash_in_redis() -> None:
    status = a_status(ignored_columns=("id", "né"), started_at=NOW, error='a "reason"')
    assert JobStatus.of_hash(status.to_hash()) == status


def test_a_part_survives_json() -> None:
    part = Part(key="jobs/x/parts/0-a.arrow", sha256="00ff", rows=100, failed=3)
    assert Part.model_validate_json(part.model_dump_json()) == part


def test_the_estimate_extrapolates_the_jobs_own_progress() -> None:
    status = a_status(state="running", done=250, started_at=NOW)
    assert eta_seconds(status, NOW + timedelta(seconds=10)) == 30.0


def test_before_the_first_chunk_the_estimate_takes_the_scorers_speed() -> None:
    assert eta_seconds(a_status(), NOW, rows_per_second=100) == 10.0
    assert eta_seconds(a_status(), NOW) is None


def test_an_ended_job_has_no_estimate() -> None:
    assert eta_seconds(a_status(state="cancelled", done=250, started_at=NOW), NOW) is None


def test_clients_see_the_documented_shape() -> None:
    status = a_status(state="running", done=200, failed=3, created_at=NOW)
    assert Job.of(status).to_response() == {
        "id": status.id,
        "state": "running",
        "rows": {"total": 1000, "done": 200, "failed": 3},
        "model_name": "model",
        "model_version": "1",
        "created_at": "2026-01-01T00:00:00Z",
        "started_at": None,
        "finished_at": None,
        "eta_seconds": None,
        "ignored_columns": [],
        "passthrough": [],
        "priority": "normal",
        "deadline": None,
        "error": None,
        "links": {
            "self": f"/jobs/{status.id}",
            "results": f"/jobs/{status.id}/results",
            "errors": f"/jobs/{status.id}/errors",
            "manifest": f"/jobs/{status.id}/manifest",
            "events": f"/jobs/{status.id}/events",
        },
    }


@pytest.mark.parametrize(("scorers", "window"), [(0, 4), (1, 4), (2, 4), (3, 6), (8, 16)])
def test_the_window_grows_with_the_scorers(scorers: int, window: int) -> None:
    assert target_window(scorers) == window


def test_a_job_is_overdue_from_its_deadline_on() -> None:
    deadline = datetime(2030, 1, 31, 18, tzinfo=timezone(timedelta(hours=2)))
    spec = a_spec(deadline=deadline)
    assert overdue(a_spec(), deadline) is None
    assert overdue(spec, deadline - timedelta(microseconds=1)) is None
    for job in (spec, JobStatus.submitted(spec)):
        assert overdue(job, deadline) == "its deadline, 2030-01-31T16:00:00+00:00, passed"
