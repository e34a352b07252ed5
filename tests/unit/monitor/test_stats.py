import numpy as np
import pytest

from services.monitor.fold import fold_predictions
from services.monitor.stats import Moments, figures, pooled
from shared import latency
from shared.profile import merge
from tests.unit.monitor.builders import a_profile, an_event, some_rows


def test_figures_equal_the_direct_computation_on_rows() -> None:
    profile, (x, predictions) = a_profile(), some_rows(500)
    seconds = np.random.default_rng(0).lognormal(-9, 1, 500)
    event = an_event(x, predictions.tolist(), latency=seconds.tolist(), mode=["single", "batch"] * 250)
    summary = merge(fold_predictions(event, x, profile, event.time[0], keep_days=8).values())
    found = figures([(summary, profile)], seconds=250.0)
    assert found.total_predictions == 500
    assert found.by_mode == {"single": 250, "batch": 250, "job": 0}
    assert found.throughput == 2.0
    assert found.latency.avg == pytest.approx(seconds.mean(), rel=1e-4)
    assert found.latency.p95 == pytest.approx(
        np.quantile(seconds, 0.95, method="inverted_cdf"), rel=latency.RELATIVE_ERROR
    )
    assert found.latency_by_mode["single"].avg == pytest.approx(seconds[::2].mean(), rel=1e-4)
    assert found.avg_prediction == pytest.approx(predictions.mean(), abs=1e-4)
    assert found.std_prediction == pytest.approx(predictions.std(ddof=1), rel=1e-3)


def test_rates_are_of_each_mode() -> None:
    counters = {"rows:single": 30, "failed:single": 10, "rows:job": 60}
    found = figures([(counters, None)], seconds=30.0)
    assert (found.failed_rows, found.error_rate) == (10, 0.1)
    assert found.failed_by_mode == {"single": 10, "batch": 0, "job": 0}
    assert found.error_rate_by_mode == {"single": 0.25, "batch": None, "job": 0.0}
    assert found.throughput_by_mode == {"single": 1.0, "batch": 0.0, "job": 2.0}
    assert figures([(counters, None)], seconds=None).throughput_by_mode["job"] is None


def test_versions_with_other_profiles_are_pooled_exactly() -> None:
    values = np.random.default_rng(0).normal(5, 2, 100)
    parts = [values[:30], values[30:31], values[31:]]
    moments = [Moments(len(p), float(p.mean()), float(p.std(ddof=1)) if len(p) > 1 else 0.0) for p in parts]
    together = pooled([*moments, None, Moments(0, 9.0, 9.0)])
    assert together is not None
    assert together.n == 100
    assert together.mean == pytest.approx(values.mean())
    assert together.std == pytest.approx(values.std(ddof=1))


def test_nothing_is_nothing_and_not_zero() -> None:
    found = figures([], seconds=60.0)
    assert (found.total_predictions, found.throughput) == (0, 0.0)
    assert (found.latency.avg, found.latency.p99, found.avg_prediction, found.std_prediction) == (None,) * 4


def test_a_version_that_cannot_be_read_still_counts_but_has_no_moments() -> None:
    summary = merge(fold_predictions(an_event(), None, None, 1e9, keep_days=8).values())
    found = figures([(summary, None)], seconds=None)
    assert (found.total_predictions, found.avg_prediction, found.throughput) == (3, None, None)
