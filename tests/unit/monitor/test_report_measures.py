import numpy as np
import pytest

from services.monitor.drift import ColumnDrift, Limits
from services.monitor.report.measures import facts, of_what_it_takes, state_of
from shared.profile import Profile, Summary, summarise
from tests.unit.monitor.builders import a_profile, some_rows

LIMITS = Limits()


def of(profile: Profile, summary: Summary, name: str) -> float | None:
    (place,) = [i for i, column in enumerate(profile.features) if column.name == name]
    return of_what_it_takes(profile.features[place], str(place), summary, LIMITS)


def counted(profile: Profile, n: int, *, seed: int = 3, shift: float = 0.0) -> Summary:
    return summarise(profile, *some_rows(n, seed=seed, shift=shift))


@pytest.mark.parametrize("n", [20, 200, 2000])
@pytest.mark.parametrize("name", ["size", "grade", "time"])
def test_rows_like_the_reference_are_not_too_far_however_few(n: int, name: str) -> None:
    profile = a_profile(5000)
    found = [of(profile, counted(profile, n, seed=seed), name) for seed in range(20)]
    assert all(value is not None and value < 1 for value in found)


def test_shifted_rows_are_too_far_and_others_are_not() -> None:
    profile = a_profile(5000)
    summary = counted(profile, 500, shift=3.0)
    shifted, other = of(profile, summary, "size"), of(profile, summary, "grade")
    assert shifted is not None
    assert other is not None
    assert shifted > 2
    assert other < 1


def test_of_very_few_rows_nothing_can_be_said() -> None:
    profile = a_profile()
    assert of(profile, counted(profile, 2), "time") is None
    assert of(profile, {}, "size") is None


def test_rows_without_any_value_are_too_far() -> None:
    profile = a_profile()
    x, predictions = some_rows(300)
    x[:, 0] = np.nan
    found = of(profile, summarise(profile, x, predictions), "size")
    assert found is not None
    assert found > 1


def test_suspect_is_between_clear_and_drifted() -> None:
    columns = [ColumnDrift(drifted=False), ColumnDrift(drifted=False, suspect=True), ColumnDrift(True, suspect=True)]
    assert [state_of(column) for column in columns] == ["clear", "suspect", "drifted"]


def test_what_is_said_begins_with_how_large_and_how_sure() -> None:
    said = facts(ColumnDrift(True, kind="categorical", effect=0.3, p_value=1e-9, psi=0.4, unknown_rate=0.02))
    assert said == (("effect", "0.3"), ("p", "1.00e-09"), ("PSI", "0.4"), ("unknown", "2 %"))
