"""Cross-validates the candidates, scores them and selects one: by the folds, never by the test rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from services.trainer.candidates import build_pipeline, candidates
from services.trainer.dataset import Dataset
from services.trainer.split import Split
from shared.params import Candidate, Params

Scores = dict[str, float]


class Progress(Protocol):
    def __call__(self, stage: str, done: int, total: int) -> None:
        """Hear that `done` of `total` steps of a stage are done; `total` is 0 where there is nothing to count."""


@dataclass(frozen=True)
class Metrics:
    """Of one candidate; `cv_*` are over the folds, the deviation being the sample's (n - 1)."""

    train: Scores
    cv_mean: Scores
    cv_std: Scores
    test: Scores


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One candidate: fitted on all training rows, and what it is worth."""

    candidate: Candidate
    pipeline: Pipeline
    folds: tuple[Scores, ...]
    """On the rows of each fold, by a pipeline that did not see them."""
    train: Scores
    test: Scores
    out_of_fold: NDArray[np.float64]
    """Prediction for each training row by the pipeline that did not see it."""

    def metrics(self) -> Metrics:
        names = self.folds[0]
        over = {name: np.array([fold[name] for fold in self.folds]) for name in names}
        return Metrics(
            train=self.train,
            cv_mean={name: float(values.mean()) for name, values in over.items()},
            cv_std={name: float(values.std(ddof=1)) for name, values in over.items()},
            test=self.test,
        )


def scores(actual: NDArray[np.float64], predicted: NDArray[np.float64]) -> Scores:
    """Return RMSE and MAE in the target's unit, and R² (NaN-free: 0 where all actual values are equal)."""
    residuals = actual - predicted
    spread = float(((actual - actual.mean()) ** 2).sum())
    return {
        "rmse": float(np.sqrt((residuals**2).mean())),
        "mae": float(np.abs(residuals).mean()),
        "r2": 1.0 - float((residuals**2).sum()) / spread if spread else 0.0,
    }


def evaluate_candidates(dataset: Dataset, split: Split, params: Params, progress: Progress) -> tuple[Evaluation, ...]:
    """Cross-validate every candidate on the training rows, then fit it on all of them and score the test rows."""
    chosen, cv = candidates(params), params.selection.cv
    found = []
    for position, candidate in enumerate(chosen):

        def fold_done(done: int, before: int = position * cv) -> None:
            progress("cross-validation", before + done, len(chosen) * cv)

        pipeline = build_pipeline(candidate, dataset.columns, params)
        found.append(_evaluate(candidate, pipeline, dataset, split, fold_done))
    return tuple(found)


class _FoldDone(Protocol):
    def __call__(self, done: int) -> None: ...


def _evaluate(
    candidate: Candidate, pipeline: Pipeline, dataset: Dataset, split: Split, fold_done: _FoldDone
) -> Evaluation:
    x, y = dataset.frame.iloc[split.train], dataset.target[split.train]
    out_of_fold, folds = np.empty(len(y)), []
    for fold in range(int(split.folds.max()) + 1):
        held = split.folds == fold
        out_of_fold[held] = pipeline.fit(x[~held], y[~held]).predict(x[held])
        folds.append(scores(y[held], out_of_fold[held]))
        fold_done(fold + 1)
    pipeline.fit(x, y)
    return Evaluation(
        candidate=candidate,
        pipeline=pipeline,
        folds=tuple(folds),
        train=scores(y, pipeline.predict(x)),
        test=scores(dataset.target[split.test], pipeline.predict(dataset.frame.iloc[split.test])),
        out_of_fold=out_of_fold,
    )


def select(evaluations: Sequence[Evaluation], metric: str) -> Evaluation:
    """Return the candidate with the lowest mean error over the folds; the earlier one of two equal ones."""
    return min(evaluations, key=lambda evaluation: evaluation.metrics().cv_mean[metric])


def importance(pipeline: Pipeline) -> list[tuple[str, float]]:
    """Return each encoded column's name and how much it counts, largest first.

    Trees: the share of the impurity that it removes. Linear models: the size of its coefficient after scaling, in the
    target's unit per standard deviation.
    """
    model = pipeline["model"]
    values = np.abs(model.coef_) if hasattr(model, "coef_") else model.feature_importances_
    names = [str(name).partition("__")[2] for name in pipeline["prepare"].get_feature_names_out()]
    return sorted(zip(names, values.tolist(), strict=True), key=lambda pair: -pair[1])
