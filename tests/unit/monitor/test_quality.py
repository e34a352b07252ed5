"""Figures from sums equal those from the rows, whatever the grouping, and their intervals hold the truth."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.monitor.quality import COUNTERS, MIN_ROWS, Quality, negative, quality, summarise_quality
from shared.profile import ColumnProfile, merge

REFERENCE = ColumnProfile(
    name="prediction", kind="numeric", edges=(20.0,), counts=(5, 5), nulls=0, n=10, mean=22.0, std=8.0
)
RMSE = 3.0
Values = NDArray[np.float64]


def rows(n: int, seed: int, noise: float = 3.0, bias: float = 0.0) -> tuple[Values, Values]:
    """Return predictions and actual values."""
    rng = np.random.default_rng(seed)
    actual = 22 + 8 * rng.standard_gamma(2.0, n)
    return actual + bias + noise * rng.standard_normal(n), actual


def known(found: Quality) -> tuple[float, float, float, float]:
    assert found.rmse is not None
    assert found.mae is not None
    assert found.r2 is not None
    assert found.bias is not None
    return found.rmse.value, found.mae.value, found.r2.value, found.bias.value


def test_figures_are_those_of_the_rows() -> None:
    predictions, actual = rows(500, seed=1, bias=1.5)
    e = predictions - actual
    expected = (
        np.sqrt((e**2).mean()),
        np.abs(e).mean(),
        1 - (e**2).sum() / ((actual - actual.mean()) ** 2).sum(),
        e.mean(),
    )
    found = quality(summarise_quality(REFERENCE, RMSE, predictions, actual), REFERENCE, RMSE)
    assert found.n == 500
    assert known(found) == pytest.approx(expected, rel=1e-4)


def test_sums_add_up_exactly_and_a_correction_leaves_nothing_behind() -> None:
    predictions, actual = rows(300, seed=2)
    parts = [summarise_quality(REFERENCE, RMSE, predictions[i::7], actual[i::7]) for i in range(7)]
    whole = summarise_quality(REFERENCE, RMSE, predictions, actual)
    assert merge(parts) == whole
    assert tuple(whole) == COUNTERS
    wrong = summarise_quality(REFERENCE, RMSE, predictions[:3], actual[:3] + 1000.0)
    assert merge([whole, wrong, negative(wrong)]) == whole


@pytest.mark.parametrize("figure", ["rmse", "mae", "r2", "bias"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(figure: str) -> None:
    truth = known(quality(summarise_quality(REFERENCE, RMSE, *rows(400_000, seed=3, bias=0.5)), REFERENCE, RMSE))
    value = dict(zip(("rmse", "mae", "r2", "bias"), truth, strict=True))[figure]
    held = 0
    for seed in range(400):
        estimate = getattr(
            quality(summarise_quality(REFERENCE, RMSE, *rows(300, seed=seed, bias=0.5)), REFERENCE, RMSE), figure
        )
        held += estimate.low <= value <= estimate.high
    assert 0.91 <= held / 400 <= 0.985


@pytest.mark.parametrize("noise", [0.8, 0.16, 0.008])
@pytest.mark.parametrize("of_training", [0.3, 1.0, 3.0])
def test_intervals_hold_the_truth_of_models_that_err_little(noise: float, of_training: float) -> None:
    """R² of 0.995 and more; in training they erred as much, less or more."""
    held = 0
    for seed in range(200):
        summary = summarise_quality(REFERENCE, noise * of_training, *rows(300, seed=seed, noise=noise))
        estimate = quality(summary, REFERENCE, noise * of_training).rmse
        assert estimate is not None
        assert estimate.low is not None
        assert estimate.high is not None
        held += estimate.low <= noise <= estimate.high
    assert 0.9 <= held / 200 <= 0.99


def test_few_rows_have_figures_and_no_interval() -> None:
    found = quality(summarise_quality(REFERENCE, RMSE, *rows(MIN_ROWS - 1, seed=4)), REFERENCE, RMSE)
    assert found.rmse is not None
    assert found.rmse.value > 0
    assert (found.rmse.low, found.rmse.high) == (None, None)
    enough = quality(summarise_quality(REFERENCE, RMSE, *rows(MIN_ROWS, seed=4)), REFERENCE, RMSE)
    assert enough.rmse is not None
    assert enough.rmse.low is not None


def test_without_rows_there_are_no_figures() -> None:
    assert quality({}, REFERENCE, RMSE) == Quality(0, None, None, None, None)
    taken_out = summarise_quality(REFERENCE, RMSE, *rows(5, seed=5))
    assert quality(merge([taken_out, negative(taken_out)]), REFERENCE, RMSE).n == 0


def test_equal_actual_values_have_no_r2() -> None:
    found = quality(summarise_quality(REFERENCE, RMSE, np.array([1.0, 2.0]), np.array([5.0, 5.0])), REFERENCE, RMSE)
    assert found.r2 is None
    assert found.bias is not None
    assert found.bias.value == pytest.approx(-3.5)


def test_a_perfect_model_has_an_error_of_zero() -> None:
    actual = rows(50, seed=6)[1]
    found = quality(summarise_quality(REFERENCE, RMSE, actual, actual), REFERENCE, RMSE)
    assert known(found) == pytest.approx((0, 0, 1, 0))
    assert found.r2 is not None
    assert found.r2.high == 1


def test_a_million_wild_values_fill_no_counter() -> None:
    wild = np.full(1_000_000, 1e300)
    summary = summarise_quality(REFERENCE, RMSE, -wild, wild)
    assert all(abs(count) < 2**63 for count in summary.values())
    assert summary["q:e4"] > 0


def test_a_reference_that_did_not_vary_is_measured_in_the_targets_unit() -> None:
    flat = REFERENCE.model_copy(update={"std": 0.0, "mean": None})
    found = quality(summarise_quality(flat, 1.0, np.array([4.0, 6.0]), np.array([5.0, 7.0])), flat, 1.0)
    assert known(found) == pytest.approx((1.0, 1.0, 0.0, -1.0))
