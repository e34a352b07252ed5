import pytest

from benchmarks.tables import Cell, Column, Figure, Table, figure, in_markdown

COLUMNS = [Column("what"), Column("p50", "ms", digits=2, spread=True), Column("rows/s")]


def test_a_figure_is_the_median_of_its_rounds_with_the_extremes() -> None:
    assert figure([4.0, 1.0, 2.0]) == Figure(2.0, 1.0, 4.0)
    assert figure([]) is None


def test_a_table_shows_units_digits_spread_and_notes() -> None:
    rows: list[list[Cell]] = [["bare", Figure(0.216, 0.2, 1.5), 13_200.4], ["broken", None, "refused"]]
    assert in_markdown(Table("t", "Single rows", COLUMNS, rows, ["pinned", "quiet"])) == (
        "**Single rows**\n\n"
        "| what | p50 ms | rows/s |\n| --- | ---: | ---: |\n"
        "| bare | 0.22 (0.20–1.50) | 13,200 |\n| broken |  | refused |\n\n"
        "- pinned\n- quiet"
    )


def test_one_round_has_no_spread() -> None:
    assert COLUMNS[1].show(Figure(1.0, 1.0, 1.0)) == "1.00"


def test_a_row_that_does_not_fit_its_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="t: 1 cells for 3 columns"):
        Table("t", "Single rows", COLUMNS, [["bare"]])
