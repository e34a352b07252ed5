"""Training on the real thing: MLflow on SQLite, files on disk, the engines."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from services.trainer.alias import set_champion
from services.trainer.dataset import load_dataset
from services.trainer.mirror import VersionUnknown
from services.trainer.table import DataUnusable
from services.trainer.tracking import tracking
from services.trainer.training import Trained, train
from shared.artifact import fetch, upload
from shared.engine import Model, load_model
from shared.engines import KERNEL, ONNXRUNTIME
from shared.params import Params, load_params
from shared.store import Store
from tests.kernels import can_compile, compiled
from tests.mlflow_database import an_empty_database
from tests.tables import parcel_project

REPOSITORY = Path(__file__).parents[2]


@dataclass
class Project:
    params: Params
    base_dir: Path
    directory: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.directory / 'mlflow' / 'mlflow.db'}"

    def train(self, **sections: Any) -> Trained:
        params = self.params.model_copy(update=sections)
        return train(params, self.base_dir, self.directory / "out", self.uri, lambda *_: None)


async def served(trained: Trained, directory: Path) -> Model:
    """Take the version's way into service: into a store, out of it, verified against its golden rows."""
    store = Store.open((directory / "store").as_uri())
    digest = await upload(store, trained.directory)
    return load_model(await fetch(store, trained.name, trained.version, digest))


def registered(project: Project, trained: Trained) -> Any:
    """Return the pipeline as MLflow keeps it."""
    with tracking(project.uri) as mlflow:
        return mlflow.sklearn.load_model(f"models:/{trained.name}/{trained.version}")


@pytest.fixture(scope="module")
def boston(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Trained]:
    if can_compile():
        compiled()
    directory = tmp_path_factory.mktemp("boston")
    (directory / "mlflow").mkdir()
    project = Project(load_params(REPOSITORY / "params.yaml"), REPOSITORY, directory)
    return project, project.train()


@pytest.fixture
def parcels(tmp_path: Path) -> Project:
    an_empty_database(tmp_path / "mlflow")
    return Project(parcel_project(tmp_path), tmp_path, tmp_path)


async def test_the_example_becomes_a_version_that_answers_as_scikit_learn_does(
    boston: tuple[Project, Trained], tmp_path: Path
) -> None:
    project, trained = boston
    model = await served(trained, tmp_path)
    frame = load_dataset(project.params, project.base_dir).frame
    rows = np.array([model.encoder.encode(dict(row)) for _, row in frame.iterrows()])

    assert trained.manifest.exactness == "bits"
    assert model.predict(rows).tolist() == registered(project, trained).predict(frame).tolist()


def test_the_manifest_says_where_a_version_comes_from(boston: tuple[Project, Trained]) -> None:
    project, trained = boston
    manifest = trained.manifest

    assert set(manifest.metrics) == {"linear_regression", "ridge", "random_forest", "gradient_boosting"}
    best = min(manifest.metrics, key=lambda name: manifest.metrics[name].cv_mean["rmse"])
    assert manifest.candidate == best
    assert manifest.rows["train"] + manifest.rows["test"] == 506
    assert manifest.params_sha256 == project.params.digest
    assert manifest.drift == project.params.drift.model_dump()
    assert int(manifest.parity["rows"]) > 100_000
    assert manifest.engine == (KERNEL if can_compile() else ONNXRUNTIME)
    assert ("kernel_refused" in manifest.parity) == (manifest.engine == ONNXRUNTIME)


def test_mlflow_holds_the_run_its_candidates_plots_dataset_and_tags(boston: tuple[Project, Trained]) -> None:
    project, trained = boston
    with tracking(project.uri) as mlflow:
        client = mlflow.MlflowClient()
        run = client.get_run(trained.manifest.mlflow_run_id)
        nested = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'")
        plots = sorted(Path(file.path).name for file in client.list_artifacts(run.info.run_id, "plots"))

    assert run.info.status == "FINISHED"
    assert run.data.params["model_building.random_forest.n_estimators"] == "200"
    assert run.data.metrics["cv_mean_rmse"] == trained.manifest.metrics[trained.manifest.candidate].cv_mean["rmse"]
    assert run.data.tags["data_sha256"] == trained.manifest.data_sha256
    assert run.data.tags["params_sha256"] == project.params.digest
    assert {"git_commit", "candidate"} <= set(run.data.tags)
    assert {child.info.run_name for child in nested} == set(trained.manifest.metrics)
    assert all({"train_r2", "cv_std_mae", "test_rmse", "fold_rmse"} <= set(child.data.metrics) for child in nested)
    assert plots == [
        "feature_importance.png",
        "predicted_vs_actual.png",
        "residual_distribution.png",
        "residuals.png",
    ]
    (dataset,) = run.inputs.dataset_inputs
    assert trained.manifest.data_sha256.startswith(dataset.dataset.digest)


