"""Which engine serves a version: the one its manifest names, or one that gives the same bits, and it says why."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge

from services.trainer.export import Exported, encode_frame, export_pipeline
from shared import artifact
from shared.artifact import Artifact, ArtifactInvalid, Golden, GoldenRow
from shared.engine import load_model
from shared.engines import KERNEL, ONNXRUNTIME, EngineUnavailable, choose_engine, open_engine
from shared.kernel import PLAIN_NAME
from shared.kernel.build import build
from shared.settings import ROOT
from shared.signature import Feature, Signature
from shared.store import Store
from tests.artifacts import an_artifact
from tests.kernels import COMPILED, Matrix, compiled, needs_compiler
from tests.pipelines import a_pipeline, a_table

TABLE = a_table(100)


def exported(estimator: object) -> tuple[Exported, Matrix]:
    found = export_pipeline(a_pipeline(estimator, "imputed", TABLE))
    return found, encode_frame(TABLE, found)


async def an_artifact_of(store: Store, engine: str) -> Artifact:
    await an_artifact(store, engine=engine)
    return await artifact.fetch(store, "model", "1")


@needs_compiler
async def test_a_version_of_the_kernel_is_served_by_it(store: Store) -> None:
    compiled()
    found = await an_artifact_of(store, KERNEL)
    model, other = load_model(found), open_engine(ONNXRUNTIME, found.onnx)

    assert (model.engine.name, model.instead) == (KERNEL, None)
    assert model.predict(model.golden).tobytes() == other.run(model.golden)[:, 0].tobytes()
    assert [model.predict_row(row) for row in model.golden.tolist()] == model.predict(model.golden).tolist()


@pytest.mark.parametrize("engine", [ONNXRUNTIME, None])
async def test_a_version_of_onnxruntime_stays_with_it(store: Store, engine: str | None) -> None:
    """Those from before there was a choice do not name it."""
    found = await an_artifact_of(store, engine or ONNXRUNTIME)
    if engine is None:
        manifest = found.manifest.model_dump()
        del manifest["engine"]
        found = replace(found, manifest=found.manifest.model_validate(manifest))

    model = load_model(found)

    assert (model.engine.name, model.instead) == (ONNXRUNTIME, None)


async def test_trees_of_an_engine_from_the_future_are_served_by_onnxruntime(store: Store) -> None:
    found = await an_artifact_of(store, "kernel/2")

    model = load_model(found)

    assert (model.engine.name, model.instead) == (ONNXRUNTIME, "this release knows no engine 'kernel/2'")


def test_a_linear_model_of_an_engine_from_the_future_is_refused() -> None:
    graph, x = exported(Ridge())

    with pytest.raises(EngineUnavailable, match="knows no engine 'kernel/2'; no other engine gives the same numbers"):
        choose_engine("kernel/2", graph.onnx, "bound", x)


def test_a_graph_that_the_kernel_does_not_know_is_served_by_onnxruntime() -> None:
    graph, x = exported(RandomForestRegressor(3, random_state=0))
    model = onnx.load_from_string(graph.onnx)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "rows"

    choice = choose_engine(KERNEL, model.SerializeToString(), "bits", x)

    assert choice.engine.name == ONNXRUNTIME
    assert "the kernel of this release does not take the graph" in (choice.instead or "")
    assert choice.engine.run(x).tobytes() == open_engine(ONNXRUNTIME, graph.onnx).run(x).tobytes()


@needs_compiler
@pytest.mark.parametrize("damage", ["a split below itself", "cut off"])
async def test_a_damaged_graph_is_no_artifact(store: Store, damage: str) -> None:
    compiled()
    found = await an_artifact_of(store, KERNEL)
    if damage == "cut off":
        altered = found.onnx[:-200]
    else:
        graph = onnx.load_from_string(found.onnx)
        ensemble = next(node for node in graph.graph.node if node.op_type == "TreeEnsemble")
        (left,) = [a.ints for a in ensemble.attribute if a.name == "nodes_truenodeids"]
        left[0] = 0
        altered = graph.SerializeToString()

    with pytest.raises(ArtifactInvalid, match="model version 1: the graph is damaged"):
        load_model(replace(found, onnx=altered))


@pytest.mark.parametrize("engine", [ONNXRUNTIME, pytest.param(KERNEL, marks=needs_compiler)])
async def test_a_graph_of_other_rows_is_no_artifact(store: Store, engine: str) -> None:
    found = await an_artifact_of(store, engine)
    size = Feature(name="size", kind="numeric", nullable=True)
    signature = Signature(target=found.signature.target, features=(*found.signature.features, size))
    rows = [GoldenRow(row={**each.row, "size": 1.0}, prediction=each.prediction) for each in found.golden.rows]

    with pytest.raises(ArtifactInvalid, match="fails golden row 0"):
        load_model(replace(found, signature=signature, golden=Golden(rows=tuple(rows))))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The code without a compiled kernel."""
    shutil.copytree(ROOT / "shared", tmp_path / "shared", ignore=COMPILED)
    return tmp_path


