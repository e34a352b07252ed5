"""The kernel beside onnxruntime, and beside scikit-learn: the same bits for trees, on every path."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from services.trainer.export import Exported, encode_frame, export_pipeline
from services.trainer.export.frame import decode_rows
from services.trainer.export.graph import INPUT, Graph
from services.trainer.export.linear import Linear as LinearModel
from services.trainer.export.linear import add_linear, read_linear
from services.trainer.parity.bound import dot_bound
from shared.kernel.compiled import CompiledEngine
from shared.kernel.nodes import NARROW, WIDE, pack
from shared.kernel.plain import PlainEngine
from shared.kernel.plan import Forest, Linear, read_plan
from shared.onnx_engine import OnnxRuntimeEngine
from tests.kernels import Matrix, compiled, forests, linear_graph, linear_models, needs_compiler
from tests.pipelines import PREPARATIONS, TAKES_NULL, a_pipeline, a_table

pytestmark = needs_compiler


def the_kernel(onnx: bytes) -> CompiledEngine:
    return CompiledEngine(read_plan(onnx), compiled())


def the_plain_engine(onnx: bytes) -> PlainEngine:
    plan = read_plan(onnx)
    assert isinstance(plan.estimator, Linear)
    return PlainEngine(plan.inputs, plan.estimator)


def the_packed_nodes(onnx: bytes) -> Any:
    estimator = read_plan(onnx).estimator
    assert isinstance(estimator, Forest)
    return pack(estimator).nodes.dtype


def same_bits(a: Matrix, b: Matrix) -> bool:
    """Whether all numbers are the same, zeros with their sign; of NaN there is one."""
    return np.where(np.isnan(a), 0, a).tobytes() == np.where(np.isnan(b), 0, b).tobytes() and bool(
        (np.isnan(a) == np.isnan(b)).all()
    )


@settings(max_examples=100, deadline=None)
@given(forests())
def test_random_trees_give_the_bits_of_onnxruntime(case: tuple[bytes, Matrix]) -> None:
    onnx, x = case

    assert same_bits(the_kernel(onnx).run(x), OnnxRuntimeEngine(onnx).run(x))


@settings(max_examples=100, deadline=None)
@given(st.one_of(forests(), linear_models()))
def test_a_row_has_the_same_bits_alone_and_among_others(case: tuple[bytes, Matrix]) -> None:
    onnx, x = case
    kernel = the_kernel(onnx)
    bulk = kernel.run(x)

    assert same_bits(np.array([kernel.run_row(row) for row in x.tolist()]), bulk[:, 0])
    assert same_bits(np.concatenate([kernel.run(x[i : i + 1]) for i in range(len(x))]), bulk)
    assert same_bits(kernel.run(np.asfortranarray(x[::-1]))[::-1], bulk)


@settings(max_examples=100, deadline=None)
@given(linear_models())
def test_a_linear_model_has_the_same_bits_with_and_without_c(case: tuple[bytes, Matrix]) -> None:
    onnx, x = case
    kernel, plain = the_kernel(onnx), the_plain_engine(onnx)

    assert same_bits(kernel.run(x), plain.run(x))
    assert same_bits(np.array([plain.run_row(row) for row in x[:20].tolist()]), kernel.run(x)[:20, 0])


def test_a_sum_of_negative_zeros_is_zero_with_and_without_c() -> None:
    graph = Graph()
    model = LinearModel(np.array([[-1.0], [-2.0]]), np.array([-0.0]), "identity")
    onnx = graph.serialize(add_linear(graph, model, INPUT), inputs=2, outputs=1)

    for engine in (the_kernel(onnx), the_plain_engine(onnx)):
        assert engine.run(np.zeros((3, 2))).tobytes() == np.zeros((3, 1)).tobytes()
        assert np.float64(engine.run_row([0.0, 0.0])).tobytes() == np.float64(0.0).tobytes()


ESTIMATORS = {
    "forest": lambda o: RandomForestRegressor(o["trees"], max_depth=o["depth"], random_state=o["seed"]),
    "boosting": lambda o: GradientBoostingRegressor(
        n_estimators=o["trees"], max_depth=min(o["depth"], 6), random_state=o["seed"]
    ),
    "hist": lambda o: HistGradientBoostingRegressor(max_iter=o["trees"], max_depth=o["depth"], min_samples_leaf=2),
}


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_random_estimators_give_the_bits_of_scikit_learn(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([k for k in PREPARATIONS if k != "complete"]))
    name = data.draw(st.sampled_from(sorted(ESTIMATORS)))
    if name == "boosting" and kind in TAKES_NULL:
        kind = "imputed"
    options = {
        "trees": data.draw(st.one_of(st.integers(1, 5), st.sampled_from([30, 200]))),
        "depth": data.draw(st.integers(1, 20)),
        "seed": data.draw(st.integers(0, 1000)),
    }
    table = a_table(data.draw(st.sampled_from([60, 300])), seed=options["seed"])
    target = data.draw(st.sampled_from([None, np.full(len(table), 0.1)]))
    pipeline = a_pipeline(ESTIMATORS[name](options), kind, table, target)
    exported = export_pipeline(pipeline)
    x = with_specials(exported, encode_frame(table, exported), np.random.default_rng(options["seed"]), kind)

    found = the_kernel(exported.onnx).run(x)

    assert found[:, 0].tobytes() == predictions(pipeline, exported, x, table).tobytes()
    assert found.tobytes() == OnnxRuntimeEngine(exported.onnx).run(x).tobytes()


def with_specials(exported: Exported, x: Matrix, rng: np.random.Generator, kind: str) -> Matrix:
    """Nulls everywhere, unknown categories where the estimator is not to see them as null."""
    x = np.concatenate([x, x])
    x[rng.random(x.shape) < 0.15] = np.nan
    if kind != "null code":
        x[:, exported.inputs.index("place")][rng.random(len(x)) < 0.1] = -1
    return x


def predictions(pipeline: Pipeline, exported: Exported, x: Matrix, like: pd.DataFrame) -> Matrix:
    found: Matrix = pipeline.predict(decode_rows(x, exported, like))
    return found


def test_nodes_are_small_where_the_features_are_float32_and_few() -> None:
    table = a_table()
    forest = export_pipeline(a_pipeline(RandomForestRegressor(3, random_state=0), "as it is", table))
    hist = export_pipeline(a_pipeline(HistGradientBoostingRegressor(max_iter=3), "as it is", table))

    assert the_packed_nodes(forest.onnx) == NARROW
    assert NARROW.itemsize == 8
    assert the_packed_nodes(hist.onnx) == WIDE


def test_a_large_forest_of_many_columns() -> None:
    rng = np.random.default_rng(0)
    names = [f"column {index}" for index in range(300)]
    table = pd.DataFrame(rng.normal(size=(2000, 300)), columns=names)
    table = table.mask(rng.random(table.shape) < 0.05)
    target = table["column 0"].fillna(1) * 3 + table["column 299"].fillna(2) + rng.normal(size=len(table))
    forest = RandomForestRegressor(30, max_features=0.1, random_state=0)
    pipeline = Pipeline([("prepare", ColumnTransformer([("n", "passthrough", names)])), ("model", forest)])
    pipeline.fit(table, target)
    exported = export_pipeline(pipeline)
    x = encode_frame(table, exported)

    assert the_packed_nodes(exported.onnx) == WIDE  # each column twice: nulls go either way
    assert the_kernel(exported.onnx).run(x)[:, 0].tobytes() == pipeline.predict(table).tobytes()


def test_threads_share_an_engine() -> None:
    table = a_table(300)
    exported = export_pipeline(a_pipeline(RandomForestRegressor(50, random_state=0), "imputed", table))
    x = np.tile(encode_frame(table, exported), (20, 1))
    kernel = the_kernel(exported.onnx)
    expected = OnnxRuntimeEngine(exported.onnx).run(x)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(kernel.run, [x] * 12))

    assert all(each.tobytes() == expected.tobytes() for each in found)


def no_call(*_: object) -> Any:
    raise AssertionError("it keeps the interpreter's lock")


def test_a_row_that_takes_long_lets_others_go_on_and_has_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    onnx, rows = linear_graph(rng, features=5, targets=1), rng.normal(size=(20, 5)).tolist()
    quick = the_kernel(onnx)
    monkeypatch.setattr("shared.kernel.compiled.QUICK_PARTS", 4)
    slow = the_kernel(onnx)
    monkeypatch.setattr(slow, "_calls", replace(slow._calls, row=no_call, run_briefly=no_call))
    assert [slow.run_row(row) for row in rows] == [quick.run_row(row) for row in rows]


def test_rows_are_taken_as_they_lie_and_refused_in_another_shape() -> None:
    table = a_table()
    exported = export_pipeline(a_pipeline(Ridge(), "imputed", table))
    engines: list[Any] = [the_kernel(exported.onnx), the_plain_engine(exported.onnx)]

    for engine in engines:
        assert engine.run(np.empty((0, 5))).shape == (0, 1)
        x = np.arange(15.0).reshape(3, 5)
        odd = np.frombuffer(b"?" + x.tobytes(), np.float64, offset=1).reshape(3, 5)
        assert engine.run(odd).tobytes() == engine.run(x).tobytes()
        for shape in [(2, 4), (2, 6), (10,)]:
            with pytest.raises(ValueError, match=r"expected \(n, 5\)"):
                engine.run(np.zeros(shape))
        with pytest.raises(ValueError, match="expected"):
            engine.run_row([1.0] * 4)


@settings(max_examples=20, deadline=None)
@given(kind=st.sampled_from([k for k in PREPARATIONS if k not in TAKES_NULL]), seed=st.integers(0, 1000))
def test_a_linear_model_is_as_close_to_scikit_learn_as_any_sum_can_be(kind: str, seed: int) -> None:
    table = a_table(nulls=kind != "complete", seed=seed)
    pipeline = a_pipeline(Ridge(), kind, table)
    exported = export_pipeline(pipeline)

    found = the_kernel(exported.onnx).run(encode_frame(table, exported))[:, 0]

    bound = dot_bound(read_linear(pipeline[1]), np.asarray(pipeline[0].transform(table)))[:, 0]
    assert (np.abs(found - pipeline.predict(table)) <= bound).all()
