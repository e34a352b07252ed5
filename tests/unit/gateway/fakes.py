"""A model without an artifact, and collaborators that remember what they were given."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.gateway.blocks import ScoredRows
from shared.artifact import Manifest
from shared.clock import utc_now
from shared.engine import Model
from shared.follower import Serving
from shared.profile import build_profile
from shared.signature import Feature, RowEncoder, Signature, Target


class Sum:
    """An engine whose prediction is the sum of the row; null counts as 1,000."""

    name = "sum"

    def run(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        total: NDArray[np.float64] = np.nan_to_num(x, nan=1000.0).sum(axis=1, keepdims=True)
        return total

    def run_row(self, row: Sequence[float]) -> float:
        return float(self.run(np.array([row]))[0, 0])


class Broken(Sum):
    """An engine that raises."""

    def run(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        raise ZeroDivisionError


A = Feature(name="a", kind="numeric", nullable=False, minimum=0, maximum=10, example=2.5)
B = Feature(name="b", kind="numeric", nullable=True, minimum=0, maximum=10, example=1.0)
COLOUR = Feature(name="colour", kind="categorical", nullable=True, categories=("blue", "red"), example="red")


def a_signature(*features: Feature) -> Signature:
    return Signature(target=Target(name="price", unit="EUR"), features=features or (A, B, COLOUR))


def a_manifest(version: str = "1", created_at: datetime | None = None) -> Manifest:
    return Manifest(
        name="model",
        version=version,
        created_at=created_at or utc_now(),
        candidate="ridge",
        exactness="bound",
        metrics={},
        mlflow_run_id="run",
        data_sha256="d",
        params_sha256="p",
        git_commit=None,
        libraries={},
        rows={},
        parity={},
        drift={},
        files={},
    )


def a_model(version: str = "1", *features: Feature, created_at: datetime | None = None) -> Model:
    signature = a_signature(*features)
    x = np.zeros((2, len(signature.features)))
    return Model(
        manifest=a_manifest(version, created_at),
        digest="digest",
        signature=signature,
        profile=build_profile(signature, x, x[:, 0]),
        engine=Sum(),
        encoder=RowEncoder(signature),
        golden=x,
    )


@dataclass
class Follower:
    current: Serving | None = field(default_factory=lambda: Serving(a_model(), 1))


class Logged(NamedTuple):
    model: Model
    request_id: str
    position: int
    mode: str
    features: list[float]
    prediction: float


class Log:
    def __init__(self) -> None:
        self.rows: list[Logged] = []
        self.failed: Counter[tuple[str, str]] = Counter()
        """By mode and version."""

    def add(self, model: Model, request_id: str, row: Sequence[float], prediction: float, seconds: float) -> None:
        assert seconds > 0
        self.rows.append(Logged(model, request_id, 0, "single", list(row), prediction))

    def add_batch(self, model: Model, request_id: str, scored: ScoredRows) -> None:
        for index, row, prediction in zip(*(values.tolist() for values in scored[:3]), strict=True):
            self.rows.append(Logged(model, request_id, index, "batch", row, prediction))

    def add_failed(self, model: Model, mode: str, rows: int) -> None:
        self.failed[mode, model.version] += rows
