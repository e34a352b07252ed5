"""Reading graphs: what our exporter writes is understood, everything else is refused, whatever it is."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge

from services.trainer.export import export_pipeline
from services.trainer.export.graph import INPUT, Graph
from services.trainer.export.trees import LEAF, Tree
from shared.kernel.columns import Column, Operation, Step
from shared.kernel.errors import GraphDamaged, GraphUnsupported
from shared.kernel.nodes import pack
from shared.kernel.plan import Forest, Linear, read_plan
from shared.kernel.trees import MOST_LEVELS
from tests.kernels import tree_graph
from tests.pipelines import a_pipeline, a_table


@cache
def a_forest() -> bytes:
    forest = RandomForestRegressor(3, max_depth=3, random_state=0)
    return export_pipeline(a_pipeline(forest, "null code", a_table(60))).onnx


@cache
def a_ridge() -> bytes:
    return export_pipeline(a_pipeline(Ridge(), "imputed", a_table(60))).onnx


def test_a_forest_is_read() -> None:
    plan = read_plan(a_forest())

    assert plan.inputs == 5
    assert isinstance(plan.estimator, Forest)
    assert plan.estimator.divisor == 3
    (ensemble,) = plan.estimator.ensembles
    assert len(ensemble.roots) == 3
    assert len(ensemble.value) == len(ensemble.threshold) + 3


def test_a_linear_model_is_read() -> None:
    plan = read_plan(a_ridge())

    assert isinstance(plan.estimator, Linear)
    assert len(plan.estimator.columns) == plan.estimator.weights.size == 11  # three numbers, five places, three grades


def test_only_columns_that_trees_read_are_computed() -> None:
    forest = read_plan(a_forest()).estimator
    assert isinstance(forest, Forest)
    read = set(np.concatenate([e.feature for e in forest.ensembles]).tolist())

    assert len(pack(forest).columns) == len(read)


NULL = float("nan")


@pytest.mark.parametrize(
    ("steps", "may"),
    [
        ([], True),
        ([Step(Operation.FILL, 1.0)], False),
        ([Step(Operation.FILL, NULL)], True),
        ([Step(Operation.SUBTRACT, 1.0), Step(Operation.DIVIDE, 2.0), Step(Operation.ROUND)], True),
        ([Step(Operation.FILL, 1.0), Step(Operation.SUBTRACT, 1.0), Step(Operation.DIVIDE, 2.0)], False),
        ([Step(Operation.FILL, 1.0), Step(Operation.SUBTRACT, float("inf"))], True),
        ([Step(Operation.FILL, 1.0), Step(Operation.DIVIDE, 0.0)], True),
        ([Step(Operation.FILL, 1.0), Step(Operation.DIVIDE, float("inf"))], True),
        ([Step(Operation.CODE, -1.0, -2.0)], False),
        ([Step(Operation.CODE, NULL, -2.0)], True),
        ([Step(Operation.CODE, -1.0, NULL)], True),
        ([Step(Operation.FILL, 1.0), Step(Operation.CODE, NULL, 1.0)], True),
        ([Step(Operation.EQUAL, 1.0)], False),
        ([Step(Operation.IS_NULL), Step(Operation.ROUND)], False),
    ],
)
def test_where_null_may_come_from(steps: list[Step], may: bool) -> None:
    assert Column(0, tuple(steps)).may_be_null == may


@pytest.mark.parametrize("make", [a_forest, a_ridge])
def test_a_graph_that_is_cut_off_is_refused_wherever(make: Callable[[], bytes]) -> None:
    whole = make()

    for end in range(len(whole)):
        with pytest.raises((GraphDamaged, GraphUnsupported)):
            read_plan(whole[:end])


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from([a_forest, a_ridge]))
def test_altered_bytes_are_refused_or_harmless(data: st.DataObject, make: Callable[[], bytes]) -> None:
    altered = bytearray(make())
    for _ in range(data.draw(st.integers(1, 3))):
        altered[data.draw(st.integers(0, len(altered) - 1))] = data.draw(st.integers(0, 255))

    try:
        plan = read_plan(bytes(altered))
        packed = pack(plan.estimator) if isinstance(plan.estimator, Forest) else None
    except (GraphDamaged, GraphUnsupported):
        return
    assert all(0 <= column.source < plan.inputs for column in plan.estimator.columns)
    if packed:
        assert_walks_stay_inside(packed)


def assert_walks_stay_inside(packed: Any) -> None:
    if packed.narrow:
        child, slot = packed.nodes["child_slot"] >> 8, packed.nodes["child_slot"] & 255
    else:
        child, slot = packed.nodes["child"], packed.nodes["slot"]
    is_leaf = child == np.arange(len(child))
    assert (child + ~is_leaf < len(packed.nodes)).all()
    assert (slot <= len(packed.columns)).all()
    assert (slot[is_leaf] == 0).all()
    assert (packed.trees["root"] < len(packed.nodes)).all()
    at = packed.trees["root"].astype(np.int64)
    for _ in range(packed.trees["depth"].max()):
        at = np.unique(np.concatenate([child[at], child[at] + ~is_leaf[at]]))
    assert is_leaf[at].all()


Change = Callable[[Any], None]


def attribute(model: Any, name: str) -> Any:
    (found,) = [a for node in model.graph.node for a in node.attribute if a.name == name]
    return found


def ints(name: str, change: Callable[[list[int]], None]) -> Change:
    def apply(model: Any) -> None:
        values = list(attribute(model, name).ints)
        change(values)
        attribute(model, name).ints[:] = values

    return apply


def tensor(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    def apply(model: Any) -> None:
        found = attribute(model, name).t
        found.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(found).copy())))

    return apply


def number(name: str, value: int) -> Change:
    def apply(model: Any) -> None:
        attribute(model, name).i = value

    return apply


def _set(index: int, value: int) -> Callable[[list[int]], None]:
    return lambda values: values.__setitem__(index, value)


def _node(model: Any, operator: str) -> Any:
    return next(node for node in model.graph.node if node.op_type == operator)


DAMAGE: dict[str, Change] = {
    "a feature that is not there": ints("nodes_featureids", _set(0, 99)),
    "a feature below 0": ints("nodes_featureids", _set(0, -1)),
    "a root that is not there": ints("tree_roots", _set(0, 10_000)),
    "a root twice": ints("tree_roots", _set(1, 0)),
    "a split below itself": ints("nodes_truenodeids", _set(0, 0)),
    "a split that is not there": ints("nodes_truenodeids", _set(0, 10_000)),
    "a leaf twice": ints("nodes_falsenodeids", lambda values: values.__setitem__(-1, values[-2])),
    "a leaf that is not there": ints("nodes_falsenodeids", _set(-1, 10_000)),
    "a leaf beyond all memory": ints("nodes_falsenodeids", _set(-1, 2**60)),
    "a leaf below 0": ints("nodes_falsenodeids", _set(-1, -1)),
    "a split below 0": ints("nodes_truenodeids", _set(0, -1)),
    "a split beyond all memory": ints("nodes_truenodeids", _set(0, 2**60)),
    "a root beyond all memory": ints("tree_roots", _set(0, 2**60)),
    "a flag of 2": ints("nodes_falseleafs", _set(0, 2)),
    "another target": ints("leaf_targetids", _set(0, 1)),
    "a list too short": ints("nodes_featureids", lambda values: values.__delitem__(0)),
    "no tree": ints("tree_roots", lambda values: values.clear()),
    "a threshold that is no number": tensor("nodes_splits", lambda t: np.full_like(t, np.nan)),
    "fewer leaves": tensor("leaf_weights", lambda t: t[:-1]),
    "a node that reads what comes later": lambda model: model.graph.node.append(model.graph.node.pop(0)),
    "a node twice": lambda model: model.graph.node.append(model.graph.node[0]),
    "a constant twice": lambda model: model.graph.initializer.append(model.graph.initializer[0]),
    "more outputs than sums": lambda model: setattr(
        model.graph.output[0].type.tensor_type.shape.dim[1], "dim_value", 2
    ),
    "a column that is not there": lambda model: setattr(
        model.graph.initializer[0], "raw_data", np.full(2, 7, np.int64).tobytes()
    ),
    "a tensor of fewer bytes": lambda model: setattr(model.graph.initializer[0], "raw_data", b"1234567"),
}
UNSUPPORTED: dict[str, Change] = {
    "another comparison": tensor("nodes_modes", np.ones_like),
    "thresholds in float32": tensor("nodes_splits", lambda t: t.astype(np.float32)),
    "an average": number("aggregate_function", 0),
    "something after the sum": number("post_transform", 1),
    "another axis": lambda model: setattr(_node(model, "Gather").attribute[0], "i", 0),
    "an unknown operator": lambda model: setattr(_node(model, "Sub"), "op_type", "Pow"),
    "an operator of another domain": lambda model: setattr(_node(model, "Sub"), "domain", "com.example"),
    "an unknown attribute": lambda model: _node(model, "Sub").attribute.append(helper.make_attribute("broadcast", 1)),
    "a name for the number of rows": lambda model: setattr(
        model.graph.input[0].type.tensor_type.shape.dim[0], "dim_param", "n"
    ),
    "another input": lambda model: setattr(model.graph.input[0], "name", "y"),
    "numbers in float32": lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", 1),
    "newer operators": lambda model: setattr(model.opset_import[0], "version", 22),
    "functions of its own": lambda model: model.functions.append(onnx.FunctionProto(name="f")),
    "constants in another file": lambda model: setattr(model.graph.initializer[0], "data_location", 1),
    "nothing but its input": lambda model: model.graph.node[-1].input.__setitem__(0, INPUT),
}


def altered(change: Change) -> bytes:
    model = onnx.load_from_string(a_forest())
    change(model)
    encoded: bytes = model.SerializeToString()
    return encoded


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_told(what: str) -> None:
    with pytest.raises(GraphDamaged):
        read_plan(altered(DAMAGE[what]))


@pytest.mark.parametrize("what", UNSUPPORTED)
def test_what_the_exporter_does_not_write_is_left_to_others(what: str) -> None:
    with pytest.raises(GraphUnsupported):
        read_plan(altered(UNSUPPORTED[what]))


def test_splits_that_lead_to_each_other_are_damage() -> None:
    with pytest.raises(GraphDamaged, match="only lead to each other"):
        read_plan(altered(make_loop))


def make_loop(model: Any) -> None:
    """Put a leaf in the place of two splits of the first tree, which lead to each other from now on."""
    names = ("nodes_truenodeids", "nodes_trueleafs", "nodes_falsenodeids", "nodes_falseleafs")
    true, true_leaf, _, _ = (attribute(model, name).ints for name in names)
    top = next(i for i, leaf in enumerate(true_leaf) if not leaf and not true_leaf[true[i]])
    below = true[top]
    further = true[below]
    true[top], true[below], true[further], true_leaf[further] = further, below, true[further], true_leaf[further]


def test_a_few_nodes_cannot_ask_for_all_memory() -> None:
    graph, tensor_name = Graph(), INPUT
    for _ in range(40):
        tensor_name = graph.join([tensor_name, tensor_name])

    with pytest.raises(GraphUnsupported, match="columns"):
        read_plan(graph.serialize(tensor_name, inputs=1, outputs=1))


def test_a_chain_is_left_to_others() -> None:
    splits = MOST_LEVELS + 1
    left = np.append(np.arange(1, splits + 1), [LEAF] * (splits + 1))
    right = np.append(np.arange(splits + 1, 2 * splits + 1), [LEAF] * (splits + 1))
    nodes = 2 * splits + 1
    chain = Tree(np.zeros(nodes, np.int64), np.zeros(nodes), np.zeros(nodes, np.bool_), left, right, np.zeros(nodes))

    with pytest.raises(GraphUnsupported, match="levels"):
        read_plan(tree_graph([[chain]], features=1, float32=True, divided=False, first=False))
