"""Figures from counters equal those of the rows, and a verdict needs a test and an effect that matters."""

import numpy as np
import pytest

from services.monitor.columns import Comparison, Outcome
from services.monitor.distances import SMOOTHING
from services.monitor.drift import ColumnDrift, Limits
from services.monitor.evaluate import evaluate, judge
from shared.profile import PREDICTION, Profile, build_profile, merge, summarise
from shared.signature import Feature, Signature, Target
from tests.unit.monitor.builders import Rows, a_profile, a_signature, some_rows

LIMITS = Limits()


def _psi_of_values(reference: Rows, live: Rows) -> float:
    """The textbook index over raw values in deciles of the reference, nulls as a bin of their own."""
    present = reference[~np.isnan(reference)]
    deciles = np.quantile(present, np.arange(1, 10) / 10, method="inverted_cdf")
    counts = []
    for values in (reference, live):
        bins = np.searchsorted(deciles, values[~np.isnan(values)], side="left")
        counts.append(np.append(np.bincount(bins, minlength=10), np.isnan(values).sum()) + SMOOTHING)
    p, q = (one[(counts[0] + counts[1]) > 2 * SMOOTHING] for one in counts)
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


@pytest.mark.parametrize("shift", [0.0, 0.5, 3.0, -8.0])
def test_numbers_equal_the_direct_computation_on_rows(shift: float) -> None:
    reference, reference_predictions = some_rows(500, seed=1)
    reference = reference[~np.isnan(reference[:, 0])][:450]
    reference_predictions = reference_predictions[:450]
    live, predictions = some_rows(700, seed=2, shift=shift)
    profile = build_profile(a_signature(), reference, reference_predictions)
    features, prediction = evaluate(profile, summarise(profile, live, predictions), LIMITS)

    size, raw = features["size"], live[:, 0]
    assert size.psi == pytest.approx(_psi_of_values(reference[:, 0], raw), rel=1e-12)
    expected = abs(np.nanmean(raw) - np.nanmean(reference[:, 0])) / np.nanstd(reference[:, 0], ddof=1)
    assert size.mean_shift == pytest.approx(expected, abs=1e-5)
    assert size.mean == pytest.approx(np.nanmean(raw), abs=1e-4)
    assert size.std == pytest.approx(np.nanstd(raw, ddof=1), rel=1e-3)
    assert size.null_rate == np.isnan(raw).mean()
    assert (size.n, size.m) == (700, 450)
    assert prediction.psi == pytest.approx(_psi_of_values(reference_predictions, predictions), rel=1e-12)


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


def test_no_drift_is_clear_and_a_real_one_is_named_with_its_reasons() -> None:
    profile = a_profile()
    same, _ = evaluate(profile, summarise(profile, *some_rows(1000, seed=3)), LIMITS)
    moved, prediction = evaluate(profile, summarise(profile, *some_rows(1000, seed=3, shift=9)), LIMITS)
    assert not any(column.drifted or column.suspect for column in same.values())
    assert moved["size"].reasons == ["mean_shift", "psi", "ks", "out_of_range"]
    assert moved["size"].suspect
    assert moved["size"].p_value == pytest.approx(0, abs=1e-12)
    assert not moved["grade"].drifted
    assert prediction.drifted


def test_every_kind_of_change_has_a_reason_of_its_own() -> None:
    profile = a_profile()
    x, predictions = some_rows(1000, seed=3)
    x[:300, 0] = np.nan
    x[:, 1] = np.where(np.arange(1000) < 100, -1.0, x[:, 1])
    x[:, 2] = np.where(x[:, 2] == 3, 0.0, x[:, 2])
    features, _ = evaluate(profile, summarise(profile, x, predictions), LIMITS)
    assert {name: column.reasons for name, column in features.items()} == {
        "size": ["null_rate"],
        "grade": ["psi", "chi2", "new_categories"],
        "time": ["psi", "ks"],
    }
    shares = np.array([1.0, 0.0, 2.0, 2.0])
    x[:, 1] = np.random.default_rng(4).choice(4, 1000, p=shares / shares.sum())
    assert "chi2" in evaluate(profile, summarise(profile, x - 0.0, predictions), LIMITS)[0]["grade"].reasons


def test_few_rows_are_judged_by_the_tests_and_not_by_the_index() -> None:
    profile = a_profile()
    for rows, reasons in ((LIMITS.psi_min_rows - 1, ["ks"]), (LIMITS.psi_min_rows, ["psi", "ks"])):
        x, predictions = some_rows(rows, seed=3, shift=4)
        size = evaluate(profile, summarise(profile, x, predictions), LIMITS)[0]["size"]
        assert size.psi is not None
        assert size.psi > LIMITS.psi
        assert [reason for reason in size.reasons if reason != "out_of_range"] == reasons


