"""The sums of estimated errors, and what they say."""

import numpy as np
import pytest

from shared.error_estimate import (
    MOST_ROWS,
    ErrorFigures,
    EstimatedError,
    estimated_error,
    evenly_spaced,
    pooled,
    summarise_errors,
)
from shared.profile import merge

FIGURES = ErrorFigures(
    engine="onnxruntime",
    rows=400,
    mae=2.0,
    estimated=2.0,
    spread=0.75,
    off_random=0.1,
    off_shifted=0.0,
    off_constant=0.5,
)


def estimate(*estimates: float, rows: int | None = None, figures: ErrorFigures = FIGURES) -> EstimatedError:
    found = estimated_error(summarise_errors(figures, np.array(estimates), rows or len(estimates)), figures)
    assert found is not None
    return found


def test_the_estimate_is_the_mean_over_the_rows() -> None:
    found = estimate(1.0, 2.5, 4.0)
    assert found.mae == pytest.approx(2.5, rel=1e-5)
    assert (found.n, found.training_mae) == (3, 2.0)


def test_errors_far_smaller_than_the_target_are_as_exact() -> None:
    tiny = FIGURES.model_copy(update={"mae": 2e-9})
    assert estimate(1e-9, 3e-9, figures=tiny).mae == pytest.approx(2e-9, rel=1e-5)


def test_a_sample_speaks_for_all_the_rows_it_was_taken_from() -> None:
    """Otherwise a job of many rows would weigh no more than a few single predictions."""
    job, single = summarise_errors(FIGURES, np.full(1000, 4.0), 99_000), summarise_errors(FIGURES, np.ones(1000), 1000)
    found = estimated_error(merge([job, single]), FIGURES)
    assert found is not None
    assert found.mae == pytest.approx(0.99 * 4 + 0.01 * 1, rel=1e-5)
    assert found.n == 100_000


def test_the_interval_holds_what_labels_would_show() -> None:
    """Errors are normal, of a size that differs from row to row and is estimated exactly."""
    rng = np.random.default_rng(0)
    mean = float(np.sqrt(2 / np.pi))  # of the absolute value of a standard normal variable
    figures = FIGURES.model_copy(update={"spread": float(np.sqrt(1 / mean**2 - 1))})
    held, widths, shown = [], [], []
    for _ in range(1000):
        sizes = rng.choice([0.5, 3.0], 300)
        low, high = estimate(*(sizes * mean), figures=figures).ci
        shown.append(np.abs(sizes * rng.normal(size=300)).mean())
        held.append(low <= shown[-1] <= high)
        widths.append(high - low)
    assert np.mean(held) >= 0.95
    assert np.mean(widths) < 1.2 * 2 * 1.96 * np.std(shown), "and it is not wider than it has to be by much"


def test_the_interval_is_no_narrower_than_the_estimate_was_good_at_training() -> None:
    figures = FIGURES.model_copy(update={"off_shifted": 0.2})
    low, high = estimate(*[2.0] * MOST_ROWS, rows=10_000_000, figures=figures).ci
    assert low < 2.0 - 1.96 * 0.2
    assert high > 2.0 + 1.96 * 0.2


def test_an_interval_does_not_reach_below_zero() -> None:
    low, high = estimate(2.0).ci
    assert low == 0.0
    assert high > 2.0


def test_no_error_is_negative() -> None:
    assert estimate(-3.0, 2.0).mae == pytest.approx(1.0)


@pytest.mark.parametrize("estimates", [[], [1.0, np.nan], [np.inf]])
def test_what_is_no_number_is_not_counted(estimates: list[float]) -> None:
    assert summarise_errors(FIGURES, np.array(estimates), 5) == {}


def test_without_rows_or_figures_there_is_no_estimate() -> None:
    assert estimated_error({"n": 5}, FIGURES) is None
    assert estimated_error({"e:n": 5, "e:s1": 5}, None) is None
    assert pooled([None]) is None


def test_the_largest_chunk_stays_a_possible_count() -> None:
    assert max(summarise_errors(FIGURES, np.full(1000, 1e300), 100_000).values()) < 1 << 53


def test_versions_count_by_their_rows() -> None:
    found = pooled([EstimatedError(1.0, (0.5, 1.5), 300, 2.0), None, EstimatedError(3.0, (1.0, 5.0), 100, 4.0)])
    assert found == EstimatedError(1.5, (0.625, 2.375), 400, 2.5)


def test_a_sample_is_spread_over_all_rows() -> None:
    picked = evenly_spaced(5000)
    assert (len(picked), picked[0], picked[-1]) == (MOST_ROWS, 0, 4999)
    assert set(np.diff(picked).tolist()) <= {4, 5, 6}
    assert evenly_spaced(3).tolist() == [0, 1, 2]
