"""The gate refuses a graph that is wrong by the least that a float can be wrong."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeRegressor

from services.trainer.export import Exported, export_pipeline
from services.trainer.parity import ParityFailed, check_parity
from tests.pipelines import a_pipeline, a_table

TABLE = a_table(150)


@cache
def fitted(name: str) -> tuple[Pipeline, Exported]:
    estimators: dict[str, Any] = {
        "tree": lambda: DecisionTreeRegressor(max_depth=6, random_state=0),
        "hist": lambda: HistGradientBoostingRegressor(max_iter=1, min_samples_leaf=5),
        "forest": lambda: RandomForestRegressor(4, max_depth=5, random_state=0),
        "ridge": Ridge,
    }
    pipeline = a_pipeline(estimators[name](), "unscaled", TABLE)
    return pipeline, export_pipeline(pipeline)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_a_leaf_one_ulp_off_is_caught(data: st.DataObject) -> None:
    pipeline, exported = fitted("tree")
    leaves = _tensor(exported, "leaf_weights")
    index = data.draw(st.integers(0, len(leaves) - 1))
    leaves[index] = np.nextafter(leaves[index], np.inf)

    with pytest.raises(ParityFailed, match="differ from scikit-learn"):
        check_parity(pipeline, _with_tensor(exported, "leaf_weights", leaves), TABLE, seed=0, drawn=100)


@settings(max_examples=15, deadline=None)
@given(st.data(), st.sampled_from([-np.inf, np.inf]))
def test_a_threshold_one_ulp_off_is_caught(data: st.DataObject, towards: float) -> None:
    pipeline, exported = fitted("hist")
    splits = _tensor(exported, "nodes_splits")
    learned = np.flatnonzero(np.isfinite(splits) & (splits != 0.5))  # between 0 and 1 of a one-hot column any is right
    index = data.draw(st.sampled_from(learned.tolist()))
    splits[index] = np.nextafter(splits[index], towards)

    with pytest.raises(ParityFailed):
        check_parity(pipeline, _with_tensor(exported, "nodes_splits", splits), TABLE, seed=0, drawn=100)


def test_a_missing_rounding_to_float32_is_caught() -> None:
    pipeline, exported = fitted("forest")
    model = onnx.load_from_string(exported.onnx)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT:
                attribute.i = onnx.TensorProto.DOUBLE

    with pytest.raises(ParityFailed):
        check_parity(pipeline, replace(exported, onnx=model.SerializeToString()), TABLE, seed=0, drawn=100)


def test_trees_added_in_another_order_are_caught() -> None:
    _, exported = fitted("forest")
    shuffled = a_pipeline(RandomForestRegressor(4, max_depth=5, random_state=0), "unscaled", TABLE)
    shuffled[1].estimators_.reverse()

    with pytest.raises(ParityFailed):
        check_parity(shuffled, exported, TABLE, seed=0, drawn=2000)


def test_nulls_sent_the_other_way_are_caught() -> None:
    pipeline = a_pipeline(DecisionTreeRegressor(max_depth=4, random_state=0), "as it is", TABLE)
    exported = export_pipeline(pipeline)
    model = onnx.load_from_string(exported.onnx)
    ways = _attribute(model, "nodes_missing_value_tracks_true").ints
    ways[:] = [1 - way for way in ways]

    with pytest.raises(ParityFailed):
        check_parity(pipeline, replace(exported, onnx=model.SerializeToString()), TABLE, seed=0, drawn=100)


def test_categories_in_another_order_are_caught() -> None:
    pipeline, exported = fitted("ridge")
    categories = {name: values[::-1] for name, values in exported.categories.items()}

    with pytest.raises(ParityFailed):
        check_parity(pipeline, replace(exported, categories=categories), TABLE, seed=0, drawn=100)


def test_a_linear_model_beyond_the_bound_is_caught() -> None:
    pipeline, exported = fitted("ridge")
    other = a_pipeline(Ridge(), "unscaled", TABLE)
    other[1].intercept_ *= 1 + 1e-12

    with pytest.raises(ParityFailed, match="allowed is a difference of"):
        check_parity(other, exported, TABLE, seed=0, drawn=100)
    assert check_parity(pipeline, exported, TABLE, seed=0, drawn=100).worst_bound_ratio


def _attribute(model: onnx.ModelProto, name: str) -> Any:
    (found,) = [a for node in model.graph.node for a in node.attribute if a.name == name]
    return found


def _tensor(exported: Exported, name: str) -> Any:
    model = onnx.load_from_string(exported.onnx)
    return numpy_helper.to_array(_attribute(model, name).t).copy()


def _with_tensor(exported: Exported, name: str, values: Any) -> Exported:
    model = onnx.load_from_string(exported.onnx)
    _attribute(model, name).t.CopyFrom(numpy_helper.from_array(values))
    return replace(exported, onnx=model.SerializeToString())
