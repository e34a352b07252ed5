"""Summaries are counts: merging them in any grouping gives what counting everything at once gives."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.profile import (
    Profile,
    build_profile,
    column_counts,
    column_moments,
    counters,
    merge,
    summarise,
    sums_outside,
)
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


def test_bins_hold_about_a_fiftieth_each_and_nothing_lies_outside_of_the_reference() -> None:
    profile, x = a_profile(1000)
    column = profile.features[0]
    counts = np.array(column.counts)
    assert len(counts) == 52
    assert (counts[0], counts[-1]) == (0, 0)
    assert counts[1:-1].min() >= 14
    assert counts.max() <= 22
    assert column.edges[-1] == np.nanmax(x[:, 0])
    assert column.edges[0] == np.nextafter(np.nanmin(x[:, 0]), -np.inf)


def test_a_value_that_repeats_has_a_bin_of_its_own() -> None:
    profile, x = a_profile()
    flags = profile.features[1]
    zeros = int((x[:, 1] == 0).sum())
    assert flags.counts == (0, zeros, 0, len(x) - zeros, 0)
    assert flags.counts_of(np.array([-1.0, 0.0, 0.5, 1.0, np.nextafter(1.0, 2.0)])) == [1, 1, 1, 1, 1]


def test_few_values_and_many_are_counted_alike() -> None:
    profile, _ = a_profile()
    column = profile.features[0]
    edges = np.array(column.edges)
    values = np.concatenate((RNG.normal(size=1500), edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)))
    few = np.zeros(len(column.counts), np.int64)
    for start in range(0, len(values), 100):
        counted = column.counts_of(values[start : start + 100])
        few[: len(counted)] += counted
    assert column.counts_of(values) == few.tolist()


def test_what_lies_outside_is_counted_and_summed_apart() -> None:
    profile, x = a_profile()
    column = profile.features[0]
    assert column.mean is not None
    assert column.std is not None
    low, high = np.nanmin(x[:, 0]), np.nanmax(x[:, 0])
    live = np.full((7, 3), 1.0)
    live[:, 0] = [low, high, low - 1, low - 3, high + 2, np.nan, np.nextafter(high, np.inf)]
    summary = summarise(profile, live, live[:, 1])
    counts, _ = column_counts(summary, "0", column)
    assert (counts[0], counts[-1]) == (2, 2)
    below, above = sums_outside(summary, "0")
    assert below == pytest.approx((2 * low - 4 - 2 * column.mean) / column.std, abs=1e-5)
    assert above == pytest.approx((2 * high + 2 - 2 * column.mean) / column.std, abs=1e-5)
    assert sums_outside(summary, "1") == (0.0, 0.0)


@pytest.mark.parametrize("values", [[], [np.nan], [3.0], [3.0, 3.0, np.nan], [-0.0, 0.0]])
def test_a_column_of_hardly_any_values_has_bins_all_the_same(values: list[float]) -> None:
    signature = Signature(target=Target(name="y"), features=(Feature(name="x", kind="numeric", nullable=True),))
    x = np.array(values).reshape(-1, 1)
    column = build_profile(signature, x, x[:, 0]).features[0]
    present = x[~np.isnan(x)]
    assert sum(column.counts) == len(present)
    assert column.outside == bool(len(present))
    assert sum(column.counts_of(np.array([-1e300, *present, 1e300]))) == len(present) + 2


def test_a_profile_with_ten_bins_of_an_earlier_release_still_counts() -> None:
    document = {
        "schema_version": 1,
        "features": [],
        "prediction": {
            "name": "prediction",
            "kind": "numeric",
            "edges": [1.0, 2.0],
            "counts": [5, 3, 2],
            "nulls": 0,
            "n": 10,
            "mean": 1.2,
            "std": 0.5,
            "null_rate": 0.0,
        },
    }
    profile = Profile.model_validate(document)
    summary = summarise(profile, np.empty((3, 0)), np.array([0.0, 1.5, 9.0]))
    assert [summary[f"p:{i}"] for i in range(3)] == [1, 1, 1]
    assert "p:sl" not in summary
    assert not profile.prediction.outside


def test_every_counter_of_a_summary_has_its_place() -> None:
    profile, x = a_profile()
    names = counters(profile)
    assert len(set(names)) == len(names)
    live = np.concatenate((x * 3, x - 50, x + 50))
    live[:, 2] = np.tile(x[:, 2], 3)
    assert summarise(profile, live, live[:, 0]).keys() <= set(names)
    assert names[0] == "n"
    assert all(name.startswith("p:") for name in names[1 : len(profile.prediction.counts) + 6])


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
