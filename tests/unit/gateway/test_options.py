"""What a caller may say of a job beside its table."""

from datetime import UTC, datetime, time, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from services.gateway.jobs.options import JobOptions
from services.gateway.problems import Problem

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = (datetime.now(UTC) + timedelta(days=30)).date()


def options(**fields: Any) -> JobOptions:
    return JobOptions.model_validate(fields)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5s", 1.5), ("15m", 900), ("2h", 7200), ("1d", 86_400)]
)
def test_a_deadline_may_be_a_span_from_the_acceptance(text: str, seconds: float) -> None:
    assert options(deadline=text).deadline_at(NOW) == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("T10:00:00Z", UTC),
        ("t10:00:00.000z", UTC),
        (" 10:00:00+00:00", UTC),
        ("T10:00:00-02:30", timezone(-timedelta(hours=2, minutes=30))),
        ("T10:00:00 02:00", timezone(timedelta(hours=2))),  # the plus was not encoded
    ],
)
def test_a_deadline_may_be_a_moment(text: str, zone: timezone) -> None:
    assert options(deadline=f"{DAY}{text}").deadline_at(NOW) == datetime.combine(DAY, time(10), zone)


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "0", "0s", "-5m", "5w", "1e3", "400d", "999999999d", "٣h"),
        *(f"{DAY}T10:00:00", str(DAY), f"{DAY.year}-02-30T10:00:00Z", f"{DAY.year + 5}-01-01T10:00:00Z"),
        *("2020-01-01T00:00:00Z", f"{DAY}T10:00:00+99:00", "10000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
    ],
)
def test_other_deadlines_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        options(deadline=text)


def test_a_deadline_that_passes_during_the_upload_is_refused_after_it() -> None:
    given = options(deadline=f"{DAY}T10:00:00Z")
    with pytest.raises(Problem, match="passed while"):
        given.deadline_at(datetime.combine(DAY, time(10, 0, 1), UTC))


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("id,name", ("id", "name")),
        (["id", "name"], ("id", "name")),
        ('"a,b",c', ("a,b", "c")),
        ("id, name", ("id", "name")),
        ("", ()),
    ],
)
def test_columns_that_pass_through_are_separated_by_commas(value: Any, names: tuple[str, ...]) -> None:
    assert options(passthrough=value).passthrough == names


@pytest.mark.parametrize(
    "value",
    ["id,id", "prediction", "index", "error_code", "id,,name", "id\n,name", '"id', ",".join("abc" * 50)],
)
def test_other_columns_are_refused(value: str) -> None:
    with pytest.raises(ValidationError):
        options(passthrough=value)


def test_a_name_that_is_no_option_is_refused() -> None:
    with pytest.raises(ValidationError):
        options(dedline="90s")
    with pytest.raises(ValidationError):
        options(priority="urgent")


def test_a_repeat_has_the_same_options_as_they_were_given() -> None:
    assert options(deadline="90s").fingerprint() == options(deadline="90s", priority="normal").fingerprint()
    different = [options(), options(deadline="90"), options(version="1"), options(passthrough="a,b")]
    assert len({given.fingerprint() for given in [*different, options(passthrough="b,a")]}) == 5
