"""Linear estimators: s = z · W + b in float64, the order of the sum left to the engine.

No graph can be equal to scikit-learn's bits here, because scikit-learn's own single rows and bulk differ; see
`services.trainer.parity.bound` for how close it provably is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge

from services.trainer.export.exported import ExportRefused, Margin
from services.trainer.export.graph import Graph
from services.trainer.export.steps import describe

LINEAR_ESTIMATORS = (LinearRegression, Ridge, Lasso, ElasticNet, LogisticRegression)


@dataclass(frozen=True, eq=False)
class Linear:
    """A fitted linear estimator."""

    weights: NDArray[np.float64]
    """Shape (features, targets)."""
    intercept: NDArray[np.float64]
    """Shape (targets,)."""
    link: Margin

    @property
    def targets(self) -> int:
        return len(self.intercept)


def read_linear(estimator: Any) -> Linear:
    """Read a fitted estimator of `LINEAR_ESTIMATORS`.

    Raises:
        ExportRefused: it has several targets.
    """
    weights = np.atleast_2d(np.asarray(estimator.coef_)).T
    targets = weights.shape[1]
    if targets > 1 and not hasattr(estimator, "classes_"):
        raise ExportRefused(f"{describe(estimator)} has {targets} targets; train one model for each")
    if weights.dtype != np.float64:
        raise ExportRefused(f"{describe(estimator)} was trained in {weights.dtype}; train it on float64 columns")
    intercept = np.broadcast_to(np.asarray(estimator.intercept_, np.float64), (targets,)).copy()
    return Linear(weights, intercept, _link(estimator, targets))


def add_linear(graph: Graph, linear: Linear, tensor: str) -> str:
    """Append the estimator and return its margins, one column per target."""
    product = graph.add("MatMul", tensor, graph.constant(linear.weights))
    return graph.add("Add", product, graph.constant(linear.intercept))


def _link(estimator: Any, targets: int) -> Margin:
    if not hasattr(estimator, "classes_"):
        return "identity"
    return "expit" if targets == 1 else "softmax"
