import pytest

from services.trainer.columns import Chosen, Column, choose_features
from services.trainer.table import DataUnusable, Table, read_table
from shared.params import NULL_VALUES
from tests.tables import a_table, as_csv, some_params

NUMBERS = list(range(60))


def chosen(table: Table, **features: dict[str, object]) -> Chosen:
    return choose_features(table, some_params(features=features))


def columns(table: Table, **features: dict[str, object]) -> list[Column]:
    return [column for column, _ in chosen(table, **features).features]


def refused(table: Table, target: str = "y", **features: dict[str, object]) -> str:
    with pytest.raises(DataUnusable) as error:
        choose_features(table, some_params(target, features=features))
    return str(error.value)


def test_numbers_are_numeric_and_words_are_categories() -> None:
    found = columns(a_table(x=NUMBERS, c=["red", "blue"]))

    assert found == [Column("x", "numeric", nullable=False), Column("c", "categorical", nullable=False)]


def test_a_column_with_a_null_is_nullable_and_reported() -> None:
    found = chosen(a_table(x=[*range(59), "NA"], c=["red", "blue", ""]))

    assert [column.nullable for column, _ in found.features] == [True, True]
    assert "column 'x': 1 of 60 values are null; nullable" in found.findings


def test_params_overrule_kind_and_nullable() -> None:
    found = columns(a_table(x=[1, 2, 3]), x={"kind": "categorical", "nullable": True})

    assert found == [Column("x", "categorical", nullable=True)]


def test_a_dropped_column_is_no_feature_whatever_it_holds() -> None:
    assert [c.name for c in columns(a_table(x=NUMBERS, bad=[1, 2, "?"]), bad={"drop": True})] == ["x"]


def test_numbers_mixed_with_a_few_words_are_refused_with_examples_and_lines() -> None:
    message = refused(a_table(x=[*range(58), "unknown", "?"]))

    assert "column 'x': 2 of 60 values ('unknown' on line 60, '?' on line 61) are not numbers" in message
    assert "features.x.kind to categorical" in message


def test_numbers_mixed_with_a_few_words_are_categories_if_params_says_so() -> None:
    assert columns(a_table(x=[1, 2, "?"]), x={"kind": "categorical"})[0].kind == "categorical"


def test_words_mixed_with_a_few_numbers_are_categories() -> None:
    assert columns(a_table(x=["one", "two", "3"]))[0].kind == "categorical"


def test_words_cannot_be_made_numeric() -> None:
    assert "are not numbers" in refused(a_table(x=["one", "two"]), x={"kind": "numeric"})


@pytest.mark.parametrize("values", [[7], ["7", "7.0"], ["word"], [7, ""]])
def test_a_constant_column_is_left_out_and_reported(values: list[object]) -> None:
    found = chosen(a_table(x=NUMBERS, flat=values))

    assert [column.name for column, _ in found.features] == ["x"]
    assert "column 'flat': constant" in found.findings[0]


def test_a_category_that_is_given_or_null_is_a_feature() -> None:
    assert [c.name for c in columns(a_table(c=["yes", ""]))] == ["c"]


def test_an_empty_column_is_left_out_and_reported() -> None:
    assert chosen(a_table(x=NUMBERS, e=["", "NA"])).findings == ["column 'e': empty; not used as a feature"]


@pytest.mark.parametrize("value", ["inf", "-inf", "1e999", "2e30"])
def test_infinite_and_huge_numbers_are_refused(value: str) -> None:
    message = refused(a_table(x=[*range(59), value]))

    assert f"'{value}' on line 61) are infinite or beyond" in message


def test_integers_that_float64_would_change_are_refused() -> None:
    message = refused(a_table(x=[*range(59), 2**53 + 1]))

    assert "'9007199254740993' on line 61) are integers beyond 2^53" in message


def test_large_numbers_that_are_no_integers_are_accepted() -> None:
    assert columns(a_table(x=[*range(59), "1e17"]))[0].kind == "numeric"


def test_large_integers_may_be_categories() -> None:
    assert columns(a_table(x=[2**60, 2**60 + 1]), x={"kind": "categorical"})[0].kind == "categorical"


def test_too_many_categories_are_refused() -> None:
    many = {"y": range(300), "c": [f"c{i}" for i in range(300)]}

    assert "300 categories are more than 250" in refused(read_table(as_csv(many), NULL_VALUES))


def test_nulls_against_params_are_refused_with_their_lines() -> None:
    message = refused(a_table(x=[*range(59), ""]), x={"nullable": False})

    assert "1 of 60 values (on line 61) are null, but features.x.nullable is false" in message


def test_a_missing_target_is_refused_with_the_one_that_was_meant() -> None:
    assert "no column 'price' (did you mean 'prices'?)" in refused(a_table(prices=NUMBERS), target="price")


def test_a_target_that_is_not_numeric_is_refused() -> None:
    assert "target 'y': 60 of 60 values ('low' on line 2" in refused(a_table(x=NUMBERS, y=["low", "high"]))


def test_a_target_with_nulls_is_refused() -> None:
    assert "1 of 60 values (on line 61) are null" in refused(a_table(x=NUMBERS, y=[*range(59), ""]))


def test_a_constant_target_is_refused() -> None:
    assert "nothing to predict" in refused(a_table(x=NUMBERS, y=[3]))


def test_an_infinite_target_is_refused() -> None:
    assert "target 'y': 1 of 60 values ('inf'" in refused(a_table(x=NUMBERS, y=[*range(59), "inf"]))


def test_too_few_rows_are_refused() -> None:
    few = read_table(as_csv({"x": range(49), "y": range(49)}), NULL_VALUES)

    assert "49 rows are too few: at least 50" in refused(few)


def test_a_feature_that_the_data_has_not_is_refused() -> None:
    assert "features.agee: the data has no such column (did you mean 'age'?)" in refused(
        a_table(age=NUMBERS), agee={"drop": True}
    )


def test_the_target_cannot_be_overruled() -> None:
    assert "features.y: this is the target" in refused(a_table(x=NUMBERS), y={"drop": True})


def test_a_nameless_column_is_refused_or_dropped() -> None:
    table, drop = a_table(**{"": NUMBERS, "x": NUMBERS}), dict[str, object](drop=True)

    assert "a column has no name" in refused(table)
    assert [c.name for c in columns(table, **{"": drop})] == ["x"]


def test_a_table_without_any_feature_is_refused() -> None:
    assert "no feature is left" in refused(a_table(flat=[1]))


def test_all_problems_are_told_at_once() -> None:
    message = refused(a_table(a=[1, 2, "?"], b=[*range(59), "inf"], y=["low", "high"]))

    assert "column 'a'" in message
    assert "column 'b'" in message
    assert "target 'y'" in message
