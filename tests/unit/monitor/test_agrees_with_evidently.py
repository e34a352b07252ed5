"""Twenty cases have the figures that Evidently computed of the rows: `benchmarks/drift/cases.py` wrote them down."""

import json

import numpy as np
import pytest

from benchmarks.drift.cases import CATEGORICAL, FIGURES, NUMERIC, a_categorical_case
from services.monitor.columns import compare
from services.monitor.distances import psi
from tests.unit.monitor.populations import a_case, counted

THEIRS = json.loads(FIGURES.read_text())["figures"]


def test_there_are_twenty() -> None:
    assert len(THEIRS) == len(NUMERIC) + len(CATEGORICAL) == 20


@pytest.mark.parametrize("number", NUMERIC)
def test_a_number_has_the_same_distance_within_the_binning_error_and_no_smaller_p_value(number: int) -> None:
    theirs, found = THEIRS[f"number {number}"], compare(*counted(a_case(number)))
    assert found.figures.wasserstein == pytest.approx(
        theirs["wasserstein"], abs=(found.figures.wasserstein_error or 0) + 1e-4
    )
    (p,) = [test.p for test in found.tests if test.name == "ks"]
    assert p >= 0.96 * theirs["ks"] - 1e-12
    if found.figures.ks_error == 0:
        assert p == pytest.approx(theirs["ks"], rel=0.04, abs=1e-12)


@pytest.mark.parametrize("number", CATEGORICAL)
def test_a_category_has_the_same_index_but_for_half_a_row(number: int) -> None:
    reference, live = a_categorical_case(number)
    names = np.unique(reference)
    counts = [np.array([(side == name).sum() for name in names]) for side in (reference, live)]
    assert psi(*counts) == pytest.approx(THEIRS[f"category {number}"]["psi"], rel=0.02, abs=1e-4)
