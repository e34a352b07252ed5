import math

import pytest

from services.monitor import windows
from services.monitor.windows import HOUR, MINUTE, InvalidWindow, Window, parse_length

NOW = 1_000_000_000 * 60 + 25.0  # 25 s into a minute
MINUTE_NOW = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1h", 3600), ("1.5h", 5400), ("7d", 604_800)]
)
def test_a_length_is_read_as_seconds(text: str, seconds: float) -> None:
    assert parse_length(text, longest=8 * 86_400) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "-5m", "5x", "nan", "inf", "1e3", "h", "5 m m", "١m", "9d", "99999999999", "5m\n6m"]
)
def test_nonsense_is_no_length(text: str) -> None:
    with pytest.raises(InvalidWindow):
        parse_length(text, longest=8 * 86_400)


def test_a_short_window_is_whole_minutes_and_the_current_one() -> None:
    window = windows.last_seconds(300, NOW)
    assert (window.span, window.first, window.last) == (MINUTE, MINUTE_NOW - 5, MINUTE_NOW)
    assert window.seconds == 325
    assert window.start <= NOW - 300


def test_a_long_window_is_whole_hours() -> None:
    window = windows.last_seconds(24 * HOUR, NOW)
    assert window.span == HOUR
    assert NOW - 25 * HOUR < window.start <= NOW - 24 * HOUR


def test_the_window_never_ends_before_it_starts() -> None:
    assert windows.at_most(1, NOW).numbers == range(MINUTE_NOW, MINUTE_NOW + 1)


def test_at_most_an_hour_is_at_most_an_hour() -> None:
    window = windows.at_most(3600, NOW)
    assert NOW - window.start <= 3600
    assert len(window.numbers) == 60


def test_at_most_a_day_is_whole_hours() -> None:
    window = windows.at_most(24 * HOUR, NOW)
    assert window.span == HOUR
    assert len(window.numbers) == 24
    assert 0 <= 24 * HOUR - (NOW - window.start) < HOUR


def test_the_default_window_takes_the_fewest_newest_minutes_with_enough_rows() -> None:
    rows = {MINUTE_NOW: 100, MINUTE_NOW - 1: 400, MINUTE_NOW - 3: 500, MINUTE_NOW - 4: 9999}
    longest = windows.at_most(3600, NOW)
    assert windows.newest(longest, rows, 1000).first == MINUTE_NOW - 3
    assert windows.newest(longest, rows, 500).first == MINUTE_NOW - 1
    assert windows.newest(longest, rows, 100).first == MINUTE_NOW
    assert windows.newest(longest, rows, 100_000) == longest


def test_a_window_that_must_reach_back_does_so_however_many_rows_it_has() -> None:
    rows = {MINUTE_NOW - i: 5000 for i in range(120)}
    assert windows.newest(windows.at_most(7200, NOW), rows, 1000, reaching=600).first == MINUTE_NOW - 10
    hour = windows.newest(windows.at_most(3600, NOW), rows, 1000, reaching=3600)
    assert len(hour.numbers) == 60
    assert (
        windows.newest(windows.at_most(7200, NOW), {MINUTE_NOW - 30: 1000}, 1000, reaching=600).first == MINUTE_NOW - 30
    )


@pytest.mark.parametrize("every", [300, HOUR, 4 * HOUR, 24 * HOUR])
@pytest.mark.parametrize("late", [0.0, 0.3, 59.0])
def test_what_reaches_back_to_the_evaluation_before_leaves_nothing_between(every: int, late: float) -> None:
    before = NOW // every * every
    now = before + every + late
    for seconds in (60, HOUR, 24 * HOUR):
        longest = windows.longest_of(seconds, every + late, now)
        window = windows.newest(longest, {n: 5000 for n in longest.numbers}, 1000, reaching=every + late)
        assert window.start <= before
        assert before - window.start < HOUR


def test_minutes_outlive_the_longest_window_that_reads_them() -> None:
    kept = windows.lifetimes(keep_days=8)
    oldest_minute = windows.last_seconds(windows.MINUTES_KEPT, NOW).start
    assert oldest_minute + kept[MINUTE] > NOW
    assert windows.last_seconds(8 * 86_400, NOW).start + kept[HOUR] > NOW


def test_times_that_cannot_be_are_moved_to_the_nearest_that_can() -> None:
    day = 86_400
    assert windows.clamped([NOW + 500, NOW - 1, 0.0, math.nan, math.inf], NOW, keep_days=8) == [
        NOW,
        NOW - 1,
        NOW - 8 * day,
        NOW,
        NOW,
    ]


def test_a_rate_is_never_divided_by_nothing() -> None:
    assert Window(MINUTE, MINUTE_NOW, MINUTE_NOW, MINUTE_NOW * 60.0).seconds == 1.0