def test_nothing_has_drifted_without_rows() -> None:
    profile = a_profile()
    features, prediction = evaluate(profile, {}, LIMITS)
    assert not any(column.drifted for column in [*features.values(), prediction])
    assert features["size"].n == 0
    assert features["size"].mean_shift is None
    assert features["size"].p_value is None


def test_what_is_certain_but_small_and_what_is_large_but_uncertain_is_no_drift() -> None:
    assert _verdict(Outcome("ks", 1e-9, 0.12)).reasons == ["ks"]
    assert _verdict(Outcome("ks", 1e-9, 0.05)).reasons == []
    assert _verdict(Outcome("ks", 0.01, 0.50)).reasons == []
    assert _verdict(Outcome("null_rate", 1e-9, 0.06)).reasons == ["null_rate"]


def test_a_limit_of_shift_or_index_counts_where_the_distribution_has_changed() -> None:
    certain, uncertain = Outcome("ks", 1e-9, 0.05), Outcome("ks", 0.5, 0.05)
    figures = ColumnDrift(drifted=False, n=1000, psi=0.5)
    assert judge([Comparison(figures, (certain,), 3.0)], LIMITS)[0].reasons == ["mean_shift", "psi"]
    assert judge([Comparison(figures, (uncertain,), 3.0)], LIMITS)[0].reasons == []


def test_a_column_is_suspect_before_it_has_drifted_and_until_after() -> None:
    nearly = _verdict(Outcome("ks", 0.5 * LIMITS.false_alarms, 0.09))
    likely = _verdict(Outcome("ks", 5 * LIMITS.false_alarms, 0.3))
    assert [(found.drifted, found.suspect) for found in (nearly, likely)] == [(False, True), (False, True)]
    assert not _verdict(Outcome("ks", 20 * LIMITS.false_alarms, 0.3)).suspect


def test_the_more_is_tested_the_more_certain_a_test_must_be() -> None:
    p = 0.5 * LIMITS.false_alarms
    alone = judge([_compared(Outcome("ks", p, 0.3))], LIMITS)
    among_others = judge([_compared(Outcome("ks", p, 0.3)), *[_compared(Outcome("ks", 0.6, 0.02))] * 9], LIMITS)
    assert alone[0].drifted
    assert not among_others[0].drifted
    assert among_others[0].p_values == {"ks": pytest.approx(10 * p)}


def test_a_feature_that_did_not_vary_drifts_as_soon_as_other_values_are_no_accident() -> None:
    profile = _of_one_feature(np.full(500, 0.03))

    def of(others: int) -> ColumnDrift:
        x = np.where(np.arange(1000) < others, 0.04, 0.03)[:, None]
        return evaluate(profile, summarise(profile, x, np.zeros(1000)), LIMITS)[0]["x"]

    assert not of(0).drifted
    assert not of(3).drifted  # one in five hundred may well be missing in the reference
    assert of(30).reasons == ["out_of_range"]
    assert of(30).effect == pytest.approx(0.03)  # any, here
    assert of(1000).mean_shift is None  # infinity is not JSON


def test_of_a_profile_of_the_first_schema_that_did_not_vary_only_the_mean_is_known() -> None:
    now = _of_one_feature(np.full(10, 5.0))
    old = now.features[0].model_copy(update={"edges": (), "counts": (10,), "outside": False})
    profile = now.model_copy(update={"features": (old,)})
    assert evaluate(profile, {"n": 3, "0:0": 3, "0:s1": 3 << 20}, LIMITS)[0]["x"].reasons == ["mean_shift"]
    assert not evaluate(profile, {"n": 3, "0:0": 3}, LIMITS)[0]["x"].drifted


@pytest.mark.parametrize("rows", [1, 501])
def test_a_category_that_nothing_can_be_said_of_does_not_stop_the_evaluation(rows: int) -> None:
    """One value in all of the reference, or a name of its own in each row, and then only unknown ones."""
    names = tuple(f"c{i}" for i in range(rows))
    feature = Feature(name="note", kind="categorical", nullable=True, categories=names)
    reference = np.full((501, 1), np.nan)
    reference[:rows, 0] = range(rows)
    profile = build_profile(Signature(target=Target(name="price"), features=(feature,)), reference, np.arange(501.0))
    features, _ = evaluate(profile, summarise(profile, np.full((300, 1), -1.0), np.arange(300.0)), Limits())
    assert features["note"].p_values["new_categories"] == 1


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
    assert Limits.of({"false_alarms": 0.01, "effect": 0.2, "rate": 0.1}) == Limits(0.01, 0.2, 0.1)


def _compared(test: Outcome) -> Comparison:
    return Comparison(ColumnDrift(drifted=False), (test,), None)


def _verdict(test: Outcome) -> ColumnDrift:
    return judge([_compared(test)], LIMITS)[0]


def _of_one_feature(values: Rows) -> Profile:
    feature = Feature(name="x", kind="numeric", nullable=False, example=1.0)
    signature = Signature(target=Target(name=PREDICTION), features=(feature,))
    return build_profile(signature, values[:, None], np.zeros(len(values)))
