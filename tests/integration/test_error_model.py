"""Errors estimated without labels: by a model trained with the champion, shipped, and asked where rows are seen."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from services.monitor.fold import fold_chunk, fold_predictions
from services.monitor.versions import Versions
from services.scorer.score import score_chunk
from services.trainer import error_model
from services.trainer.dataset import Dataset, load_dataset
from services.trainer.error_model import ErrorModelBuilt, build_error_model
from services.trainer.evaluate import Evaluation, evaluate_candidates
from services.trainer.export import encode_frame, export_pipeline
from services.trainer.parity import ParityFailed
from services.trainer.split import Split, make_split
from services.trainer.training import Trained, train
from shared import artifact
from shared.artifact import ERROR_ONNX, Manifest
from shared.chunks import Chunk, encode_chunk
from shared.engine import Model, load_model
from shared.engines import open_engine
from shared.error_estimate import EstimatedError, estimated_error
from shared.error_model import ErrorModel
from shared.events import ChunkScored
from shared.profile import Summary, merge
from shared.store import Store
from tests.artifacts import an_artifact, break_graph
from tests.mlflow_database import an_empty_database
from tests.pipelines import a_table, a_target
from tests.tables import as_csv, some_params
from tests.unit.monitor.builders import an_event

Rows = NDArray[np.float64]
SOME_WORN, MOSTLY_WORN = 0.2, 0.8


def some_machines(n: int, worn: float, seed: int, noise: float = 1.0) -> tuple[Rows, Rows]:
    """Return load and wear, shape (n, 2), and the output, which of a worn machine is six times as hard to foretell."""
    rng = np.random.default_rng(seed)
    load, wear = rng.uniform(0, 10, n), rng.uniform(0, 0.5, n) + 0.5 * (rng.random(n) < worn)
    return np.column_stack([load, wear]), 3 * load + np.where(wear > 0.5, 3.0, 0.5) * noise * rng.normal(size=n)


@dataclass
class Place:
    trained: Trained
    store: Store
    model: Model

    def of_a_job(self, x: Rows, chunk_rows: int = 2500) -> EstimatedError:
        """What a monitor says of a job that a scorer has scored."""
        chunks = [
            score_chunk(self.model, encode_chunk(Chunk(first, x[first : first + chunk_rows])), first)
            for first in range(0, len(x), chunk_rows)
        ]
        events = [
            ChunkScored(
                job_id="job",
                chunk=number,
                rows=scored.rows,
                failed=0,
                model_name=self.model.name,
                model_version=self.model.version,
                seconds=1.0,
                counts=scored.counts,
            )
            for number, scored in enumerate(chunks)
        ]
        folded = [fold_chunk(event, self.model.profile, event.occurred_at.timestamp(), 8) for event in events]
        return self.said(merge(counters for minutes in folded for counters in minutes.values()))

    async def of_predictions(self, x: Rows) -> EstimatedError:
        """What a monitor says of predictions that a gateway answered."""
        version = await Versions(self.store, patience=0).get(self.model.name, self.model.version)
        assert version.errors is not None
        folded: list[Summary] = []
        for rows in np.split(x, len(x) // 1000):
            event = an_event(rows, self.model.predict(rows).tolist())
            minutes = fold_predictions(
                event, rows, version.profile, event.time[0], 8, estimate=version.errors.summarise
            )
            folded += minutes.values()
        return self.said(merge(folded))

    def said(self, summary: Summary) -> EstimatedError:
        found = estimated_error(summary, self.trained.manifest.error_model)
        assert found is not None
        return found

    def true_error(self, x: Rows, y: Rows) -> float:
        return float(np.abs(self.model.predict(x) - y).mean())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    directory = tmp_path_factory.mktemp("machines")
    an_empty_database(directory / "mlflow")
    (directory / "machines.csv").write_bytes(a_csv(2000))
    params = some_params(source="machines.csv", selection={"only": "ridge", "cv": 3})
    uri = f"sqlite:///{directory / 'mlflow' / 'mlflow.db'}"
    return train(params, directory, directory / "out", uri, lambda *_: None)


@pytest.fixture
async def place(trained: Trained, tmp_path: Path) -> Place:
    store = Store.open((tmp_path / "store").as_uri())
    await artifact.upload(store, trained.directory)
    return Place(trained, store, load_model(await artifact.fetch(store, trained.name, trained.version, errors=True)))


async def test_without_drift_the_estimate_equals_the_true_error(place: Place) -> None:
    x, y = some_machines(20_000, SOME_WORN, seed=1)
    true, job = place.true_error(x, y), place.of_a_job(x)
    assert job.mae == pytest.approx(true, rel=0.1)
    assert job.ci[0] < true < job.ci[1]
    assert job.n == 20_000
    assert (await place.of_predictions(x)).mae == pytest.approx(true, rel=0.1)


async def test_rows_that_move_to_where_it_is_noisier_move_the_estimate_as_far_as_the_error(place: Place) -> None:
    x, y = some_machines(20_000, MOSTLY_WORN, seed=2)
    true, job = place.true_error(x, y), place.of_a_job(x)
    assert true > 1.8 * job.training_mae, "the drift has to matter"
    assert job.mae == pytest.approx(true, rel=0.1)
    assert job.ci[0] < true < job.ci[1]
    assert job.ci[0] > 1.5 * job.training_mae
    assert (await place.of_predictions(x)).mae == pytest.approx(true, rel=0.1)


def test_what_no_feature_shows_is_not_seen(place: Place) -> None:
    """Concept drift: the same rows, and other answers. Only feedback tells."""
    x, y = some_machines(20_000, SOME_WORN, seed=1, noise=2.0)
    assert place.of_a_job(x).mae < 0.7 * place.true_error(x, y)


def test_the_manifest_says_how_good_the_estimate_was(trained: Trained) -> None:
    figures = trained.manifest.error_model
    assert figures is not None
    assert figures.rows == trained.manifest.rows["train"]
    assert figures.mae == pytest.approx(trained.manifest.metrics["ridge"].cv_mean["mae"], rel=0.02)
    assert figures.estimated == pytest.approx(figures.mae, rel=0.05)
    assert figures.off_shifted < 0.5 * figures.off_constant
    assert ERROR_ONNX in trained.manifest.files


@dataclass
class Fitted:
    """A champion over a table, without the way through the registry."""

    dataset: Dataset
    split: Split
    evaluation: Evaluation

    @classmethod
    def over(cls, directory: Path, table: bytes) -> "Fitted":
        (directory / "table.csv").write_bytes(table)
        params = some_params(source="table.csv", selection={"only": "ridge", "cv": 2})
        dataset = load_dataset(params, directory)
        split = make_split(dataset.digests, 0.2, 2, 42)
        (evaluation,) = evaluate_candidates(dataset, split, params, lambda *_: None)
        return cls(dataset, split, evaluation)

    def error_model(self) -> ErrorModelBuilt | None:
        return build_error_model(self.dataset, self.split, self.evaluation)


def a_csv(rows: int) -> bytes:
    x, y = some_machines(rows, SOME_WORN, seed=3)
    return as_csv({"load": x[:, 0].tolist(), "wear": x[:, 1].tolist(), "y": y.tolist()})


def test_the_same_data_gives_the_same_error_model(tmp_path: Path) -> None:
    fitted = Fitted.over(tmp_path, a_csv(300))
    built = fitted.error_model()
    assert built is not None
    assert built == fitted.error_model()


def test_few_rows_give_no_error_model(tmp_path: Path) -> None:
    assert Fitted.over(tmp_path, a_csv(110)).error_model() is None


def test_a_model_without_error_gives_no_error_model(tmp_path: Path) -> None:
    fitted = Fitted.over(tmp_path, a_csv(300))
    exact = replace(fitted.evaluation, out_of_fold=fitted.dataset.target[fitted.split.train] + 1e-12)
    assert replace(fitted, evaluation=exact).error_model() is None


def test_what_cannot_be_proven_is_not_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it keep the version back, which has passed its own gate."""

    def fails(*_: object, **__: object) -> None:
        raise ParityFailed("1 of 1 differ from scikit-learn")

    monkeypatch.setattr(error_model, "check_parity", fails)
    assert Fitted.over(tmp_path, a_csv(300)).error_model() is None


