"""Distances from counts equal scipy's on the rows, within the error that is stated."""

import math

import numpy as np
import pytest
from scipy import stats

from services.monitor.columns import compare
from services.monitor.distances import mean_shift, psi, psi_groups, total_variation
from services.monitor.significance import NEGLIGIBLE
from shared.profile import ColumnProfile
from tests.unit.monitor.populations import CASES, Case, a_case, column_of, counted

FIXED_POINT = 1e-4  # what sums in fixed point and rounding add to the binning


@pytest.mark.parametrize("part", range(10))
def test_a_thousand_random_cases_equal_scipy_on_the_rows_within_the_stated_error(part: int) -> None:
    for number in range(part, CASES, 10):
        case = a_case(number)
        found = compare(*counted(case))
        tests = {test.name: test for test in found.tests}
        _agrees_on_ks(case, found.figures.ks, found.figures.ks_error, tests["ks"].p)
        _agrees_on_wasserstein(case, found.figures.wasserstein, found.figures.wasserstein_error)
        low, high = case.reference.min(), case.reference.max()
        outside = (case.live < low) | (case.live > high)
        assert found.figures.out_of_range_rate == outside.mean(), case.name


def _agrees_on_ks(case: Case, distance: float | None, error: float | None, p: float) -> None:
    theirs = stats.ks_2samp(case.reference, case.live)
    assert distance is not None, case.name
    assert error is not None, case.name
    assert distance - 1e-12 <= theirs.statistic <= distance + error + 1e-12, case.name
    pairs = round(len(case.reference) * len(case.live) / (len(case.reference) + len(case.live)))
    smallest = stats.kstwo.sf(min(1.0, distance + error), pairs)
    smaller = 0.95 * theirs.pvalue - NEGLIGIBLE
    assert p >= smaller, case.name  # errs towards "nothing has drifted"; the asymptotic law is off by 4 %
    assert theirs.pvalue >= 0.5 * smallest, case.name
    if error == 0:
        assert p == pytest.approx(theirs.pvalue, rel=0.05, abs=NEGLIGIBLE), case.name


def _agrees_on_wasserstein(case: Case, distance: float | None, error: float | None) -> None:
    std = np.std(case.reference)
    if np.ptp(case.reference) == 0:
        assert distance is None, case.name
        return
    assert distance is not None, case.name
    assert error is not None, case.name
    farthest = 1_000 * np.std(case.reference, ddof=1)  # what lies farther out counts as this far
    live = np.clip(case.live, np.mean(case.reference) - farthest, np.mean(case.reference) + farthest)
    theirs = stats.wasserstein_distance(case.reference, live) / std
    assert abs(theirs - distance) <= error + FIXED_POINT, case.name


def test_the_stated_errors_are_small() -> None:
    """Fifty bins: a value that is not repeated is somewhere in 2 % of the reference."""
    rng = np.random.default_rng(0)
    found = compare(*counted(Case("normal", rng.normal(size=2_000), rng.normal(0.2, 1, 2_000)))).figures
    assert found.ks_error is not None
    assert found.ks_error <= 0.025
    assert found.wasserstein_error is not None
    assert found.wasserstein_error <= 0.15


def test_values_that_repeat_have_no_binning_error() -> None:
    rng = np.random.default_rng(1)
    found = compare(
        *counted(Case("dice", rng.integers(1, 7, 500).astype(float), rng.integers(2, 8, 300).astype(float)))
    ).figures
    assert found.ks_error == 0
    assert found.wasserstein_error == pytest.approx(0, abs=1e-12)


def test_how_far_outside_the_range_values_are_counts_exactly() -> None:
    reference = np.array([0.0, 1.0] * 50)
    std = reference.std()
    for far in (2.0, 20.0, -20.0):
        found = compare(*counted(Case("far", reference, np.array([far, 0.0, 1.0])))).figures
        expected = stats.wasserstein_distance(reference, [far, 0.0, 1.0]) / std
        assert found.wasserstein == pytest.approx(expected, abs=1e-5)


def test_where_one_distribution_function_overtakes_the_other_within_a_bin_both_sides_count() -> None:
    column = ColumnProfile(
        name="x", kind="numeric", edges=(0.0, 1.0), outside=True, counts=(0, 10, 0), nulls=0, n=10, mean=0.5, std=0.5
    )
    at_both_ends = {"0:0": 5, "0:sl": -5 << 20, "0:2": 5, "0:sh": 5 << 20}
    found = compare(column, "0", at_both_ends).figures
    assert found.wasserstein == pytest.approx(0.25 * 2 / (0.9**0.5))  # two triangles, half as high and wide as the bin


def test_a_profile_of_the_first_schema_says_nothing_of_a_range() -> None:
    column = ColumnProfile(
        name="x", kind="numeric", edges=(1.0, 2.0), counts=(5, 5, 5), nulls=0, n=15, mean=1.5, std=1.0
    )
    found = compare(column, "0", {"0:0": 1, "0:1": 2, "0:2": 6})
    assert [test.name for test in found.tests] == ["ks"]
    assert (found.figures.wasserstein, found.figures.out_of_range_rate) == (None, None)


def test_bins_are_put_together_to_deciles_for_the_index() -> None:
    column = column_of(np.random.default_rng(2).normal(size=1_000))
    assert len(column.counts) == 52
    grouped = np.bincount(psi_groups(column), weights=column.counts)
    assert grouped.tolist() == [100.0] * 10
    few = column_of(np.array([1.0, 2.0, 2.0, 3.0] * 10))
    assert len(np.unique(psi_groups(few)[1:-1])) == len(few.counts) - 2
    first_schema = column.model_copy(update={"outside": False, "edges": tuple(range(9)), "counts": (3,) * 10})
    assert psi_groups(first_schema).tolist() == list(range(10))


def test_the_index_is_zero_for_equal_shares_symmetric_and_finite_for_disjoint_ones() -> None:
    a, b = np.array([50, 30, 20]), np.array([0, 0, 100])
    assert psi(a, a) == 0
    assert psi(a, b) == psi(b, a)
    assert psi(np.array([100, 0]), np.array([0, 100])) == pytest.approx(10.5, abs=0.1)


def test_a_bin_that_is_empty_on_both_sides_changes_nothing() -> None:
    assert psi(np.array([50, 30, 0]), np.array([10, 90, 0])) == psi(np.array([50, 30]), np.array([10, 90]))


def test_there_is_no_index_without_rows() -> None:
    assert psi(np.array([1, 2]), np.array([0, 0])) is None


def test_the_total_variation_is_the_most_any_set_of_bins_changed() -> None:
    assert total_variation(np.array([50, 50, 0]), np.array([5, 0, 5])) == pytest.approx(0.5)


def test_the_mean_shift_is_infinite_where_the_reference_did_not_vary() -> None:
    assert mean_shift(5.0, 5.0, 0.0) == 0
    assert mean_shift(5.1, 5.0, 0.0) == math.inf
    assert mean_shift(5.1, None, None) is None
    assert mean_shift(7.0, 5.0, 4.0) == 0.5