def test_mlflow_holds_a_model_with_signature_and_example_that_opens_without_pickle(
    boston: tuple[Project, Trained],
) -> None:
    project, trained = boston
    with tracking(project.uri) as mlflow:
        info = mlflow.models.get_model_info(f"models:/{trained.name}/{trained.version}")

    columns = load_dataset(project.params, project.base_dir).frame.columns
    assert info.signature.inputs.input_names() == columns.tolist()
    assert info.saved_input_example_info is not None
    assert info.flavors["sklearn"]["serialization_format"] == "skops"


def test_artifacts_lie_beside_the_database(boston: tuple[Project, Trained]) -> None:
    project, _ = boston

    assert list((project.directory / "mlflow" / "artifacts").rglob("model.skops"))


def test_the_alias_champion_moves_and_may_be_set_twice(boston: tuple[Project, Trained]) -> None:
    project, trained = boston
    for _ in range(2):
        set_champion(project.uri, trained.name, trained.version)

    with tracking(project.uri) as mlflow:
        champion = mlflow.MlflowClient().get_model_version_by_alias(trained.name, "champion")
    assert str(champion.version) == trained.version


def test_a_version_that_mlflow_does_not_have_is_said_to_be_unknown(boston: tuple[Project, Trained]) -> None:
    project, trained = boston
    for name, version in ((trained.name, "99"), ("nobody", "1")):
        with pytest.raises(VersionUnknown, match=f"no version {version} of {name}"):
            set_champion(project.uri, name, version)


@pytest.mark.parametrize("candidate", ["linear_regression", "ridge", "random_forest", "gradient_boosting"])
async def test_categories_and_nulls_are_served_for_every_candidate(
    parcels: Project, tmp_path: Path, candidate: str
) -> None:
    parcels.params = parcel_project(tmp_path, selection={"cv": 3, "only": candidate})
    trained = parcels.train()
    model, pipeline = await served(trained, tmp_path), registered(parcels, trained)
    full: dict[str, object] = {"weight": 2.5, "distance": 12, "carrier": "rail", "zone": "C", "insured": 1}
    rows = [full, {**full, "weight": None}, {**full, "zone": None}, {**full, "carrier": "balloon"}]

    served_values = model.predict(np.array([model.encoder.encode(row) for row in rows]))
    # The bound of a linear model is far below this; trees are equal.
    tolerance = 0.0 if trained.manifest.exactness == "bits" else 1e-12
    assert np.abs(served_values - pipeline.predict(pd.DataFrame(rows))).max() <= tolerance
    assert trained.manifest.tolerance <= tolerance
    assert (trained.manifest.tolerance == 0) is (trained.manifest.exactness == "bits")


def test_training_again_makes_the_next_version_with_the_same_graph(parcels: Project) -> None:
    first, second = parcels.train(), parcels.train()

    assert (first.version, second.version) == ("1", "2")
    assert first.manifest.files == second.manifest.files


def test_a_version_that_the_store_has_already_is_not_given_again(parcels: Project) -> None:
    arguments = (parcels.params, parcels.base_dir, parcels.directory / "out", parcels.uri, lambda *_: None)

    assert train(*arguments, taken=["1", "2"]).version == "3"
    assert train(*arguments, taken=["1", "2", "3"]).version == "4"
    with tracking(parcels.uri) as mlflow:
        left = mlflow.MlflowClient().search_model_versions("name = 'test'")
    assert {str(version.version) for version in left} == {"3", "4"}


def test_refused_data_registers_nothing(parcels: Project) -> None:
    (parcels.base_dir / "parcels.csv").write_text("weight,cost\n1,2\n")
    (parcels.directory / "mlflow" / "mlflow.db").unlink()

    with pytest.raises(DataUnusable, match="1 rows are too few"):
        parcels.train()
    assert not (parcels.directory / "mlflow" / "mlflow.db").exists()


def test_a_column_read_as_categories_by_params_alone(tmp_path: Path) -> None:
    an_empty_database(tmp_path / "mlflow")
    params = parcel_project(tmp_path, features={"insured": {"kind": "categorical"}, "distance": {"drop": True}})
    trained = Project(params, tmp_path, tmp_path).train()

    assert '"insured"' in (trained.directory / "signature.json").read_text()
    assert '"distance"' not in (trained.directory / "signature.json").read_text()
