from collections import Counter
from typing import Any

import numpy as np
import pytest

from services.trainer import paired
from services.trainer.paired import compare

ROWS = 100


def errors(seed: int, rows: int = ROWS, challenger: float = 1.0) -> tuple[Any, Any, Any]:
    """Actual values and predictions of two models whose errors go together, as those of two models of one table do."""
    rng = np.random.default_rng(seed)
    actual, common = rng.normal(size=rows), rng.standard_t(4, rows)
    new, old = (common + 0.7 * rng.standard_t(4, rows) for _ in range(2))
    return actual, actual + challenger * new, actual + old


@pytest.mark.parametrize("rows", [20, 100])
def test_of_two_that_are_equally_good_hardly_any_is_called_better(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "RESAMPLES", 1000)
    verdicts = Counter(compare(*errors(seed, rows), "rmse").verdict for seed in range(400))

    assert verdicts["better"] <= 0.06 * 400  # nominal 2.5 %; the errors have heavy tails
    assert verdicts["worse"] <= 0.06 * 400


@pytest.mark.parametrize("copies", [np.full(60, 5), np.array([300] + 59 * [1])])
def test_copies_of_a_row_make_nobody_surer(copies: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "RESAMPLES", 1000)
    row = np.repeat(np.arange(60), copies)
    found = []
    for seed in range(200):
        actual, new, old = (each[row] for each in errors(seed, 60))
        found.append(compare(actual, new, old, "rmse", np.random.default_rng(seed).permutation(60)[row]))

    assert Counter(pair.verdict for pair in found)["better"] <= 0.06 * 200
    assert {pair.rows for pair in found} == {int(copies.sum())}


@pytest.mark.parametrize("metric", ["rmse", "mae"])
def test_one_that_errs_less_is_better_and_the_other_way_round_worse(metric: Any) -> None:
    actual, new, old = errors(0, challenger=0.7)

    found, other = compare(actual, new, old, metric), compare(actual, old, new, metric)
    assert (found.verdict, other.verdict) == ("better", "worse")
    assert found.low < found.difference < found.high < 0
    assert found.challenger - found.champion == pytest.approx(found.difference)
    assert other.difference == -found.difference


def test_the_errors_are_those_of_the_metric() -> None:
    actual = np.zeros(4)
    new, old = np.array([1.0, -1, 1, 3]), np.array([2.0, 2, -2, 2])

    assert compare(actual, new, old, "mae").challenger == 1.5
    assert compare(actual, new, old, "rmse").challenger == pytest.approx(np.sqrt(3))
    assert compare(actual, new, old, "rmse").champion == 2


def test_equal_predictions_are_equal_and_undecided() -> None:
    actual, new, _ = errors(0)

    found = compare(actual, new, new.copy(), "rmse")
    assert found.equal
    assert (found.verdict, found.low, found.high) == ("undecided", 0, 0)


def test_many_rows_in_groups_say_what_they_say_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = errors(3, rows=3000, challenger=0.99)
    grouped = compare(*drawn, "rmse")
    monkeypatch.setattr(paired, "MAX_GROUPS", 3000)
    single = compare(*drawn, "rmse")

    assert grouped.difference == single.difference
    assert grouped.high - grouped.low == pytest.approx(single.high - single.low, rel=0.15)


def test_the_same_rows_give_the_same_figures() -> None:
    assert compare(*errors(1), "rmse") == compare(*errors(1), "rmse")
