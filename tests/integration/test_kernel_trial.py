"""The kernel serves what it passed on every row; one number that differs is enough for it not to."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge

from services.trainer.export import Exported, encode_frame, export_pipeline
from services.trainer.parity.reference import Matrix
from services.trainer.parity.trial import KernelTrial
from shared.engines import KERNEL, ONNXRUNTIME, Engine, open_engine
from tests.kernels import compiled, needs_compiler
from tests.pipelines import a_pipeline, a_table

TABLE = a_table(100)


class Trial:
    """A trial, and what onnxruntime gives."""

    def __init__(self, estimator: Any) -> None:
        exported: Exported = export_pipeline(a_pipeline(estimator, "imputed", TABLE))
        self.x = encode_frame(TABLE, exported)
        self.margins = open_engine(ONNXRUNTIME, exported.onnx).run(self.x)
        self.kernel = KernelTrial(exported, self.x)

    def compare(self, margins: Matrix, bound: Matrix | None = None) -> None:
        self.kernel.compare("a certain row", self.x, margins, margins, bound=bound, score=self._score)

    def _score(self, engine: Engine) -> Matrix:
        return engine.run(self.x)


@needs_compiler
@pytest.mark.parametrize("towards", [np.inf, -np.inf])
def test_trees_that_differ_in_one_bit_stay_with_onnxruntime(towards: float) -> None:
    compiled()
    trial = Trial(RandomForestRegressor(3, random_state=0))
    trial.compare(trial.margins)
    assert (trial.kernel.serves, trial.kernel.failed) == (KERNEL, None)
    other = trial.margins.copy()
    other[7] = np.nextafter(other[7], towards)

    trial.compare(other)
    trial.compare(trial.margins)

    assert trial.kernel.serves == ONNXRUNTIME
    assert trial.kernel.failed == "the kernel differs from onnxruntime: a certain row"


def test_a_linear_model_beyond_the_bound_stays_with_onnxruntime() -> None:
    trial = Trial(Ridge())
    bound = np.full_like(trial.margins, 1e-9)
    trial.compare(trial.margins + 0.9e-9, bound)
    assert (trial.kernel.serves, len(trial.kernel.differences)) == (KERNEL, 1)

    trial.compare(trial.margins + 1.1e-9, bound)

    assert trial.kernel.serves == ONNXRUNTIME
    assert "differ from scikit-learn" in (trial.kernel.failed or "")
