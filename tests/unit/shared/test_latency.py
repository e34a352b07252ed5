import numpy as np
import pytest

from shared.latency import BINS, RELATIVE_ERROR, bins, quantile


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
def test_quantiles_are_within_the_stated_error(q: float) -> None:
    durations = np.random.default_rng(3).lognormal(mean=-9, sigma=1.5, size=20_000)
    counts = np.bincount(bins(durations), minlength=BINS)
    assert quantile(counts, q) == pytest.approx(np.quantile(durations, q, method="inverted_cdf"), rel=RELATIVE_ERROR)


def test_there_is_no_quantile_of_nothing() -> None:
    assert quantile(np.zeros(BINS, np.int64), 0.5) is None


def test_durations_beyond_the_edges_are_still_counted() -> None:
    counts = np.bincount(bins(np.array([0.0, 1e6])), minlength=BINS)
    assert counts[0] == 1
    assert counts[-1] == 1
    assert quantile(counts, 1.0) is not None
