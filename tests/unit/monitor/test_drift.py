"""Drift from counters equals drift computed directly from the rows."""

import math
from itertools import pairwise

import numpy as np
import pytest

from services.monitor.drift import SMOOTHING, Limits, column_drift, evaluate, mean_shift, psi
from shared.profile import build_profile, merge, summarise
from tests.unit.monitor.builders import Rows, a_profile, a_signature, some_rows

LIMITS = Limits()


def _psi_of_values(reference: Rows, live: Rows, edges: tuple[float, ...]) -> float:
    """The textbook index over raw values, nulls as a bin of their own."""
    shares = []
    for values in (reference, live):
        present = values[~np.isnan(values)]
        inner = [float(((present > low) & (present <= high)).sum()) for low, high in _intervals(edges)]
        shares.append([*inner, float(np.isnan(values).sum())])
    used = [i for i in range(len(shares[0])) if shares[0][i] + shares[1][i] > 0]
    p, q = ([s[i] + SMOOTHING for i in used] for s in shares)
    pairs = [(a / sum(p), b / sum(q)) for a, b in zip(p, q, strict=True)]
    return sum((b - a) * math.log(b / a) for a, b in pairs)


def _intervals(edges: tuple[float, ...]) -> list[tuple[float, float]]:
    return list(pairwise([-math.inf, *edges, math.inf]))


@pytest.mark.parametrize("shift", [0.0, 0.5, 3.0, -8.0])
def test_numbers_equal_the_direct_computation_on_rows(shift: float) -> None:
    reference, reference_predictions = some_rows(500, seed=1)
    live, predictions = some_rows(700, seed=2, shift=shift)
    profile = build_profile(a_signature(), reference, reference_predictions)
    features, prediction = evaluate(profile, summarise(profile, live, predictions), LIMITS)

    size, raw = features["size"], live[:, 0]
    assert size.psi == pytest.approx(_psi_of_values(reference[:, 0], raw, profile.features[0].edges), rel=1e-12)
    expected = abs(np.nanmean(raw) - np.nanmean(reference[:, 0])) / np.nanstd(reference[:, 0], ddof=1)
    assert size.mean_shift == pytest.approx(expected, abs=1e-5)
    assert size.mean == pytest.approx(np.nanmean(raw), abs=1e-4)
    assert size.std == pytest.approx(np.nanstd(raw, ddof=1), rel=1e-3)
    assert size.null_rate == np.isnan(raw).mean()
    assert prediction.psi == pytest.approx(
        _psi_of_values(reference_predictions, predictions, profile.prediction.edges), rel=1e-12
    )


def test_categories_count_unknown_ones_and_nulls_as_bins_of_their_own() -> None:
    reference, reference_predictions = some_rows(500, seed=1)
    live, predictions = some_rows(700, seed=2)
    profile = build_profile(a_signature(), reference, reference_predictions)
    grade = evaluate(profile, summarise(profile, live, predictions), LIMITS)[0]["grade"]

    def counts(column: Rows) -> list[int]:
        return [int((column == code).sum()) for code in (0, 1, 2, -1)] + [int(np.isnan(column).sum())]

    p, q = (np.array(counts(rows[:, 1])) + SMOOTHING for rows in (reference, live))
    p, q = p / p.sum(), q / q.sum()
    assert grade.psi == pytest.approx(float(((q - p) * np.log(q / p)).sum()), rel=1e-12)
    assert grade.unknown_rate == (live[:, 1] == -1).mean()
    assert (grade.mean, grade.mean_shift, grade.std) == (None, None, None)


def test_the_index_is_zero_for_equal_shares_symmetric_and_finite_for_disjoint_ones() -> None:
    a, b = np.array([50, 30, 20]), np.array([0, 0, 100])
    assert psi(a, a) == 0
    assert psi(a, b) == psi(b, a)
    assert psi(np.array([100, 0]), np.array([0, 100])) == pytest.approx(10.5, abs=0.1)


def test_a_bin_that_is_empty_on_both_sides_changes_nothing() -> None:
    assert psi(np.array([50, 30, 0]), np.array([10, 90, 0])) == psi(np.array([50, 30]), np.array([10, 90]))


def test_there_is_no_index_without_rows() -> None:
    assert psi(np.array([1, 2]), np.array([0, 0])) is None


def test_no_drift_stays_below_the_limits_and_a_real_one_passes_both() -> None:
    profile = a_profile()
    same, _ = evaluate(profile, summarise(profile, *some_rows(1000, seed=3)), LIMITS)
    moved, prediction = evaluate(profile, summarise(profile, *some_rows(1000, seed=3, shift=9)), LIMITS)
    assert not any(column.drifted for column in same.values())
    assert moved["size"].reasons == ["mean_shift", "psi"]
    assert not moved["grade"].drifted
    assert prediction.drifted


def test_few_rows_are_judged_by_their_mean_alone() -> None:
    profile = a_profile()
    x, predictions = some_rows(LIMITS.psi_min_rows - 1, seed=3, shift=4)
    size = evaluate(profile, summarise(profile, x, predictions), LIMITS)[0]["size"]
    assert size.psi is not None
    assert size.psi > LIMITS.psi
    assert not size.drifted
    x, predictions = some_rows(LIMITS.psi_min_rows, seed=3, shift=4)
    assert evaluate(profile, summarise(profile, x, predictions), LIMITS)[0]["size"].reasons == ["psi"]


def test_nothing_has_drifted_without_rows() -> None:
    profile = a_profile()
    features, prediction = evaluate(profile, {}, LIMITS)
    assert not any(column.drifted for column in [*features.values(), prediction])
    assert features["size"].n == 0
    assert features["size"].mean_shift is None


def test_a_feature_that_did_not_vary_drifts_with_any_other_value() -> None:
    assert mean_shift(5.0, 5.0, 0.0) == 0
    assert mean_shift(5.1, 5.0, 0.0) == math.inf
    assert mean_shift(5.1, None, None) is None
    profile = a_profile()
    constant = profile.features[2].model_copy(update={"mean": 5.0, "std": 0.0, "counts": (10,), "edges": (), "n": 10})
    found = column_drift(constant, "2", {"n": 3, "2:0": 3, "2:s1": 3 << 20}, LIMITS)
    assert found.drifted
    assert found.mean_shift is None  # infinity is not JSON


def test_windows_add_up_exactly_whatever_the_grouping() -> None:
    profile = a_profile()
    x, predictions = some_rows(900, seed=5, shift=2)
    parts = [summarise(profile, x[i::7], predictions[i::7]) for i in range(7)]
    whole = evaluate(profile, merge(parts), LIMITS)
    assert whole == evaluate(profile, merge([merge(parts[:3]), merge(parts[3:])]), LIMITS)
    direct = evaluate(profile, summarise(profile, x, predictions), LIMITS)
    assert whole[0]["size"].psi == direct[0]["size"].psi
    assert whole[0]["size"].mean == pytest.approx(direct[0]["size"].mean)


def test_limits_come_from_the_manifest_and_what_it_leaves_out_is_the_default() -> None:
    limits = Limits.of({"psi": 0.3, "window_rows": 50, "something_newer": True})
    assert limits == Limits(psi=0.3, window_rows=50)
