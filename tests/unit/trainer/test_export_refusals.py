"""What cannot be exported exactly is refused, and the message says what and what to use instead."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from services.trainer.export import ExportRefused, export_pipeline
from tests.pipelines import NUMBERS, TEXTS, a_pipeline, a_table, a_target, one_hot, ordinal

TABLE = a_table(60, nulls=False)


class MyScaler(StandardScaler):  # type: ignore[misc] # sklearn has no types
    """Might do anything."""


def _over_numbers(transformer: Any) -> ColumnTransformer:
    return ColumnTransformer([("number", transformer, NUMBERS)])


def _over_texts(*steps: Any) -> ColumnTransformer:
    return ColumnTransformer([("text", _steps(*steps), TEXTS)])


def _steps(*steps: Any) -> Pipeline:
    return Pipeline([(str(i), step) for i, step in enumerate(steps)])


def _fit(prepare: Any, estimator: Any = None, table: pd.DataFrame = TABLE) -> Pipeline:
    return Pipeline([("prepare", prepare), ("model", estimator or Ridge())]).fit(table, a_target(TABLE))


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (_over_numbers(MinMaxScaler()), "MinMaxScaler of 'number' .* use SimpleImputer, StandardScaler"),
        (_over_numbers(MyScaler()), "MyScaler of 'number' .* is not supported"),
        (_over_numbers(FunctionTransformer(np.log1p)), "FunctionTransformer of 'number'"),
        (_over_numbers(SimpleImputer(missing_values=0)), "SimpleImputer .* missing_values=numpy.nan"),
        (_over_texts(one_hot(drop="first")), "OneHotEncoder of 'text' \\(place, grade\\) has the option drop"),
        (_over_texts(one_hot(min_frequency=2)), "min_frequency"),
        (_over_texts(one_hot(max_categories=2)), "max_categories"),
        (_over_texts(one_hot(handle_unknown="error")), "handle_unknown='ignore'"),
        (_over_texts(one_hot(dtype=np.float32)), "dtype=numpy.float64"),
        (_over_texts(ordinal(max_categories=2)), "OrdinalEncoder .* max_categories"),
        (_over_texts(OrdinalEncoder()), "handle_unknown='use_encoded_value'"),
        (
            ColumnTransformer([("text", one_hot(), TEXTS)], transformer_weights={"text": 2}),
            "transformer_weights",
        ),
        (
            ColumnTransformer([("text", one_hot(sparse_output=True), TEXTS)], sparse_threshold=1),
            "sparse matrix; use OneHotEncoder\\(sparse_output=False\\)",
        ),
        (
            # Dense enough to end as a plain matrix; but a sparse one is scaled by the reciprocal, with other bits.
            ColumnTransformer(
                [("text", _steps(one_hot(sparse_output=True), StandardScaler(with_mean=False)), ["grade"])]
            ),
            "OneHotEncoder of 'text' \\(grade\\) .* sparse_output=False",
        ),
        (
            ColumnTransformer(
                [("hot", one_hot(), ["grade"]), ("code", ordinal(categories=[["c", "b", "a"]]), ["grade"])]
            ),
            "column 'grade' is read in two ways",
        ),
        (ColumnTransformer([("number", one_hot(), ["count"])]), "categories that are not text"),
        (StandardScaler(), "must be a ColumnTransformer"),
    ],
)
def test_a_step_or_an_option_is_refused_by_name(prepare: Any, says: str) -> None:
    table = TABLE[NUMBERS] if isinstance(prepare, StandardScaler) else TABLE
    fitted = _fit(prepare, DecisionTreeRegressor(max_depth=2), table)
    with pytest.raises(ExportRefused, match=says):
        export_pipeline(fitted)


@pytest.mark.parametrize(
    ("estimator", "says"),
    [
        (AdaBoostRegressor(), "AdaBoostRegressor is not supported; use one of LinearRegression, Ridge"),
        (GradientBoostingRegressor(init=LinearRegression()), "GradientBoostingRegressor\\(init=LinearRegression\\)"),
        (HistGradientBoostingRegressor(loss="poisson"), "loss='poisson'.*use 'squared_error'"),
        (HistGradientBoostingRegressor(loss="gamma"), "loss='gamma'"),
        (HistGradientBoostingRegressor(categorical_features=[0]), "splits on categories of its own"),
    ],
)
def test_an_estimator_or_its_option_is_refused_by_name(estimator: Any, says: str) -> None:
    table = TABLE.assign(count=TABLE["count"] + 1.0)
    prepare = ColumnTransformer([("n", "passthrough", ["count", "weight"])])
    fitted = Pipeline([("prepare", prepare), ("model", estimator)]).fit(table, np.abs(a_target(table)) + 1)

    with pytest.raises(ExportRefused, match=says):
        export_pipeline(fitted)


def test_the_exponential_loss_is_refused() -> None:
    labels = a_target(TABLE) > 30
    fitted = a_pipeline(GradientBoostingClassifier(loss="exponential"), "complete", TABLE, labels)

    with pytest.raises(ExportRefused, match="loss='exponential'\\) is not supported; use 'log_loss'"):
        export_pipeline(fitted)


@pytest.mark.parametrize("estimator", [Ridge(), RandomForestRegressor(2), DecisionTreeRegressor()])
def test_several_targets_are_refused(estimator: Any) -> None:
    two = np.column_stack([a_target(TABLE)] * 2)

    with pytest.raises(ExportRefused, match="has 2 targets; train one model for each"):
        export_pipeline(a_pipeline(estimator, "complete", TABLE, two))


def test_a_column_without_any_value_is_refused() -> None:
    table = TABLE.assign(weight=np.nan)
    prepare = _over_numbers(SimpleImputer(keep_empty_features=True, strategy="constant", fill_value=np.nan))

    with pytest.raises(ExportRefused, match=r"SimpleImputer .*weight.* no value at all"):
        export_pipeline(_fit(prepare, DecisionTreeRegressor(), table))


def test_a_category_without_any_value_is_refused() -> None:
    table = TABLE.assign(grade=pd.Series([None] * len(TABLE), dtype="str"))

    with pytest.raises(ExportRefused, match=r"OneHotEncoder .*grade.* no value at all"):
        export_pipeline(_fit(_over_texts(one_hot()), table=table))


def test_two_kinds_of_null_are_refused() -> None:
    table = TABLE.assign(grade=pd.Series([None, np.nan, *["a"] * (len(TABLE) - 2)], dtype=object))

    with pytest.raises(ExportRefused, match="both None and NaN"):
        export_pipeline(_fit(_over_texts(one_hot()), table=table))


def test_a_none_that_the_imputer_passes_is_refused() -> None:
    table = TABLE.assign(grade=pd.Series([None, *["a"] * (len(TABLE) - 1)], dtype=object))
    imputer = SimpleImputer(strategy="constant", fill_value="missing")

    with pytest.raises(ExportRefused, match="None behind SimpleImputer"):
        export_pipeline(_fit(_over_texts(imputer, one_hot()), table=table))


def test_a_column_that_is_a_code_here_and_text_there_is_refused() -> None:
    table = TABLE.assign(grade=pd.Series(["1", "2"] * (len(TABLE) // 2), dtype="str"))
    prepare = ColumnTransformer([("hot", one_hot(), ["grade"]), ("as it is", "passthrough", ["grade"])])

    with pytest.raises(ExportRefused, match="column 'grade' is read in two ways, again by 'as it is'"):
        export_pipeline(_fit(prepare, table=table))


def test_a_pipeline_without_column_names_is_refused() -> None:
    prepare = ColumnTransformer([("number", StandardScaler(), [0, 1])])
    fitted = Pipeline([("prepare", prepare), ("model", Ridge())]).fit(np.eye(4), np.arange(4.0))

    with pytest.raises(ExportRefused, match="fit it on a pandas DataFrame"):
        export_pipeline(fitted)


def test_anything_but_two_steps_is_refused() -> None:
    with pytest.raises(ExportRefused, match="Ridge: expected a Pipeline of a ColumnTransformer and an estimator"):
        export_pipeline(Ridge())
    three = Pipeline([("prepare", _over_numbers(StandardScaler())), ("again", StandardScaler()), ("model", Ridge())])
    with pytest.raises(ExportRefused, match="expected a Pipeline"):
        export_pipeline(three.fit(TABLE, a_target(TABLE)))


def test_a_model_too_large_to_load_beside_another_is_refused() -> None:
    fitted = a_pipeline(RandomForestRegressor(2), "complete", TABLE)

    with pytest.raises(ExportRefused, match=r"RandomForestRegressor has .* nodes, about .* MB; use fewer or shallower"):
        export_pipeline(fitted, largest=100)
