"""BentoML, one worker: `bentoml serve serve_bentoml:Served`, with MODEL in the environment."""

import os
from typing import Any

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Served:
    def __init__(self) -> None:
        self.pipeline: Any = joblib.load(os.environ["MODEL"])

    @bentoml.api
    def plain(self, features: np.ndarray) -> np.ndarray:
        return self.pipeline.predict(features)

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=10_000)
    def batched(self, features: np.ndarray) -> np.ndarray:
        return self.pipeline.predict(features)
