"""The usual way: Celery, Redis, and scikit-learn in the workers. Started by `benchmarks/jobs/celery_run.py`."""

import os
import pickle
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from celery import Celery

URL = os.environ.get("BENCH_REDIS", "")

app = Celery("rival", broker=URL, backend=URL)
app.conf.update(task_serializer="pickle", result_serializer="pickle", accept_content=["pickle"])


@cache
def _pipeline() -> Any:
    with open(os.environ["BENCH_PIPELINE"], "rb") as file:
        return pickle.load(file)


def _predict(columns: list[str], x: bytes) -> bytes:
    """Predict rows that came as the bytes of a matrix."""
    frame = pd.DataFrame(np.frombuffer(x).reshape(-1, len(columns)), columns=columns)
    predictions: bytes = _pipeline().predict(frame).tobytes()
    return predictions


predict: Any = app.task(_predict, name="predict")
