"""When to try again."""

from datetime import timedelta

from shared.webhooks.schedule import Schedule

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
DAY = Schedule(first=5 * SECOND, give_up=24 * HOUR)


def test_pauses_double_up_to_a_bound_and_are_drawn_at_random() -> None:
    longest = [DAY.pause(tries, SECOND, draw=lambda: 1.0) for tries in (1, 2, 3, 12, 13, 10**9)]
    assert longest == [5 * SECOND, 10 * SECOND, 20 * SECOND, 5 * 2**11 * SECOND, 4 * HOUR, 4 * HOUR]
    assert DAY.pause(4, SECOND, draw=lambda: 0.25) == 10 * SECOND
    assert DAY.pause(4, SECOND, draw=lambda: 0.0) == timedelta()
    assert len({DAY.pause(9, SECOND) for _ in range(20)}) == 20


def test_a_receiver_is_given_the_time_it_asks_for_within_bounds() -> None:
    assert DAY.pause(1, SECOND, 60 * SECOND, draw=lambda: 1.0) == 60 * SECOND
    assert DAY.pause(5, SECOND, SECOND, draw=lambda: 1.0) == 80 * SECOND
    assert DAY.pause(1, SECOND, timedelta(days=400)) == 4 * HOUR


def test_the_last_attempt_is_at_the_end_and_then_it_is_given_up() -> None:
    assert DAY.pause(20, 23.5 * HOUR, 4 * HOUR) == 0.5 * HOUR
    assert DAY.pause(20, 24 * HOUR) is None
    assert DAY.pause(1, 25 * HOUR, SECOND) is None


def test_a_receiver_that_is_always_away_is_asked_some_dozens_of_times() -> None:
    elapsed, tries = timedelta(), 0
    while True:
        tries += 1
        pause = DAY.pause(tries, elapsed, draw=lambda: 0.5)
        if pause is None:
            break
        elapsed += pause
    assert elapsed == 24 * HOUR
    assert 15 < tries < 40
