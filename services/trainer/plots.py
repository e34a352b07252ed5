"""The pictures of a training run. Built without pyplot, so there is no global state and no display."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

TOP_FEATURES = 15


@dataclass(frozen=True, eq=False)
class Residuals:
    """Predictions of the selected candidate on the test rows."""

    target: str
    """Name and unit, as an axis says it."""
    actual: NDArray[np.float64]
    predicted: NDArray[np.float64]

    @property
    def values(self) -> NDArray[np.float64]:
        return self.actual - self.predicted


def draw_plots(residuals: Residuals, importance: Sequence[tuple[str, float]]) -> dict[str, Figure]:
    """Return the figures by file name."""
    return {
        "predicted_vs_actual.png": _predicted_vs_actual(residuals),
        "residuals.png": _residuals(residuals),
        "residual_distribution.png": _residual_distribution(residuals),
        "feature_importance.png": _feature_importance(importance),
    }


def _axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes


def _predicted_vs_actual(residuals: Residuals) -> Figure:
    target = residuals.target
    figure, axes = _axes("Predicted and actual, test rows", f"actual {target}", f"predicted {target}")
    axes.scatter(residuals.actual, residuals.predicted, s=12, alpha=0.6)
    both = np.concatenate([residuals.actual, residuals.predicted])
    axes.plot([both.min(), both.max()], [both.min(), both.max()], color="black", linewidth=1)
    return figure


def _residuals(residuals: Residuals) -> Figure:
    target = residuals.target
    figure, axes = _axes("Residuals, test rows", f"predicted {target}", "actual - predicted")
    axes.scatter(residuals.predicted, residuals.values, s=12, alpha=0.6)
    axes.axhline(0, color="black", linewidth=1)
    return figure


def _residual_distribution(residuals: Residuals) -> Figure:
    figure, axes = _axes("Distribution of residuals, test rows", f"actual - predicted {residuals.target}", "rows")
    axes.hist(residuals.values, bins=30)
    axes.axvline(0, color="black", linewidth=1)
    return figure


def _feature_importance(importance: Sequence[tuple[str, float]]) -> Figure:
    top = importance[TOP_FEATURES - 1 :: -1]  # the first bar is the lowest
    figure, axes = _axes(f"Feature importance, top {len(top)}", "importance", "")
    axes.barh(range(len(top)), [value for _, value in top])
    # Names are data: a "$" in one must not be read as mathematics.
    axes.set_yticks(range(len(top)), [name.replace("$", r"\$") for name, _ in top])
    return figure
