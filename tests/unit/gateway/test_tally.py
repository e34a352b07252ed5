"""Counting: sums, moments and quantiles equal those of the values counted."""

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.figures import Figures, summary
from services.gateway.metrics import _buckets
from services.gateway.tally import Durations, Moments, Predictions

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50)


@given(VALUES, VALUES)
def test_moments_are_those_of_all_values_however_they_came(single: list[float], together: list[float]) -> None:
    moments = Moments()
    for value in single:
        moments.add(value)
    moments.add_all(np.array(together))
    everything = single + together
    assert moments.n == len(everything)
    assert moments.mean == pytest.approx(statistics.fmean(everything), abs=1e-6)
    assert moments.std == pytest.approx(statistics.stdev(everything), rel=1e-6, abs=1e-3)


def test_a_batch_counts_by_its_rows() -> None:
    predictions = Predictions()
    predictions.add_rows("batch", "1", np.full(2, 0.2), np.array([1.0, 3.0]))
    predictions.add_rows("batch", "1", np.empty(0), np.empty(0))
    predictions.add("single", "2", 0.2, 5.0)
    found = summary(Figures.of(predictions, 1.0))
    assert found.total_predictions == 3
    assert found.avg_inference_time == pytest.approx(0.2)
    assert found.p50_inference_time == pytest.approx(0.2, rel=0.05)
    assert (found.avg_prediction, found.std_prediction) == (3.0, 2.0)
    assert predictions.rows == {("batch", "1"): 2, ("single", "2"): 1}


def test_before_the_first_prediction_there_is_no_average() -> None:
    found = summary(Figures.of(Predictions(), 1.0))
    assert (found.total_predictions, found.avg_inference_time, found.p99_inference_time, found.avg_prediction) == (
        0,
        None,
        None,
        None,
    )


@given(st.lists(st.floats(1e-7, 1e3), min_size=1))
def test_durations_are_counted_together_as_one_by_one(seconds: list[float]) -> None:
    each, together = Durations(), Durations()
    for one in seconds:
        each.add(one)
    together.add_all(np.array(seconds))
    assert together.counts == each.counts
    assert together.total == pytest.approx(each.total)


def test_the_histogram_has_each_duration_below_its_bound() -> None:
    durations = Durations()
    for seconds in (1e-7, 1e-6, 1.5e-6, 0.001, 1000.0):
        durations.add(seconds)
    buckets, total = _buckets(durations)
    counts = dict(buckets)
    assert (counts["1e-06"], counts["2e-06"], counts["+Inf"]) == (2, 3, 5)
    assert total == pytest.approx(1000.0010026)
