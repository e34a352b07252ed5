"""What scikit-learn says."""

import copy
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from services.trainer.export import Exported

Matrix = NDArray[np.float64]


class Reference:
    """A fitted pipeline's margins, as the graph gives them. Safe to call from several threads at once."""

    def __init__(self, pipeline: Any, exported: Exported) -> None:
        self._transformer, self._estimator = pipeline[0], _sequential(pipeline[1])
        self._margins = getattr(self._estimator, _method(exported))

    def transform(self, frame: pd.DataFrame) -> Matrix:
        """Return what the estimator sees, shape (n, m)."""
        return np.asarray(self._transformer.transform(frame), np.float64)

    def margins(self, transformed: Matrix) -> Matrix:
        """Return the margins, shape (n, T), of what `transform` gave."""
        margins: Matrix = np.asarray(self._margins(transformed), np.float64)
        return margins.reshape(len(transformed), -1)


def _sequential(estimator: Any) -> Any:
    """Threads would add up the trees in another order with every call."""
    if "n_jobs" not in estimator.get_params(deep=False):
        return estimator
    return copy.copy(estimator).set_params(n_jobs=None)


def _method(exported: Exported) -> str:
    if not exported.classes:
        return "predict"
    return "predict_proba" if exported.link == "identity" else "decision_function"
