"""Real artifacts for tests: a small forest over `a_table()`, exported, with its golden rows, in a store."""

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.pipeline import Pipeline

from services.trainer.error_model import measure
from services.trainer.export import encode_frame, export_pipeline
from shared import artifact
from shared.artifact import (
    CONTENT,
    ERROR_ONNX,
    GOLDEN,
    ONNX,
    PROFILE,
    SIGNATURE,
    Champion,
    Golden,
    GoldenRow,
    Manifest,
    Metrics,
)
from shared.clock import utc_now
from shared.error_estimate import ErrorFigures
from shared.profile import build_profile
from shared.signature import Feature, Signature, Target
from shared.store import Store
from tests.pipelines import a_pipeline, a_table, a_target

ROWS = 200


async def an_artifact(
    store: Store,
    name: str = "model",
    version: str = "1",
    *,
    seed: int = 0,
    engine: str = "onnxruntime",
    retrain: Mapping[str, float] | None = None,
    errors: bool = False,
) -> str:
    """Put a version into the store and return its digest. Another seed gives other predictions.

    Args:
        errors: with an error model, as newer versions have one.
    """
    with tempfile.TemporaryDirectory() as directory:
        for file, data in _files(name, version, seed, engine, tuple((retrain or {}).items()), errors=errors).items():
            (Path(directory) / file).write_bytes(data)
        return await artifact.upload(store, Path(directory))


async def a_champion(
    store: Store, name: str = "model", version: str = "1", *, seed: int = 0, errors: bool = False
) -> Champion:
    """Put a version into the store and make it the champion, as the first promotion does."""
    digest = await an_artifact(store, name, version, seed=seed, errors=errors)
    champion = Champion(version=version, epoch=1, digest=digest)
    await artifact.write_champion(store, name, champion)
    return champion


async def break_graph(store: Store, name: str, version: str, file: str = ONNX) -> None:
    """Alter one byte of the graph, as a bad disk would."""
    key = f"models/{name}/{version}/{file}"
    onnx = bytearray(await store.get(key))
    onnx[len(onnx) // 2] ^= 1
    await store.put(key, bytes(onnx))


@cache
def _files(
    name: str, version: str, seed: int, engine: str, retrain: tuple[tuple[str, float], ...], *, errors: bool
) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as directory:
        _write(Path(directory), name, version, seed, {"engine": engine, "retrain": dict(retrain)}, errors=errors)
        return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


def _write(
    directory: Path, name: str, version: str, seed: int, manifest: Mapping[str, object], *, errors: bool
) -> None:
    table = a_table(ROWS)
    target = a_target(table) + seed
    pipeline = a_pipeline(RandomForestRegressor(5, max_depth=5, random_state=seed), "imputed", table, target)
    exported = export_pipeline(pipeline)
    x, predictions = encode_frame(table, exported), pipeline.predict(table)
    signature = Signature(
        target=Target(name="price", unit="EUR"),
        features=tuple(
            Feature(name=n, kind="categorical", nullable=True, categories=exported.categories[n], example=table[n][0])
            if n in exported.categories
            else Feature(
                name=n,
                kind="numeric",
                nullable=n != "count",
                minimum=float(table[n].min()),
                maximum=float(table[n].max()),
                example=float(table[n].median()),
            )
            for n in exported.inputs
        ),
    )
    rows = [
        GoldenRow(row=signature.decode(r), prediction=p) for r, p in zip(x[:20].tolist(), predictions, strict=False)
    ]
    files = {
        SIGNATURE: signature,
        PROFILE: build_profile(signature, x, predictions),
        GOLDEN: Golden(rows=tuple(rows)),
    }
    (directory / ONNX).write_bytes(exported.onnx)
    for file, document in files.items():
        (directory / file).write_text(document.model_dump_json())
    assert set(CONTENT) == {path.name for path in directory.iterdir()}
    fields = {**_manifest_fields(name, version, target - predictions), **manifest}
    if errors:
        fields["error_model"] = _write_error_model(directory, pipeline, table, np.abs(target - predictions))
    artifact.seal(directory, fields)


def _write_error_model(directory: Path, pipeline: Pipeline, table: pd.DataFrame, errors: np.ndarray) -> ErrorFigures:
    prepare = pipeline["prepare"]
    model = GradientBoostingRegressor(n_estimators=10, random_state=0).fit(prepare.transform(table), errors)
    exported = export_pipeline(Pipeline([("prepare", prepare), ("model", model)]))
    (directory / ERROR_ONNX).write_bytes(exported.onnx)
    return measure(encode_frame(table, exported), errors, model.predict(prepare.transform(table)), "onnxruntime")


def _manifest_fields(name: str, version: str, residuals: np.ndarray) -> dict[str, object]:
    scores = {"rmse": float(np.sqrt((residuals**2).mean())), "mae": float(np.abs(residuals).mean()), "r2": 0.9}
    fields = {
        "name": name,
        "version": version,
        "created_at": utc_now(),
        "candidate": "random_forest",
        "exactness": "bits",
        "metrics": {"random_forest": Metrics(train=scores, cv_mean=scores, cv_std=scores, test=scores)},
        "mlflow_run_id": "run",
        "data_sha256": "d" * 64,
        "params_sha256": "e" * 64,
        "git_commit": None,
        "libraries": {},
        "rows": {"train": ROWS, "test": 0},
        "parity": {"rows": 0},
        "drift": {"mean_shift": 2.0, "psi": 0.2, "psi_min_rows": 200, "window_rows": 1000, "window": 3600.0},
    }
    assert set(fields) <= set(Manifest.model_fields)
    return fields
