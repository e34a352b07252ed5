"""Writes the files of an artifact from a fitted pipeline and its export. `artifact.seal` adds the manifest."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from services.trainer.dataset import Dataset
from services.trainer.export import Exported, ExportRefused, decode_rows, encode_frame
from services.trainer.export.linear import read_linear
from services.trainer.parity.bound import dot_bound
from services.trainer.split import Split
from shared.artifact import GOLDEN, ONNX, PROFILE, SIGNATURE, Golden, GoldenRow
from shared.params import Params
from shared.profile import build_profile
from shared.signature import UNKNOWN_CATEGORY, Feature, Signature, Target

GOLDEN_ROWS = 50  # of the data; rows with nulls, unknown categories and extremes come on top


@dataclass(frozen=True, eq=False)
class Bundle:
    """What the files are made of."""

    dataset: Dataset
    split: Split
    pipeline: Pipeline
    exported: Exported
    out_of_fold: NDArray[np.float64]
    """Predictions for the training rows by pipelines that did not see them."""


def write_bundle(bundle: Bundle, params: Params, directory: Path) -> None:
    """Write every file of `artifact.CONTENT`.

    Raises:
        ExportRefused: the export answers with something that serving does not know.
    """
    matrix = encode_frame(bundle.dataset.frame, bundle.exported)
    signature = build_signature(bundle, matrix, params)
    profile = build_profile(signature, matrix, bundle.out_of_fold)
    golden = build_golden(bundle, signature, matrix)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / ONNX).write_bytes(bundle.exported.onnx)
    for name, document in ((SIGNATURE, signature), (PROFILE, profile), (GOLDEN, golden)):
        (directory / name).write_text(document.model_dump_json(indent=2) + "\n", encoding="utf-8")


def build_signature(bundle: Bundle, matrix: NDArray[np.float64], params: Params) -> Signature:
    """Describe the pipeline's inputs in the engine's column order.

    Args:
        matrix: all rows of the data, encoded, shape (n, F).
    """
    exported = bundle.exported
    if exported.link != "identity" or exported.classes:
        raise ExportRefused(f"link {exported.link!r}: this release serves regressions only")
    nullable = {column.name: column.nullable for column in bundle.dataset.columns}
    train = matrix[bundle.split.train]
    features = (
        _category(name, nullable[name], exported.categories[name], train[:, index])
        if name in exported.categories
        else _number(name, nullable[name], train[:, index])
        for index, name in enumerate(exported.inputs)
    )
    target = Target(name=params.data.target, unit=params.data.unit or "")
    return Signature(target=target, link="identity", features=tuple(features))


def _number(name: str, nullable: bool, column: NDArray[np.float64]) -> Feature:
    values = column[~np.isnan(column)]
    return Feature(
        name=name,
        kind="numeric",
        nullable=nullable,
        minimum=float(values.min()),
        maximum=float(values.max()),
        example=float(np.quantile(values, 0.5, method="inverted_cdf")),  # one that occurs: no half of a flag
    )


def _category(name: str, nullable: bool, categories: tuple[str, ...], column: NDArray[np.float64]) -> Feature:
    commonest = np.bincount(column[column >= 0].astype(np.int64), minlength=len(categories)).argmax()
    return Feature(
        name=name,
        kind="categorical",
        nullable=nullable,
        categories=categories,
        accepts_unknown=True,  # every encoder is built with handle_unknown="ignore"
        example=categories[commonest],
    )


def build_golden(bundle: Bundle, signature: Signature, matrix: NDArray[np.float64]) -> Golden:
    """Pick rows all over the data, and rows at the edge, with scikit-learn's predictions for them."""
    picked = np.unique(np.linspace(0, len(matrix) - 1, GOLDEN_ROWS).astype(np.int64))
    rows = np.vstack([matrix[picked], _edge_rows(signature)])
    frame = decode_rows(rows, bundle.exported, bundle.dataset.frame)
    predictions = bundle.pipeline.predict(frame)
    tolerances = _tolerances(bundle, frame)
    return Golden(
        rows=tuple(
            GoldenRow(row=_plain(signature.names, row), prediction=float(prediction), tolerance=float(tolerance))
            for row, prediction, tolerance in zip(frame.to_numpy(object), predictions, tolerances, strict=True)
        )
    )


def _edge_rows(signature: Signature) -> NDArray[np.float64]:
    """Rows around the example: the smallest and largest numbers, each null and unknown alone, and all together."""
    example = np.array([_code(feature, feature.example) for feature in signature.features])
    smallest, largest, odd, rows = example.copy(), example.copy(), example.copy(), [example]
    for index, feature in enumerate(signature.features):
        if feature.kind == "numeric":
            smallest[index], largest[index] = feature.minimum or 0.0, feature.maximum or 0.0
        specials = [np.nan] * feature.nullable + [UNKNOWN_CATEGORY] * (feature.kind == "categorical")
        for special in specials:
            row = example.copy()
            row[index] = odd[index] = special
            rows.append(row)
    return np.array([*rows, smallest, largest, odd])


def _code(feature: Feature, value: float | str | None) -> float:
    return float(feature.categories.index(value)) if isinstance(value, str) else float(value or 0.0)


def _tolerances(bundle: Bundle, frame: pd.DataFrame) -> NDArray[np.float64]:
    if bundle.exported.exactness == "bits":
        return np.zeros(len(frame))
    seen = np.asarray(bundle.pipeline[0].transform(frame), np.float64)
    bounds: NDArray[np.float64] = dot_bound(read_linear(bundle.pipeline[1]), seen)[:, 0]
    return bounds


def _plain(names: tuple[str, ...], row: Iterable[object]) -> dict[str, float | str | None]:
    """Return the row as JSON holds it: null where there is no value."""
    return {name: _json(value) for name, value in zip(names, row, strict=True)}


def _json(value: object) -> float | str | None:
    if isinstance(value, str):
        return value
    return float(value) if isinstance(value, float) and not math.isnan(value) else None
