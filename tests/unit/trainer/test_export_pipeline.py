"""What an export says about its input."""

import numpy as np
import onnx
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from services.trainer.export import Exported, encode_frame, export_pipeline
from shared.onnx_engine import OnnxRuntimeEngine
from tests.pipelines import a_pipeline, a_table, a_target, one_hot

TABLE = a_table(60)


def test_inputs_are_the_raw_columns_in_the_order_of_the_table() -> None:
    exported = export_pipeline(a_pipeline(Ridge(), "indicator", TABLE))

    assert exported.inputs == ("place", "length", "weight", "grade", "count")


def test_null_is_not_among_the_categories() -> None:
    exported = export_pipeline(a_pipeline(Ridge(), "imputed", TABLE))

    assert exported.categories == {"place": ("east", "north", "south", "west"), "grade": ("a", "b", "c")}


def test_a_fill_text_is_a_category_like_any_other() -> None:
    exported = export_pipeline(a_pipeline(Ridge(), "indicator", TABLE))

    assert exported.categories["place"] == ("east", "missing", "north", "south", "west")


def test_a_column_that_the_pipeline_drops_is_no_input() -> None:
    prepare = ColumnTransformer([("n", StandardScaler(), ["count"]), ("off", "drop", ["weight"]), ("none", "drop", [])])
    pipeline = Pipeline([("prepare", prepare), ("model", Ridge())]).fit(TABLE, a_target(TABLE))

    assert export_pipeline(pipeline).inputs == ("count",)


@pytest.mark.parametrize(
    "columns", [[1, 4], slice(1, 5, 3), np.array([False, True, False, False, True]), ["length", "count"]]
)
def test_columns_may_be_chosen_by_name_position_slice_or_mask(columns: object) -> None:
    table = a_table(60, nulls=False)
    prepare = ColumnTransformer([("n", StandardScaler(), columns)])
    pipeline = Pipeline([("prepare", prepare), ("model", DecisionTreeRegressor())]).fit(table, a_target(table))
    exported = export_pipeline(pipeline)

    assert exported.inputs == ("length", "count")
    assert _predictions(exported, pipeline) == pipeline.predict(table).tolist()


def test_what_remains_may_pass_through() -> None:
    table = a_table(60, nulls=False)
    prepare = ColumnTransformer([("t", one_hot(), ["place", "grade"])], remainder="passthrough")
    pipeline = Pipeline([("prepare", prepare), ("model", DecisionTreeRegressor())]).fit(table, a_target(table))

    assert _predictions(export_pipeline(pipeline), pipeline) == pipeline.predict(table).tolist()


def test_equal_pipelines_give_equal_bytes() -> None:
    first, second = (a_pipeline(DecisionTreeRegressor(random_state=0), "imputed", TABLE) for _ in range(2))

    assert export_pipeline(first).onnx == export_pipeline(second).onnx


def test_the_graph_is_a_valid_model_of_the_versions_that_we_promise() -> None:
    model = onnx.load_from_string(export_pipeline(a_pipeline(DecisionTreeRegressor(), "imputed", TABLE)).onnx)

    onnx.checker.check_model(model)
    assert model.ir_version == 10
    assert {o.domain: o.version for o in model.opset_import} == {"": 21, "ai.onnx.ml": 5}


def _predictions(exported: Exported, pipeline: Pipeline) -> list[float]:
    rows = encode_frame(a_table(60, nulls=False), exported)
    predictions: list[float] = OnnxRuntimeEngine(exported.onnx).run(rows)[:, 0].tolist()
    return predictions
