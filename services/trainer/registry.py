"""MLflow: what a training run leaves behind, and the registered versions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from services.trainer.comparison import Comparison
from services.trainer.evaluate import Evaluation, Metrics
from services.trainer.tracking import a_run, tracking

EXAMPLE_ROWS = 5
# skops opens a file without running code from it, but for these; Tree is what holds a fitted tree's nodes.
TRUSTED_TYPES = ["numpy.dtype", "sklearn.tree._tree.Tree"]
_SQLITE = "sqlite:///"


@dataclass(frozen=True, eq=False)
class RunRecord:
    """Everything that MLflow keeps of one training run."""

    model_name: str
    params: Mapping[str, str]
    """Dotted keys of params.yaml."""
    tags: Mapping[str, str]
    evaluations: Sequence[Evaluation]
    selected: Evaluation
    comparison: Comparison | None
    """With the champion."""
    figures: Mapping[str, Figure]
    findings: Sequence[str]
    """What was noticed about the data."""
    frame: pd.DataFrame
    """All rows."""
    target: NDArray[np.float64]
    target_name: str
    data_source: str
    data_sha256: str
    requirements: Sequence[str]
    """Pinned packages that the logged model needs."""
    taken: Collection[str] = ()
    """Versions that the store has already, and which must not be given again."""


@dataclass(frozen=True)
class Registered:
    version: str
    run_id: str


def register_run(uri: str, record: RunRecord) -> Registered:
    """Log a run, one nested run per candidate, and register the selected pipeline as a new version.

    Raises:
        RegistryUnusable: what was logged until then stays.
    """
    with tracking(uri, uploads=True) as mlflow:
        experiment = _experiment(mlflow, uri, record.model_name)
        with a_run(mlflow, experiment_id=experiment, run_name=record.selected.candidate) as run:
            mlflow.log_params(record.params)
            mlflow.set_tags({**record.tags, "candidate": record.selected.candidate})
            mlflow.log_metrics(_flat(record.selected.metrics()))
            if record.comparison is not None:
                mlflow.set_tag("compared_with_version", record.comparison.champion)
                mlflow.log_metrics(_differences(record.comparison))
            mlflow.log_text("".join(f"{finding}\n" for finding in record.findings), "data_findings.txt")
            _log_dataset(mlflow, record)
            for evaluation in record.evaluations:
                _log_candidate(mlflow, experiment, evaluation, record.params)
            for name, figure in record.figures.items():
                mlflow.log_figure(figure, f"plots/{name}")
            return Registered(_log_model(mlflow, record), run.info.run_id)


def _experiment(mlflow: Any, uri: str, name: str) -> str:
    """Return the id of the model's experiment. Without a server, artifacts lie beside the database."""
    found = mlflow.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = None
    if uri.startswith(_SQLITE):
        location = (Path(uri.removeprefix(_SQLITE)).absolute().parent / "artifacts").as_uri()
    return str(mlflow.create_experiment(name, artifact_location=location))


def _flat(metrics: Metrics) -> dict[str, float]:
    """Return e.g. `cv_mean_rmse`."""
    return {f"{part}_{name}": value for part, values in asdict(metrics).items() for name, value in values.items()}


def _differences(comparison: Comparison) -> dict[str, float]:
    """Return e.g. `against_champion_held_out_difference`."""
    return {
        f"against_champion_{on}_{name}": pair[name]
        for on, pair in comparison.figures.items()
        for name in ("challenger", "champion", "difference", "low", "high")
    }


def _log_dataset(mlflow: Any, record: RunRecord) -> None:
    table = record.frame.assign(**{record.target_name: record.target})
    digest = record.data_sha256[:32]  # MLflow allows 36 characters
    data = mlflow.data.from_pandas(table, source=record.data_source, targets=record.target_name, digest=digest)
    mlflow.log_input(data, context="training")


def _log_candidate(mlflow: Any, experiment: str, evaluation: Evaluation, params: Mapping[str, str]) -> None:
    prefix = f"model_building.{evaluation.candidate}."
    with a_run(mlflow, experiment_id=experiment, run_name=evaluation.candidate, nested=True):
        mlflow.log_params({key.removeprefix(prefix): value for key, value in params.items() if key.startswith(prefix)})
        mlflow.log_metrics(_flat(evaluation.metrics()))
        for fold, found in enumerate(evaluation.folds):
            mlflow.log_metrics({f"fold_{name}": value for name, value in found.items()}, step=fold)


def _log_model(mlflow: Any, record: RunRecord) -> str:
    pipeline: Pipeline = record.selected.pipeline
    example = record.frame.head(EXAMPLE_ROWS)
    logged = mlflow.sklearn.log_model(
        pipeline,
        name="model",
        signature=mlflow.models.infer_signature(record.frame, pipeline.predict(example)),
        input_example=example,
        pip_requirements=list(record.requirements),  # given, because finding them out asks the network
        serialization_format="skops",
        skops_trusted_types=TRUSTED_TYPES,
    )
    return _register(mlflow, record.model_name, logged, record.taken)


def _register(mlflow: Any, name: str, logged: Any, taken: Collection[str]) -> str:
    """Create the next version that is not taken. (`registered_model_name` of `log_model` prints about it.)"""
    client = mlflow.MlflowClient()
    try:
        client.create_registered_model(name)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    skipped: list[str] = []
    while True:
        created = client.create_model_version(
            name, source=logged.model_uri, run_id=logged.run_id, model_id=logged.model_id
        )
        if str(created.version) not in taken:
            break
        skipped.append(created.version)  # the store knows this number from a database that was lost
    for version in skipped:
        client.delete_model_version(name, version)
    return str(created.version)
