"""Decides which columns have drifted, from the tests of all of them together. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from services.monitor.columns import KS, NULL_RATE, SHAPES, Comparison, compare
from services.monitor.drift import ColumnDrift, Limits
from services.monitor.significance import adjusted
from shared.profile import Profile


def evaluate(
    profile: Profile, summary: Mapping[str, int], limits: Limits
) -> tuple[dict[str, ColumnDrift], ColumnDrift]:
    """Compare every feature, by name, and the prediction with the reference."""
    comparisons = [compare(column, str(i), summary) for i, column in enumerate(profile.features)]
    *features, prediction = judge([*comparisons, compare(profile.prediction, "p", summary)], limits)
    return dict(zip((column.name for column in profile.features), features, strict=True)), prediction


def judge(comparisons: Sequence[Comparison], limits: Limits) -> list[ColumnDrift]:
    """Say of each column whether it has drifted.

    A column has drifted if one of its tests is rejected and what it found is large enough to matter. The budget is for
    all tests of all columns: with no drift anywhere, any rejection is as rare as it says (Benjamini and Hochberg, 1995,
    for tests that are independent; Benjamini and Yekutieli, 2001, where features go together).
    """
    p_values = iter(adjusted([test.p for comparison in comparisons for test in comparison.tests]).tolist())
    return [_verdict(c, {test.name: next(p_values) for test in c.tests}, limits) for c in comparisons]


def _verdict(comparison: Comparison, p_values: Mapping[str, float], limits: Limits) -> ColumnDrift:
    reasons = list(_reasons(comparison, p_values, limits))
    return replace(
        comparison.figures,
        drifted=bool(reasons),
        reasons=reasons,
        suspect=any(_reasons(comparison, p_values, limits.relaxed())),
        p_value=min(p_values.values(), default=None),
        p_values=dict(p_values),
    )


def _reasons(comparison: Comparison, p_values: Mapping[str, float], limits: Limits) -> Iterator[str]:
    """Mean shift and index have no test of their own: they count where the distribution has changed at all."""
    found = comparison.figures
    rejected = [test for test in comparison.tests if p_values[test.name] <= limits.false_alarms]
    changed = any(test.name in SHAPES for test in rejected)
    # A profile of the first schema that did not vary is one bin, and any other mean is all that can be seen.
    if comparison.shift is not None and comparison.shift > limits.mean_shift and (changed or KS not in p_values):
        yield "mean_shift"
    if changed and found.psi is not None and found.psi > limits.psi and found.n >= limits.psi_min_rows:
        yield "psi"
    for test in rejected:
        if test.effect >= _least(test.name, limits, constant=comparison.constant):
            yield test.name


def _least(test: str, limits: Limits, *, constant: bool) -> float:
    """Return the least effect that matters: any, of values where the reference had but one."""
    if constant and test != NULL_RATE:
        return 0.0
    return limits.effect if test in SHAPES else limits.rate
