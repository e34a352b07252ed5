"""A second model, of the champion's absolute error: an estimate of how wrong it is where nobody knows the truth yet.

It shares the champion's fitted preparation, and so reads the same encoded rows. The champion's prediction is no input
of it: that is a function of the same row already, and its graph would have to hold the champion's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.pipeline import Pipeline

from services.trainer.dataset import Dataset
from services.trainer.evaluate import Evaluation
from services.trainer.export import ExportRefused, encode_frame, export_pipeline
from services.trainer.parity import ParityFailed, check_parity
from services.trainer.split import Split
from shared.error_estimate import ErrorFigures, evenly_spaced
from shared.telemetry import get_logger

MOST_ROWS, FEWEST_ROWS = 10_000, 100
"""Of the training rows: more than 100 shallow trees can use, and fewer than show where errors are larger."""
EXACT = 1e-9
"""A mean error below so many standard deviations of the target is rounding, and not to be modelled."""
DRAWN = 10_000
"""Rows that the parity gate draws around the data."""
SUBSETS, SHARE = 200, 4
SEED = 0

Matrix = NDArray[np.float64]

log = get_logger(__name__)


@dataclass(frozen=True)
class ErrorModelBuilt:
    onnx: bytes
    figures: ErrorFigures


def build_error_model(dataset: Dataset, split: Split, selected: Evaluation) -> ErrorModelBuilt | None:
    """Fit, prove and measure it; None, with the reason in the log, where the errors cannot be modelled."""
    errors = np.abs(dataset.target[split.train] - selected.out_of_fold)
    if len(errors) < FEWEST_ROWS or errors.mean() <= EXACT * dataset.target.std():
        log.info("no error model: too few training rows, or an exact model", rows=len(errors), mae=errors.mean())
        return None
    try:
        return _build(dataset, split, selected, errors)
    except (ExportRefused, ParityFailed) as refused:  # the version itself has passed
        log.warning("no error model", reason=str(refused))
        return None


def _build(dataset: Dataset, split: Split, selected: Evaluation, every: Matrix) -> ErrorModelBuilt:
    taken = evenly_spaced(len(every), MOST_ROWS)
    frame, errors, folds = dataset.frame.iloc[split.train[taken]], every[taken], split.folds[taken]
    prepare = selected.pipeline["prepare"]
    seen = np.asarray(prepare.transform(frame), np.float64)
    estimates = _cross_fitted(seen, errors, folds)
    pipeline = Pipeline([("prepare", prepare), ("model", _regressor().fit(seen, errors))])
    exported = export_pipeline(pipeline)
    parity = check_parity(pipeline, exported, dataset.frame, seed=SEED, drawn=DRAWN)
    figures = measure(encode_frame(frame, exported), errors, estimates, parity.engine)
    log.info("errors can be estimated", **figures.model_dump())
    return ErrorModelBuilt(exported.onnx, figures)


def _regressor() -> GradientBoostingRegressor:
    # Shallow, and no leaf of few rows: what counts are means over many rows, not the error of one.
    return GradientBoostingRegressor(
        n_estimators=100, learning_rate=0.1, max_depth=3, min_samples_leaf=20, random_state=SEED
    )


def _cross_fitted(seen: Matrix, errors: Matrix, folds: NDArray[np.int64]) -> Matrix:
    """Estimate each row's error by a model that did not see it."""
    estimates = np.empty(len(errors))
    for fold in np.unique(folds):
        held = folds == fold
        estimates[held] = _regressor().fit(seen[~held], errors[~held]).predict(seen[held])
    return np.maximum(estimates, 0.0)


def measure(x: Matrix, errors: Matrix, estimates: Matrix, engine: str) -> ErrorFigures:
    """Compare estimates with the true errors, shape (n,), of encoded rows, shape (n, F)."""
    rng = np.random.default_rng(SEED)
    part = len(errors) // SHARE
    drawn = [rng.permutation(len(errors))[:part] for _ in range(SUBSETS)]
    ordered = [np.argsort(column, kind="stable") for column in x.T]
    shifted = [rows for order in ordered for rows in (order[:part], order[-part:])]
    return ErrorFigures(
        engine=engine,
        rows=len(errors),
        mae=float(errors.mean()),
        estimated=float(estimates.mean()),
        spread=float(np.sqrt(((errors - estimates) ** 2).sum() / (estimates**2).sum())),
        off_random=_off(drawn, errors, estimates),
        off_shifted=_off(shifted, errors, estimates),
        off_constant=_off(shifted, errors, np.full(len(errors), errors.mean())),
    )


def _off(subsets: list[NDArray[np.intp]], errors: Matrix, estimates: Matrix) -> float:
    return float(np.sqrt(np.mean([(estimates[rows].mean() - errors[rows].mean()) ** 2 for rows in subsets])))
