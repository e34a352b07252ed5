"""Tree estimators as plain arrays, with scikit-learn's order of floating-point operations.

A target's value is the sum, in float64 and from left to right, of `first` (if any) and one leaf of each tree; then it
is divided by `divisor` (if any):

- forests: ((v1 + v2) + … + vT) / T, from 0; a classifier has one such sum per class.
- `DecisionTree`: the leaf.
- `GradientBoosting`: ((first + lr·v1) + lr·v2) + …; the product is rounded once, here.
- `HistGradientBoosting`: ((first + v1) + v2) + …; its leaves hold the learning rate already.

A split goes left where x <= threshold. All but `HistGradientBoosting` round x to float32 before they compare.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from services.trainer.export.exported import ExportRefused, Margin
from services.trainer.export.steps import describe

LEAF = -1


@dataclass(frozen=True, eq=False)
class Tree:
    """One array entry per node; the root is node 0, and a leaf has `left` == LEAF."""

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    null_goes_left: NDArray[np.bool_]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trees:
    """A fitted tree estimator."""

    targets: tuple[tuple[Tree, ...], ...]
    first: tuple[float, ...] | None
    divisor: float | None
    float32: bool
    """The features are rounded to float32 before they meet a threshold."""
    link: Margin

    @property
    def nodes(self) -> int:
        return sum(len(tree.feature) for trees in self.targets for tree in trees)


def read_trees(estimator: Any) -> Trees:
    """Read a fitted estimator of `TREE_ESTIMATORS`.

    Raises:
        ExportRefused: one of its options is not supported.
    """
    return TREE_ESTIMATORS[type(estimator)](estimator)


def _tree(tree: Any, value: NDArray[np.float64]) -> Tree:
    return Tree(
        tree.feature.astype(np.int64),
        tree.threshold,
        tree.missing_go_to_left.astype(np.bool_),
        tree.children_left.astype(np.int64),
        tree.children_right.astype(np.int64),
        value,
    )


def _forest(estimator: Any) -> Trees:
    trees = [fitted.tree_ for fitted in estimator.estimators_]
    return Trees(_averaged(estimator, trees), None, float(len(trees)), float32=True, link="identity")


def _single_tree(estimator: Any) -> Trees:
    return Trees(_averaged(estimator, [estimator.tree_]), None, None, float32=True, link="identity")


def _averaged(estimator: Any, trees: list[Any]) -> tuple[tuple[Tree, ...], ...]:
    """Per class the share that each leaf gives it; of a regression, its one value."""
    if estimator.n_outputs_ != 1:
        raise ExportRefused(f"{describe(estimator)} has {estimator.n_outputs_} targets; train one model for each")
    values = range(len(getattr(estimator, "classes_", "1")))
    return tuple(tuple(_tree(tree, tree.value[:, 0, k]) for tree in trees) for k in values)


def _gradient_boosting(estimator: Any) -> Trees:
    _check_loss(estimator)
    if estimator.init_ != "zero" and type(estimator.init_) not in (DummyRegressor, DummyClassifier):
        raise ExportRefused(f"{describe(estimator)}(init={describe(estimator.init_)}) is not supported; leave it out")
    # A constant or dummy start is the same for every row, so for a row of zeros too.
    first = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), np.float32))[0]
    rate = estimator.learning_rate
    targets = tuple(
        tuple(_tree(stage.tree_, rate * stage.tree_.value[:, 0, 0]) for stage in stages)
        for stages in estimator.estimators_.T
    )
    return Trees(targets, tuple(first.tolist()), None, float32=True, link=_link(len(targets), estimator))


def _hist_gradient_boosting(estimator: Any) -> Trees:
    _check_loss(estimator)
    if estimator.is_categorical_ is not None:
        raise ExportRefused(
            f"{describe(estimator)} splits on categories of its own; encode them before, categorical_features=None"
        )
    targets = tuple(
        tuple(_hist_tree(stage[k].nodes) for stage in estimator._predictors)
        for k in range(estimator.n_trees_per_iteration_)
    )
    first = tuple(estimator._baseline_prediction.ravel().tolist())
    return Trees(targets, first, None, float32=False, link=_link(len(targets), estimator))


def _hist_tree(nodes: NDArray[Any]) -> Tree:
    is_leaf = nodes["is_leaf"].astype(np.bool_)
    return Tree(
        nodes["feature_idx"].astype(np.int64),
        nodes["num_threshold"],
        nodes["missing_go_to_left"].astype(np.bool_),
        np.where(is_leaf, LEAF, nodes["left"].astype(np.int64)),
        nodes["right"].astype(np.int64),
        nodes["value"],
    )


def _check_loss(estimator: Any) -> None:
    if estimator.loss in ("exponential", "poisson", "gamma"):
        instead = "log_loss" if hasattr(estimator, "classes_") else "squared_error"
        raise ExportRefused(f"{describe(estimator)}(loss={estimator.loss!r}) is not supported; use {instead!r}")


def _link(targets: int, estimator: Any) -> Margin:
    if not hasattr(estimator, "classes_"):
        return "identity"
    return "expit" if targets == 1 else "softmax"


TREE_ESTIMATORS: dict[type, Callable[[Any], Trees]] = {
    RandomForestRegressor: _forest,
    ExtraTreesRegressor: _forest,
    RandomForestClassifier: _forest,
    ExtraTreesClassifier: _forest,
    DecisionTreeRegressor: _single_tree,
    DecisionTreeClassifier: _single_tree,
    GradientBoostingRegressor: _gradient_boosting,
    GradientBoostingClassifier: _gradient_boosting,
    HistGradientBoostingRegressor: _hist_gradient_boosting,
    HistGradientBoostingClassifier: _hist_gradient_boosting,
}
