from dataclasses import replace

import numpy as np
import pytest

from benchmarks.drift.evidently import PACKAGE
from benchmarks.drift.ours import BUDGETS, TESTS, Setup, found, part_of_false_alarms
from benchmarks.drift.population import CATEGORY, MOSTLY_ZERO, NULLS, SHIFTED, SKEWED, draw
from benchmarks.drift.sections import FOUND_AT, least, rate
from benchmarks.rivals.environments import LOCKS


def test_the_population_has_what_makes_drift_hard() -> None:
    x = draw(np.random.default_rng(0), 20_000, 13).x
    assert np.corrcoef(x[:, SHIFTED], np.log(x[:, SKEWED]))[0, 1] == pytest.approx(0.49, abs=0.03)
    assert (x[:, CATEGORY] == 0).mean() == pytest.approx(0.4, abs=0.02)
    assert np.nanmean(x[:, MOSTLY_ZERO] == 0) > 0.6
    for position, share in NULLS.items():
        if position < 13:
            assert np.isnan(x[:, position]).mean() == pytest.approx(share, abs=0.01)


def test_rows_are_the_same_each_time_and_a_shift_is_in_standard_deviations() -> None:
    one, again, moved = (draw(np.random.default_rng(1), 5_000, 5, shift) for shift in (0.0, 0.0, 0.5))
    assert np.array_equal(one.x, again.x, equal_nan=True)
    assert (moved.x[:, SHIFTED] - one.x[:, SHIFTED]).mean() / one.x[:, SHIFTED].std() == pytest.approx(0.5, abs=0.02)


def test_alarms_are_counted_by_cell_and_a_verdict_needs_a_test() -> None:
    setup = Setup((60, 200), (50, 100), (5, 6))
    alarms = part_of_false_alarms((setup, 0, 0, 8))
    assert all(cell.reference in setup.references and cell.window in setup.windows for cell in alarms)
    assert all(cell.features in setup.features and cell.budget in BUDGETS for cell in alarms)
    for cell, count in alarms.items():
        assert count <= alarms[replace(cell, what=TESTS)]


def test_a_large_shift_is_found_in_a_few_rows() -> None:
    assert found(Setup((200,), (10, 100), (5,)), shift=3.0, draws=4, seed=0)[200, 100] == 1


def test_it_is_found_from_where_it_stays_found() -> None:
    shares = dict.fromkeys(FOUND_AT, 1.0) | {FOUND_AT[0]: 0.95, FOUND_AT[1]: 0.85}
    assert least(shares) == str(FOUND_AT[2])
    assert least(dict.fromkeys(FOUND_AT, 0.5)) == "more than 1,000"


def test_a_rate_has_its_confidence_interval() -> None:
    assert rate(0, 10_000) == "0.00% (0.00%–0.04%)"


def test_evidently_is_pinned_with_hashes() -> None:
    lock = (LOCKS / f"{PACKAGE}.txt").read_text()
    assert f"\n{PACKAGE}==" in f"\n{lock}"
    assert "://" not in lock
