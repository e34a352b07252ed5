"""The schedule is the clock's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.monitor.evaluations import is_due, period


@pytest.mark.parametrize(
    ("now", "every", "start"), [(7205.5, 3600, 7200), (7200, 3600, 7200), (7199.9, 3600, 3600), (10.0, 0.25, 10.0)]
)
def test_a_period_begins_at_a_full_multiple(now: float, every: float, start: float) -> None:
    assert period(now, every) == start


@given(st.floats(1.5e9, 2.5e9), st.floats(0, 1e6), st.sampled_from((0.2, 60.0, 3600.0, 86_400.0)))
def test_periods_do_not_go_back(now: float, later: float, every: float) -> None:
    assert period(now, every) <= period(now + later, every)
    assert period(now, every) <= now


def test_a_period_is_due_once_and_again_after_a_clock_that_was_wrong() -> None:
    assert is_due(7200, 3600, 3600)
    assert is_due(7200, 0, 3600)
    assert not is_due(7200, 7200, 3600)
    assert not is_due(7200, 10_800, 3600)  # by a clock that is a little ahead
    assert is_due(7200, 14_400, 3600)
