"""Summaries are counts: merging them in any grouping gives what counting everything at once gives."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.profile import Profile, build_profile, column_counts, column_moments, merge, summarise
from shared.signature import Feature, Signature, Target

RNG = np.random.default_rng(7)


def a_profile(rows: int = 500) -> tuple[Profile, np.ndarray]:
    signature = Signature(
        target=Target(name="y"),
        features=(
            Feature(name="x", kind="numeric", nullable=True, minimum=0, maximum=1),
            Feature(name="flag", kind="numeric", nullable=False, minimum=0, maximum=1),
            Feature(name="town", kind="categorical", nullable=False, categories=("a", "b", "c")),
        ),
    )
    x = np.column_stack([RNG.normal(size=rows), RNG.integers(0, 2, rows), RNG.integers(-1, 3, rows)]).astype(float)
    x[::10, 0] = np.nan
    return build_profile(signature, x, x[:, 1] * 2 + 1), x


def test_the_reference_counts_every_row_once() -> None:
    profile, x = a_profile()
    for column in profile.columns:
        assert sum(column.counts) + column.nulls == column.n == len(x)


def test_a_written_profile_tells_the_null_rate_and_reads_back() -> None:
    profile, _ = a_profile()
    document = profile.model_dump_json()
    assert [column["null_rate"] for column in json.loads(document)["features"]] == [0.1, 0.0, 0.0]
    assert Profile.model_validate_json(document) == profile


def test_bins_hold_about_a_tenth_each() -> None:
    profile, _ = a_profile(1000)
    counts = np.array(profile.features[0].counts)
    assert len(counts) == 10
    assert counts.min() >= 80


def test_repeated_values_get_fewer_bins_and_none_is_empty() -> None:
    profile, _ = a_profile()
    assert len(profile.features[1].counts) == 2
    assert min(profile.features[1].counts) > 0


def test_the_last_bin_of_a_category_counts_unknown_ones() -> None:
    profile, x = a_profile()
    assert profile.features[2].counts[-1] == int((x[:, 2] < 0).sum())


def test_a_summary_of_the_reference_is_the_reference() -> None:
    profile, x = a_profile()
    summary = summarise(profile, x, x[:, 1] * 2 + 1)
    for prefix, column in zip(("0", "1", "2", "p"), profile.columns, strict=True):
        counts, nulls = column_counts(summary, prefix, column)
        assert tuple(counts.tolist()) == column.counts
        assert nulls == column.nulls


def test_moments_come_back_in_the_columns_unit() -> None:
    profile, x = a_profile()
    live = x.copy()
    live[:, 0] = live[:, 0] * 3 + 5
    found = column_moments(summarise(profile, live, live[:, 1]), "0", profile.features[0])
    present = live[~np.isnan(live[:, 0]), 0]
    assert found is not None
    assert found == pytest.approx((present.mean(), present.std(ddof=1)), rel=1e-4)


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(0, 300), max_size=6))
def test_merging_in_any_grouping_is_exact(cuts: list[int]) -> None:
    profile, x = a_profile(300)
    y = x[:, 1]
    bounds = sorted({0, 300, *cuts})
    pieces = [summarise(profile, x[a:b], y[a:b]) for a, b in itertools.pairwise(bounds)]
    assert merge(pieces) == summarise(profile, x, y)


def test_as_many_rows_as_a_chunk_has_are_counted_as_few_are() -> None:
    profile, x = a_profile(5000)
    pieces = [summarise(profile, x[start : start + 100], x[start : start + 100, 1]) for start in range(0, 5000, 100)]
    assert merge(pieces) == summarise(profile, x, x[:, 1])


def test_extreme_values_stay_inside_64_bits() -> None:
    profile, x = a_profile()
    x[:, 0] = 1e300
    summary = summarise(profile, x, x[:, 1])
    assert abs(summary["0:s1"]) < 2**63
    assert abs(summary["0:s2"]) < 2**63


def test_a_profile_survives_json() -> None:
    profile, _ = a_profile()
    assert Profile.model_validate_json(profile.model_dump_json()) == profile
