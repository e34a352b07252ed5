"""p-values are exact where they can be, and never too small where nothing has drifted."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy import stats

from services.monitor.distances import Counts
from services.monitor.significance import (
    EXACT_PAIRS,
    adjusted,
    homogeneity,
    ks_p,
    new_categories_p,
    outside_p,
    rate_p,
)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 1), (4, 3), (2, 6), (6, 5)])
def test_the_law_of_values_outside_the_range_equals_counting_all_orders(n: int, m: int) -> None:
    outside = []
    for ranks in combinations(range(n + m), m):  # of the reference
        outside.append(n - (ranks[-1] - ranks[0] + 1 - m))
    for least in range(n + 1):
        orders = sum(number >= least for number in outside)
        assert outside_p(least, n, m) == pytest.approx(orders / comb(n + m, m), rel=1e-9)


def test_a_large_window_has_more_values_outside_and_that_is_no_surprise() -> None:
    assert outside_p(20, 10_000, 500) > 0.5
    assert outside_p(1_000, 10_000, 500) < 1e-9
    assert outside_p(0, 10_000, 500) == 1


def test_a_rate_is_compared_by_fishers_exact_test() -> None:
    for found, n, before, m in [(0, 10, 3, 500), (9, 100, 5, 500), (300, 10_000, 0, 500), (50, 50, 1, 3)]:
        table = [[found, n - found], [before, m - before]]
        less, more = (stats.fisher_exact(table, alternative=side).pvalue for side in ("less", "greater"))
        assert rate_p(found, n, before, m, only_more=True) == pytest.approx(more, rel=1e-9)
        assert rate_p(found, n, before, m) == pytest.approx(min(1, 2 * min(less, more)), rel=1e-9)


def test_the_distance_of_distribution_functions_has_the_p_value_of_scipy() -> None:
    rng = np.random.default_rng(1)
    for m, n in [(500, 100), (499, 1_013), (7, 3), (50, 50), (3_001, 2_000)]:
        a, b = rng.normal(size=m), rng.normal(0.1, 1, n)
        p = ks_p(*_in_bins(a, b, np.sort(np.concatenate((a, b)))))
        assert p == pytest.approx(stats.ks_2samp(a, b).pvalue, rel=1e-9)


@pytest.mark.filterwarnings("error")
def test_samples_that_have_nothing_in_common_take_no_long_computation() -> None:
    assert ks_p(np.array([500, 0]), np.array([0, 20_000])) < 1e-300
    assert ks_p(np.array([1, 0]), np.array([0, 1])) == 1  # of two values one is always the larger
    halves = np.array([250, 250]), np.array([249, 251])
    assert ks_p(*halves) == 1  # scipy warns here, where its exact law exceeds 1 by what it rounds


def test_beyond_many_rows_the_law_is_the_asymptotic_one_and_near_the_exact_one() -> None:
    m, n = 5_000, 2_001
    assert m * n > EXACT_PAIRS
    reference, live = np.array([2_500, 2_500]), np.array([1_105, 896])
    exact = stats.ks_2samp(np.repeat([0, 1], reference), np.repeat([0, 1], live), method="exact").pvalue
    assert 1e-5 < exact < 1e-3
    assert ks_p(reference, live) == pytest.approx(exact, rel=0.04)


def test_of_very_many_rows_it_is_the_limit_which_is_hardly_larger() -> None:
    half = np.array([500_000, 500_000])
    p = ks_p(half, half + np.array([1_000, -1_000]) * 2)
    theirs = stats.kstwo.sf(0.002, 500_000)
    assert 1e-3 < theirs < 0.1
    assert theirs <= p <= 1.04 * theirs


def test_chi2_is_scipys_and_its_p_value_is_confirmed_by_an_exact_one() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        reference, live = rng.multinomial(500, [0.4, 0.3, 0.2, 0.1]), rng.multinomial(300, [0.35, 0.3, 0.2, 0.15])
        found = homogeneity(_known(reference), _known(live))
        assert found is not None
        theirs = stats.chi2_contingency([reference, live], correction=False)
        assert found.chi2 == pytest.approx(theirs.statistic, rel=1e-12)
        assert found.p >= theirs.pvalue * (1 - 1e-12)
        assert found.effect == pytest.approx(np.abs(reference / 500 - live / 300).sum() / 2)


def test_chi2_alone_is_too_sure_where_few_are_expected() -> None:
    reference, live = np.array([4_750, 250]), np.array([85, 15])  # five are expected
    found = homogeneity(_known(reference), _known(live))
    assert found is not None
    assert found.p > 10 * stats.chi2_contingency([reference, live], correction=False).pvalue
    assert found.p == pytest.approx(rate_p(15, 100, 250, 5_000), rel=1e-9)  # of two categories there is one law


def test_rare_and_unknown_categories_are_put_together() -> None:
    reference, live = np.array([400, 90, 4, 3, 3, 0]), np.array([300, 80, 6, 4, 0, 10])
    found = homogeneity(reference, live)
    together = stats.chi2_contingency([[400, 90, 10], [300, 80, 20]], correction=False)
    assert found is not None
    assert found.chi2 == pytest.approx(together.statistic, rel=1e-12)


@pytest.mark.parametrize(
    ("reference", "live"), [([0, 0, 0], [3, 1, 0]), ([9, 0, 0], [4, 0, 0]), ([60, 3, 0], [3, 0, 0])]
)
def test_there_is_no_chi2_where_nothing_can_be_expected_often_enough(reference: list[int], live: list[int]) -> None:
    assert homogeneity(np.array(reference), np.array(live)) is None


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.5])
@pytest.mark.parametrize(("m", "n"), [(500, 100), (500, 2_000)])
def test_categories_without_drift_are_seldom_suspected_however_many_there_are(exponent: float, m: int, n: int) -> None:
    """With 300 of them the reference has singles, and a sixth of a window is new to it."""
    rng = np.random.default_rng(3)
    shares = 1 / np.arange(1, 301) ** exponent
    suspected, draws = np.zeros(2), 400
    for _ in range(draws):
        reference, live = (rng.multinomial(rows, shares / shares.sum()) for rows in (m, n))
        known = reference > 0
        unknown = int(live[~known].sum())
        found = homogeneity(_known(reference[known]), np.append(live[known], unknown))
        p = new_categories_p(unknown, n, int((reference == 1).sum()), m)
        suspected += np.array([found is not None and found.p <= 0.05, p <= 0.05])
    assert (suspected <= stats.binom.isf(1e-6, draws, 0.05)).all()


def test_a_category_that_is_really_new_is_found() -> None:
    assert new_categories_p(60, 1_000, 0, 500) < 1e-6
    assert new_categories_p(300, 1_000, 60, 500) < 1e-3


@pytest.mark.parametrize("m", range(1, 8))
def test_of_a_few_rows_that_are_all_different_the_number_of_new_ones_has_a_p_value(m: int) -> None:
    """An odd number of them, alone in their category each, and a window of which nothing is known."""
    for singles in range(m + 1):
        for n in range(1, 9):
            found = [new_categories_p(unknown, n, singles, m) for unknown in range(n + 1)]
            assert found == sorted(found, reverse=True)
            assert 0 <= found[-1] <= found[0] == 1


def test_adjusted_p_values_keep_a_budget_for_all() -> None:
    assert adjusted([0.001, 0.5, 0.8, 1.0]).tolist() == pytest.approx([0.004, 1.0, 1.0, 1.0])
    assert adjusted([]).tolist() == []


def _in_bins(a: np.ndarray, b: np.ndarray, edges: np.ndarray) -> tuple[Counts, Counts]:
    first, second = (np.bincount(np.searchsorted(edges, values), minlength=len(edges)) for values in (a, b))
    return first, second


def _known(counts: Counts) -> Counts:
    return np.append(counts, 0)