CHOOSE = """
import sys
import numpy as np
from shared.engines import choose_engine
onnx, exactness = open("model.onnx", "rb").read(), sys.argv[1]
x = np.load("x.npy")
choice = choose_engine("kernel/1", onnx, exactness, x)
np.save("found.npy", choice.engine.run(x))
print(choice.engine.name, choice.instead, "onnxruntime" in sys.modules, sep="\\n")
"""


def choose(directory: Path, graph: Exported, x: Matrix) -> tuple[list[str], Matrix]:
    """Return what is chosen in another process, why, whether onnxruntime was loaded, and what comes out."""
    (directory / "model.onnx").write_bytes(graph.onnx)
    np.save(directory / "x.npy", x)
    command = [sys.executable, "-c", CHOOSE, graph.exactness]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), np.load(directory / "found.npy")


def test_without_a_compiled_kernel_onnxruntime_serves_trees(elsewhere: Path) -> None:
    graph, x = exported(RandomForestRegressor(3, random_state=0))

    (name, why, _), found = choose(elsewhere, graph, x)

    assert name == ONNXRUNTIME
    assert why.startswith("the kernel is not compiled here")
    assert found.tobytes() == open_engine(ONNXRUNTIME, graph.onnx).run(x).tobytes()


def test_without_a_compiled_kernel_a_linear_model_has_the_same_bits_all_the_same(elsewhere: Path) -> None:
    graph, x = exported(Ridge())

    (name, why, loaded), found = choose(elsewhere, graph, x)

    assert (name, loaded) == (PLAIN_NAME, "False")
    assert why.startswith("the kernel is not compiled here")
    assert found.tobytes() == choose_engine(KERNEL, graph.onnx, "bound", x).engine.run(x).tobytes()
    assert found.tobytes() == open_engine(PLAIN_NAME, graph.onnx).run(x).tobytes()


@needs_compiler
def test_a_process_that_serves_by_the_kernel_does_not_load_onnxruntime(elsewhere: Path) -> None:
    graph, x = exported(RandomForestRegressor(3, random_state=0))
    library = build()
    shutil.copy(library, elsewhere / "shared/kernel" / library.name)

    (name, why, loaded), _ = choose(elsewhere, graph, x)

    assert (name, why, loaded) == (KERNEL, "None", "False")


@needs_compiler
def test_a_kernel_that_rounds_otherwise_is_not_trusted_with_linear_models(elsewhere: Path) -> None:
    """As by a compiler that fuses products and sums."""
    graph, x = exported(Ridge())
    source = elsewhere / "shared/kernel/kernel.c"
    source.write_text(source.read_text().replace("weight * z[i]", "weight * z[i] * (1 + DBL_EPSILON)"))
    subprocess.run([sys.executable, "-m", "shared.kernel.build"], cwd=elsewhere, check=True, capture_output=True)

    (name, why, _), found = choose(elsewhere, graph, x)

    assert (name, why) == (PLAIN_NAME, "the compiled kernel does not round as it should here")
    assert found.tobytes() == open_engine(PLAIN_NAME, graph.onnx).run(x).tobytes()
