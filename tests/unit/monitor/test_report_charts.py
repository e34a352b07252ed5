import re
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from services.monitor.report.data import Bar, DriftHistory, Histogram, VersionQuality
from services.monitor.report.heatmap import heatmap, level
from services.monitor.report.histograms import distribution, outline
from services.monitor.report.intervals import errors
from services.monitor.report.lines import history, runs
from services.monitor.report.scales import Linear, Logarithmic, apart, decades, powers
from services.monitor.report.svg import fitting, tag, text
from tests.unit.monitor.report_builders import a_column, a_history, a_mode, an_estimate, scored

EVIL = "<script>alert(1)</script>\"' onload=x"


def parsed(drawn: Markup) -> ElementTree.Element:
    """Read it as XML: what is not well-formed is an error."""
    return ElementTree.fromstring(drawn)


def of_class(drawn: Markup, name: str) -> list[ElementTree.Element]:
    return [each for each in parsed(drawn).iter() if name in each.get("class", "").split()]


def test_values_become_coordinates() -> None:
    assert Linear(0, 10, 100, 0).at(2.5) == 75
    assert Linear(3, 3, 0, 50).at(3) == 25
    assert Logarithmic(1e-6, 1e-4, 0, 200).at(1e-5) == pytest.approx(100)


def test_a_logarithmic_axis_goes_from_power_to_power() -> None:
    low, high = decades([3e-6, 4e-5])
    assert powers(low, high) == pytest.approx([1e-6, 1e-5, 1e-4])
    assert list(decades([1e-5])) == pytest.approx([1e-5, 1e-4])


def test_names_of_lines_do_not_cover_each_other() -> None:
    assert apart([50.0, 52.0, 10.0], 10, 0, 100) == [50.0, 60.0, 10.0]
    assert apart([99.0, 98.0, 97.0], 10, 0, 100) == [100.0, 90.0, 80.0]


def test_a_histogram_is_steps_from_the_axis_and_back() -> None:
    steps = outline([0.5, 1.0], Linear(0, 2, 0, 20), Linear(0, 1, 10, 0))
    assert steps == [(0, 10), (0, 5), (10, 5), (10, 0), (20, 0), (20, 10)]


def test_both_sides_of_a_distribution_are_drawn_on_one_scale() -> None:
    column = a_column(histogram=Histogram(0.0, 2.0, (1.0, 0.0), (0.25, 0.75), 0.5, None))
    (reference,), (current,) = (of_class(distribution(column), name) for name in ("reference", "current"))
    tops = [
        min(float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", each.get("d", ""))) for each in (reference, current)
    ]
    floor = 104.0
    assert (floor - tops[1]) / (floor - tops[0]) == pytest.approx(0.75, abs=0.01)


def test_without_rows_there_is_the_reference_alone() -> None:
    drawn = distribution(a_column(rows=0))
    assert of_class(drawn, "reference")
    assert not of_class(drawn, "current")


def test_a_share_beside_the_histogram_has_a_scale_of_its_own() -> None:
    drawn = distribution(a_column(asides=(Bar("above", 0.0, 0.5, "mean 9"),)))
    (room,), (live,) = of_class(drawn, "room"), of_class(drawn, "current-bar")
    assert float(live.get("height", 0)) == pytest.approx(float(room.get("height", 0)) / 2)
    assert "50 %" in drawn


def test_a_column_of_which_nothing_is_known_has_no_picture() -> None:
    assert distribution(a_column(histogram=None)) == ""


@pytest.mark.parametrize("drawn", [
    distribution(a_column(EVIL)),
    distribution(a_column(EVIL, categories=(Bar(EVIL, 0.2, 0.3), Bar("b", 0.8, 0.7)))),
    heatmap(DriftHistory(((EVIL, (0.1, None, 0.3, 1.0)),)), a_history()),
    errors(VersionQuality(EVIL, {"rmse": 2.0}, {EVIL: scored(9, an_estimate(1.0))})),
])  # fmt: skip
def test_names_are_text_and_nothing_else(drawn: Markup) -> None:
    assert not [each for each in parsed(drawn).iter() if each.tag == "script" or "onload" in each.attrib]


def test_elements_escape_what_is_put_into_them() -> None:
    assert tag("a", "<b>", class_='"', x=1.25, y=None) == '<a class="&#34;" x="1.2">&lt;b&gt;</a>'
    assert parsed(text(1, 2, EVIL)).text == EVIL
    assert fitting("a long name", 40) == "a lon…"


def test_a_line_has_a_gap_where_nothing_was_predicted() -> None:
    assert runs([1.0, 2.0, None, None, 3.0]) == [[0, 1], [4]]
    drawn = history(a_mode([1e-5, 2e-5, None, 3e-5]), a_history())
    assert len(of_class(drawn, "p99")) == 3  # a line, a point, and its name
    assert len(of_class(drawn, "bar")) == 3


def test_the_picture_of_a_mode_says_in_words_what_was_last() -> None:
    assert "last p50 20 µs, p95 40 µs, p99 80 µs" in history(a_mode([1e-5, 1e-5, 2e-5, None]), a_history())


def test_a_mode_of_which_no_time_is_known_is_drawn() -> None:
    assert of_class(history(a_mode([None] * 4), a_history()), "axis")


def test_cells_are_coloured_by_how_far_they_are_and_marked_over_it() -> None:
    assert [level(value) for value in (0.0, 0.3, 0.8, 1.5, 3.0)] == [0, 1, 2, 3, 4]
    drawn = heatmap(DriftHistory((("size", (0.0, None, 1.5, 3.0)),)), a_history())
    assert [len(of_class(drawn, name)) for name in ("h0", "h3", "h4", "over")] == [1, 1, 1, 2]
    assert "too far at some time: size" in parsed(drawn).get("aria-label", "")


def test_an_interval_is_drawn_beside_the_error_of_the_training() -> None:
    scores = {
        "24h": scored(500, an_estimate(4.0, 2.0, 8.0)),
        "7d": scored(9, an_estimate(4.0)),
        "ever": scored(0, None),
    }
    drawn = errors(VersionQuality("3", {"rmse": 4.0}, scores))
    (trained,), points = of_class(drawn, "trained"), of_class(drawn, "point")
    assert [float(point.get("cx", 0)) for point in points] == [float(trained.get("x1", 0))] * 2
    whisker = of_class(drawn, "whisker")[0]
    assert float(whisker.get("x1", 0)) < float(points[0].get("cx", 0)) < float(whisker.get("x2", 0))


def test_without_feedback_there_is_no_picture_of_errors() -> None:
    assert errors(VersionQuality("3", {"rmse": 1.0}, {"24h": scored(0)})) == ""
