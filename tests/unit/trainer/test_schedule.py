from datetime import UTC, datetime, timedelta, timezone

import pytest

from services.trainer.schedule import latest

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)  # a Wednesday


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 12 * * *", NOON),
        ("1 12 * * *", NOON - timedelta(minutes=23 * 60 + 59)),
        ("*/15 * * * *", NOON),
        ("0 3 * * MON", datetime(2026, 3, 2, 3, tzinfo=UTC)),
    ],
)
def test_the_latest_time_is_the_one_that_is_now_or_was_last(expression: str, expected: datetime) -> None:
    assert latest(expression, NOON) == expected
    assert latest(expression, NOON + timedelta(seconds=59.9)) == expected


def test_it_is_in_utc() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9)))

    assert latest("0 12 * * *", elsewhere) == NOON