def test_the_codes_of_categories_are_the_champions(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kinds = rng.choice(["a", "b", "noisy", "z"], 600)
    y = rng.normal(size=600) * np.where(kinds == "noisy", 5.0, 0.5)
    fitted = Fitted.over(tmp_path, as_csv({"load": rng.random(600).tolist(), "kind": kinds.tolist(), "y": y.tolist()}))
    built, champion = fitted.error_model(), export_pipeline(fitted.evaluation.pipeline)
    assert built is not None
    x = encode_frame(fitted.dataset.frame, champion)
    estimates = open_engine(built.figures.engine, built.onnx).run(x)[:, 0]
    codes = x[:, champion.inputs.index("kind")]
    by_kind = {kind: estimates[codes == code].mean() for code, kind in enumerate(champion.categories["kind"])}
    assert by_kind.pop("noisy") > 4 * max(by_kind.values())


@pytest.fixture
def empty(tmp_path: Path) -> Store:
    return Store.open((tmp_path / "artifacts").as_uri())


async def a_model(store: Store) -> Model:
    return load_model(await artifact.fetch(store, "model", "1", errors=True))


async def test_a_version_of_before_has_no_error_model_and_serves(empty: Store) -> None:
    await an_artifact(empty)
    model = await a_model(empty)
    assert model.errors is None
    fields = json.loads(await empty.get("models/model/1/manifest.json"))
    del fields["error_model"]  # the manifest did not know of it
    assert Manifest.model_validate(fields) == model.manifest


async def test_who_does_not_ask_for_the_error_model_does_not_read_it(empty: Store) -> None:
    await an_artifact(empty, errors=True)
    found = await artifact.fetch(empty, "model", "1")
    assert found.error_onnx is None
    assert load_model(found).errors is None


async def test_an_error_model_that_is_there_is_ready(empty: Store) -> None:
    await an_artifact(empty, errors=True)
    model = await a_model(empty)
    assert model.errors is not None
    assert model.errors.summarise(model.golden)["e:n"] == len(model.golden)
    assert model.errors.summarise(model.golden[:0]) == {}


@pytest.mark.parametrize("fate", ["altered", "missing"])
async def test_an_error_model_that_is_altered_or_missing_is_left_out(empty: Store, fate: str) -> None:
    await an_artifact(empty, errors=True)
    if fate == "altered":
        await break_graph(empty, "model", "1", ERROR_ONNX)
    else:
        await empty.delete(f"models/model/1/{ERROR_ONNX}")
    model = await a_model(empty)
    assert model.errors is None
    assert len(model.predict(model.golden)) == len(model.golden)


async def test_an_error_model_that_does_not_load_is_left_out(empty: Store) -> None:
    await an_artifact(empty, errors=True)
    found = await artifact.fetch(empty, "model", "1", errors=True)
    table = a_table(50)
    narrow = Pipeline(
        [("prepare", ColumnTransformer([("n", StandardScaler(), ["count"])])), ("m", DecisionTreeRegressor())]
    )
    other = export_pipeline(narrow.fit(table, a_target(table))).onnx
    assert load_model(replace(found, error_onnx=b"no graph")).errors is None
    assert load_model(replace(found, error_onnx=other)).errors is None


class Raises:
    """An engine that cannot take a row."""

    name = "raises"
    asked = 0

    def run(self, x: Rows) -> Rows:
        self.asked += 1
        raise MemoryError("too much")

    def run_row(self, row: Sequence[float]) -> float:
        raise NotImplementedError


async def test_an_error_model_that_fails_fails_no_chunk_and_is_not_asked_again(empty: Store) -> None:
    await an_artifact(empty, errors=True)
    model = await a_model(empty)
    engine = Raises()
    assert model.manifest.error_model is not None
    model = replace(model, errors=ErrorModel(engine, model.manifest.error_model, "model version 1"))
    for _ in range(2):
        scored = score_chunk(model, encode_chunk(Chunk(0, model.golden)), 0)
        assert (scored.failed, scored.counts["n"]) == (0, len(model.golden))
        assert "e:n" not in scored.counts
    assert engine.asked == 1
