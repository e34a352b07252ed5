"""Builders of what the monitor reads: signatures, profiles, encoded rows, events."""

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.events import ChunkScored, PredictionsLogged
from shared.profile import Profile, build_profile, summarise
from shared.signature import Feature, Signature, Target

GRADES = ("a", "b", "c")

Rows = NDArray[np.float64]


def a_signature() -> Signature:
    """A number, a category, and a number whose name the log has already taken."""
    return Signature(
        target=Target(name="price"),
        features=(
            Feature(name="size", kind="numeric", nullable=True, example=1.0),
            Feature(name="grade", kind="categorical", nullable=True, categories=GRADES, example="a"),
            Feature(name="time", kind="numeric", nullable=False, example=1.0),
        ),
    )


def some_rows(n: int = 400, *, seed: int = 0, shift: float = 0.0) -> tuple[Rows, Rows]:
    """Return encoded rows, shape (n, 3), with nulls and unknown categories, and their predictions, shape (n,)."""
    rng = np.random.default_rng(seed)
    size = rng.normal(10 + shift, 3, n)
    size[rng.random(n) < 0.05] = np.nan
    grade = rng.choice([-1.0, 0.0, 1.0, 2.0, np.nan], n, p=[0.02, 0.5, 0.3, 0.13, 0.05])
    x = np.column_stack([size, grade, rng.integers(0, 4, n).astype(float)])
    return x, 20 + 2 * np.nan_to_num(size, nan=10.0) + rng.normal(0, 1, n)


def a_profile(n: int = 500, seed: int = 9) -> Profile:
    x, predictions = some_rows(n, seed=seed)
    return build_profile(a_signature(), x, predictions)


def an_event(
    x: Rows | None = None, predictions: Sequence[float] | None = None, *, first: int = 0, **fields: Any
) -> PredictionsLogged:
    """An event of single predictions answered now. `first` is the number in the request id of the first row."""
    if x is None:
        x, drawn = some_rows(3)
        predictions = drawn.tolist()
    n = len(x)
    values: dict[str, Any] = {
        "replica": "gateway-1",
        "sequence": 1,
        "answered_before": 0,
        "rows": n,
        "model_name": "model",
        "model_version": "1",
        "request_id": [f"r{first + i}" for i in range(n)],
        "index": [0] * n,
        "mode": ["single"] * n,
        "time": [time.time()] * n,
        "latency": [0.00005] * n,
        "features": [[None if math.isnan(v) else v for v in column] for column in x.T.tolist()],
        "prediction": list(predictions if predictions is not None else np.zeros(n)),
    }
    return PredictionsLogged(**{**values, **fields})


def a_chunk(profile: Profile, x: Rows, predictions: Rows, **fields: Any) -> ChunkScored:
    values: dict[str, Any] = {
        "job_id": "job-1",
        "chunk": 0,
        "rows": len(x),
        "failed": 0,
        "model_name": "model",
        "model_version": "1",
        "seconds": 0.002,
        "counts": summarise(profile, x, predictions),
    }
    return ChunkScored(**{**values, **fields})
