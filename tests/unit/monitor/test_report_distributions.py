import numpy as np
import pytest

from services.monitor.drift import Limits
from services.monitor.evaluate import evaluate
from services.monitor.report.data import Bar, Column
from services.monitor.report.distributions import BARS, CATEGORIES, column_of, rebinned
from shared.profile import ColumnProfile, Profile, build_profile, summarise
from shared.signature import Feature, Signature, Target
from tests.unit.monitor.builders import GRADES, a_profile, some_rows


def column(profile: Profile, x: np.ndarray, name: str, categories: tuple[str, ...] = ()) -> Column:
    summary = summarise(profile, x, np.full(len(x), 40.0))
    features, _ = evaluate(profile, summary, Limits())
    place = [each.name for each in profile.features].index(name)
    return column_of(profile.features[place], str(place), summary, features[name], categories)


def of_one(values: list[float], live: list[float]) -> Column:
    """A table of one number."""
    signature = Signature(
        target=Target(name="y"), features=(Feature(name="x", kind="numeric", nullable=True, example=1.0),)
    )
    profile = build_profile(signature, np.array(values)[:, None], np.array([1.0, 2.0]))
    return column(profile, np.array(live)[:, None], "x")


def test_rows_are_spread_evenly_over_their_bin() -> None:
    edges, grid = np.array([0.0, 1.0, 5.0]), np.array([0.0, 0.5, 1.0, 3.0, 5.0])
    assert rebinned(edges, np.array([10, 8]), grid).tolist() == [5.0, 5.0, 4.0, 4.0]


def test_a_value_that_repeats_lands_in_one_bar() -> None:
    edges = np.array([0.0, np.nextafter(2.0, 0.0), 2.0, 4.0])
    assert rebinned(edges, np.array([0, 7, 0]), np.linspace(0.0, 4.0, 5)).tolist() == [0.0, 7.0, 0.0, 0.0]


def test_every_row_of_both_sides_is_somewhere_in_the_picture() -> None:
    x, _ = some_rows(700, seed=4, shift=8.0)
    for name, categories in (("size", ()), ("grade", GRADES), ("time", ())):
        found = column(a_profile(), x, name, categories)
        bars = (*found.categories, *found.asides)
        reference, current = sum(bar.reference for bar in bars), sum(bar.current for bar in bars)
        if found.histogram is not None:
            reference, current = reference + sum(found.histogram.reference), current + sum(found.histogram.current)
            assert len(found.histogram.current) == BARS
        assert [reference, current] == pytest.approx([1.0, 1.0]), name


def test_what_lies_outside_the_range_is_shown_beside_it_with_its_mean() -> None:
    found = of_one([float(i) for i in range(100)], [50.0, 200.0, 300.0, -10.0])
    below, above = found.asides
    assert (below.name, below.reference, below.current, below.note) == ("below", 0.0, 0.25, "mean -10")
    assert (above.name, above.current, above.note) == ("above", 0.5, "mean 250")
    assert found.histogram is not None
    assert (found.histogram.low, found.histogram.high) == (0.0, 99.0)


def test_a_number_that_is_always_the_same_is_drawn_in_the_middle() -> None:
    found = of_one([3.0] * 50, [3.0] * 9)
    assert found.histogram is not None
    assert found.histogram.low < 3.0 < found.histogram.high
    assert max(found.histogram.reference) == max(found.histogram.current) == 1.0
    assert np.argmax(found.histogram.reference) in (BARS // 2 - 1, BARS // 2)


def test_a_column_of_nulls_has_no_histogram_and_says_so() -> None:
    found = of_one([float("nan")] * 50, [float("nan")] * 9)
    assert (found.histogram, found.asides) == (None, (Bar("null", 1.0, 1.0),))


def test_a_profile_of_the_first_schema_has_bins_without_an_end() -> None:
    profile = ColumnProfile(
        name="x", kind="numeric", edges=(1.0, 2.0, 3.0), counts=(1, 1, 1, 1), nulls=0, n=4, mean=2.0, std=1.0
    )
    drift, _ = evaluate(Profile(schema_version=1, features=(profile,), prediction=profile), {"n": 0}, Limits())
    found = column_of(profile, "0", {}, drift["x"])
    assert found.histogram is not None
    assert (found.histogram.low, found.histogram.high) == (0.0, 4.0)
    assert sum(found.histogram.reference) == pytest.approx(1)
    assert (found.rows, sum(found.histogram.current)) == (0, 0.0)


def test_of_many_categories_the_largest_of_either_side_are_shown() -> None:
    names = tuple(f"c{i}" for i in range(30))
    reference, live = [1] * 30, {f"0:{i}": 1 for i in range(29)} | {"0:29": 500}
    reference[3] = 400
    profile = ColumnProfile(
        name="x", kind="categorical", counts=(*reference, 0), nulls=0, n=sum(reference), mean=None, std=None
    )
    drift, _ = evaluate(Profile(features=(profile,), prediction=profile), live, Limits())
    found = column_of(profile, "0", live, drift["x"], names)
    assert len(found.categories) == CATEGORIES + 1
    assert {"c3", "c29"} <= {bar.name for bar in found.categories}
    assert found.categories[-1].name == "20 others"
    assert sum(bar.current for bar in found.categories) == pytest.approx(1)
