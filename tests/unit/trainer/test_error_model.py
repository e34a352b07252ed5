"""What is measured of an error model."""

import numpy as np
import pytest

from services.trainer.error_model import measure

ROWS = 4000
WEAR = np.random.default_rng(0).random(ROWS)
SIZE = np.where(WEAR > 0.75, 5.0, 1.0)  # of the errors: 2 on average
ERRORS = SIZE * np.random.default_rng(1).exponential(size=ROWS)
X = np.column_stack([WEAR, np.random.default_rng(2).random(ROWS)])


def test_an_estimate_that_knows_where_errors_are_large_beats_the_mean() -> None:
    figures = measure(X, ERRORS, SIZE, "onnxruntime")
    assert figures.mae == ERRORS.mean()
    assert figures.estimated == SIZE.mean()
    assert figures.off_shifted < 0.15 * figures.off_constant
    assert 0 < figures.off_random < 0.15


def test_one_that_knows_nothing_is_off_where_rows_move() -> None:
    figures = measure(X, ERRORS, np.full(ROWS, ERRORS.mean()), "onnxruntime")
    expected = np.sqrt((1**2 + 3**2 + 0 + 0) / 4)  # the outer quarters of wear, and of what does not matter
    assert figures.off_shifted == figures.off_constant == pytest.approx(expected, rel=0.1)


def test_spread_is_that_of_the_errors_around_their_estimate() -> None:
    assert measure(X, ERRORS, SIZE, "onnxruntime").spread == pytest.approx(1.0, rel=0.1)  # exponential: its mean
