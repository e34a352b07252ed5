"""Exported graphs against scikit-learn, on the engine that serves."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from services.trainer.export import Exported, encode_frame, export_pipeline
from services.trainer.parity import Acceptance, ParityReport, ask, check_parity
from shared.engines import KERNEL, ONNXRUNTIME
from shared.onnx_engine import OnnxRuntimeEngine
from tests.kernels import can_compile, compiled
from tests.pipelines import NUMBERS, PREPARATIONS, TAKES_NULL, TEXTS, a_pipeline, a_table, a_target, one_hot

DRAWN = 1000

TREES: dict[str, Any] = {
    "forest": lambda: RandomForestRegressor(12, max_depth=8, random_state=0),
    "extra trees": lambda: ExtraTreesRegressor(8, max_depth=8, random_state=0),
    "gradient boosting": lambda: GradientBoostingRegressor(n_estimators=30, random_state=0),
    "hist": lambda: HistGradientBoostingRegressor(max_iter=20, random_state=0),
    "tree": lambda: DecisionTreeRegressor(max_depth=8, random_state=0),
}
LINEAR: dict[str, Any] = {
    "linear": LinearRegression,
    "ridge": Ridge,
    "lasso": lambda: Lasso(0.01),
    "elastic net": lambda: ElasticNet(0.01),
    "no intercept": lambda: Ridge(fit_intercept=False),
}
CLASSIFIERS: dict[str, Any] = {
    "forest": lambda: RandomForestClassifier(10, max_depth=6, random_state=0),
    "extra trees": lambda: ExtraTreesClassifier(10, max_depth=6, random_state=0),
    "tree": lambda: DecisionTreeClassifier(max_depth=6, random_state=0),
    "gradient boosting": lambda: GradientBoostingClassifier(n_estimators=10, random_state=0),
    "hist": lambda: HistGradientBoostingClassifier(max_iter=10, random_state=0),
}


# One that rounds to float32 and one that does not meet every preparation; the others meet one of each encoder.
EVERY, SOME = tuple(PREPARATIONS), ("indicator", "ordinal imputed")


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in TREES for kind in (EVERY if name in ("forest", "hist") else SOME)]
)
def test_a_tree_model_is_equal_to_scikit_learn_bit_for_bit(name: str, kind: str) -> None:
    table = a_table(nulls=kind != "complete")
    pipeline = a_pipeline(TREES[name](), kind, table)

    report = proven(pipeline, export_pipeline(pipeline), table, seed=0, drawn=DRAWN)

    assert report.exactness == "bits"
    assert report.max_abs_difference == 0
    assert report.rows > DRAWN + len(table)


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in LINEAR for kind in (EVERY if name == "ridge" else SOME) if kind not in TAKES_NULL],
)
def test_a_linear_model_is_within_the_bound(name: str, kind: str) -> None:
    table = a_table(nulls=kind != "complete")
    pipeline = a_pipeline(LINEAR[name](), kind, table)

    report = proven(pipeline, export_pipeline(pipeline), table, seed=0, drawn=DRAWN)

    assert report.exactness == "bound"
    assert report.worst_bound_ratio is not None
    assert report.worst_bound_ratio <= 1


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_tree_classifier_is_equal_to_scikit_learn_bit_for_bit(name: str, classes: int) -> None:
    table = a_table()
    labels = pd.qcut(a_target(table), classes, labels=["low", "middle", "high"][:classes]).astype(str)
    pipeline = a_pipeline(CLASSIFIERS[name](), "imputed", table, labels)
    exported = export_pipeline(pipeline)

    report = proven(pipeline, exported, table, seed=0, drawn=DRAWN)

    assert report.max_abs_difference == 0
    assert exported.classes == tuple(sorted(set(labels)))


@pytest.mark.parametrize(("classes", "link"), [(2, "expit"), (3, "softmax")])
def test_a_logistic_regression_is_within_the_bound(classes: int, link: str) -> None:
    table = a_table()
    labels = pd.qcut(a_target(table), classes, labels=False)
    pipeline = a_pipeline(LogisticRegression(), "imputed", table, labels)
    exported = export_pipeline(pipeline)

    proven(pipeline, exported, table, seed=0, drawn=DRAWN)

    assert exported.link == link
    assert exported.classes == tuple(range(classes))


@pytest.mark.parametrize("name", TREES)
def test_numbers_of_a_public_data_set(name: str) -> None:
    table, target = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    prepare = Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    pipeline = Pipeline([("prepare", ColumnTransformer([("n", prepare, list(table))])), ("model", TREES[name]())])
    pipeline.fit(table, target)

    assert proven(pipeline, export_pipeline(pipeline), table, seed=0, drawn=DRAWN).max_abs_difference == 0


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "quantile"])
def test_other_losses_of_gradient_boosting(loss: str) -> None:
    table = a_table()
    pipeline = a_pipeline(GradientBoostingRegressor(loss=loss, n_estimators=10), "imputed", table)

    assert proven(pipeline, export_pipeline(pipeline), table, seed=0, drawn=200).max_abs_difference == 0


def test_a_tree_that_learned_nothing_is_its_one_leaf() -> None:
    table = a_table()
    for estimator in (RandomForestRegressor(3), GradientBoostingRegressor(n_estimators=3)):
        pipeline = a_pipeline(estimator, "imputed", table, np.full(len(table), 0.1))

        assert proven(pipeline, export_pipeline(pipeline), table, seed=0, drawn=100).max_abs_difference == 0


def test_threads_of_the_trained_forest_do_not_disturb_the_reference() -> None:
    table = a_table()
    forest = RandomForestRegressor(40, random_state=0, n_jobs=2)
    pipeline = a_pipeline(forest, "imputed", table)

    assert proven(pipeline, export_pipeline(pipeline), table, seed=0, drawn=DRAWN).max_abs_difference == 0
    assert forest.n_jobs == 2


def test_text_columns_of_objects_with_none_are_read_like_str() -> None:
    table = a_table()
    table["place"] = pd.Series([None if pd.isna(v) else v for v in table["place"]], dtype=object)
    pipeline = a_pipeline(TREES["forest"](), "imputed", table)

    assert proven(pipeline, export_pipeline(pipeline), table, seed=0, drawn=DRAWN).max_abs_difference == 0


def test_the_first_of_two_imputers_fills() -> None:
    table = a_table()
    fills = [SimpleImputer(strategy="constant", fill_value=fill) for fill in ("east", "west")]
    prepare = Pipeline([("first", fills[0]), ("second", fills[1]), ("encode", one_hot())])
    pipeline = Pipeline([("prepare", ColumnTransformer([("t", prepare, ["place"])])), ("model", TREES["tree"]())])
    pipeline.fit(table, a_target(table))

    assert proven(pipeline, export_pipeline(pipeline), table, seed=0, drawn=100).max_abs_difference == 0


def test_categories_may_have_an_order_of_their_own() -> None:
    table = a_table()
    prepare = ColumnTransformer([("grade", one_hot(categories=[["c", "a", "b"]]), ["grade"])])
    pipeline = Pipeline([("prepare", prepare), ("model", TREES["tree"]())]).fit(table, a_target(table))
    exported = export_pipeline(pipeline)

    assert exported.categories == {"grade": ("c", "a", "b")}
    assert proven(pipeline, exported, table, seed=0, drawn=100).max_abs_difference == 0


@pytest.mark.parametrize("name", TREES)
def test_one_row_has_the_same_bits_as_the_bulk(name: str) -> None:
    table = a_table()
    pipeline = a_pipeline(TREES[name](), "imputed", table)
    exported = export_pipeline(pipeline)
    engine, rows = _engine(exported), encode_frame(table, exported)

    single = np.concatenate([engine.run(row[np.newaxis]) for row in rows])

    assert single.tobytes() == engine.run(rows).tobytes()
    assert single[:, 0].tobytes() == pipeline.predict(table).tobytes()


def test_the_pipeline_is_asked_where_it_takes_nulls_and_unknown_categories() -> None:
    table = a_table(nulls=False)
    complete = a_pipeline(Ridge(), "complete", table)
    unknown_is_null = a_pipeline(Ridge(), "unknown is null", table)
    forest = a_pipeline(TREES["forest"](), "unknown is null", table)

    accepted = ask(complete, export_pipeline(complete), table)
    assert accepted == Acceptance(nulls=frozenset(TEXTS), unknowns=frozenset(TEXTS))
    accepted = ask(unknown_is_null, export_pipeline(unknown_is_null), table)
    assert accepted == Acceptance(nulls=frozenset(), unknowns=frozenset())
    accepted = ask(forest, export_pipeline(forest), table)
    assert accepted == Acceptance(nulls=frozenset(NUMBERS + TEXTS), unknowns=frozenset(TEXTS))


def proven(pipeline: Pipeline, exported: Exported, table: pd.DataFrame, *, seed: int, drawn: int) -> ParityReport:
    """Check, also that the kernel passes wherever there is one."""
    if can_compile():
        compiled()
    report = check_parity(pipeline, exported, table, seed=seed, drawn=drawn)
    by_kernel = can_compile() or exported.exactness == "bound"  # linear models need no compiler
    assert report.engine == (KERNEL if by_kernel else ONNXRUNTIME), report.kernel_refused
    return report


def _engine(exported: Exported) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(exported.onnx)
