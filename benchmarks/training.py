"""What everybody serves: a pipeline fitted on the rows that the trainer trains on, and the rows to ask it about."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline

from benchmarks.example import rows
from services.trainer.candidates import build_pipeline
from services.trainer.dataset import Dataset, load_dataset
from services.trainer.split import make_split
from shared.params import Candidate, Params, load_params
from shared.settings import ROOT

ASKED = 200  # rows in turn: always the same one would stay in the processor's caches
UNUSUAL_EVERY = 20


@dataclass(frozen=True)
class Training:
    candidate: Candidate
    params: Params
    dataset: Dataset

    @classmethod
    def of(cls, candidate: Candidate) -> "Training":
        params = load_params(ROOT / "params.yaml")
        return cls(candidate, params, load_dataset(params, ROOT))

    @property
    def columns(self) -> list[str]:
        return list(self.dataset.frame.columns)

    @cached_property
    def pipeline(self) -> Pipeline:
        pipeline = build_pipeline(self.candidate, self.dataset.columns, self.params)
        return pipeline.fit(self.dataset.frame.iloc[self._chosen], self.dataset.target[self._chosen])

    @cached_property
    def asked(self) -> list[Mapping[str, float]]:
        return [{str(name): value for name, value in row.items()} for row in self._asked.to_dict("records")]

    @cached_property
    def expected(self) -> Sequence[float]:
        """The prediction for each row that is asked about."""
        found: list[float] = self.pipeline.predict(self._asked).tolist()
        return found

    @cached_property
    def _asked(self) -> pd.DataFrame:
        """Rows as production has them: a few hold a value that training did not see, which costs a warning."""
        seen = self.dataset.frame.iloc[self._chosen]
        asked = rows(ASKED)[self.columns].clip(seen.min(), seen.max(), axis="columns")
        asked.iloc[::UNUSUAL_EVERY, 0] = seen.iloc[:, 0].max() * 1.1
        return asked

    def write(self, path: Path) -> Path:
        """Write what fits the same pipeline where nothing of ours is installed."""
        model = self.pipeline["model"]
        described: dict[str, Any] = {
            "estimator": type(model).__name__,
            "arguments": model.get_params(),
            "x": self.dataset.frame.iloc[self._chosen].to_numpy().tolist(),
            "y": self.dataset.target[self._chosen].tolist(),
        }
        path.write_text(json.dumps(described))
        return path

    @cached_property
    def _chosen(self) -> Any:
        selection = self.params.selection
        return make_split(self.dataset.digests, self.params.data.test_fraction, selection.cv, selection.seed).train
