"""The candidates: what is fitted, cross-validated and compared. Only pipelines that can be exported exactly."""

from collections.abc import Sequence
from typing import Any

from sklearn.base import RegressorMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from services.trainer.columns import Column
from shared.params import Candidate, Params, Section

ESTIMATORS: dict[Candidate, type[RegressorMixin]] = {
    "linear_regression": LinearRegression,
    "ridge": Ridge,
    "random_forest": RandomForestRegressor,
    "gradient_boosting": GradientBoostingRegressor,
}


def candidates(params: Params) -> tuple[Candidate, ...]:
    """Return the candidates to train, in a fixed order: all of them, or the one that `selection.only` forces."""
    return (params.selection.only,) if params.selection.only else tuple(ESTIMATORS)


def build_pipeline(candidate: Candidate, columns: Sequence[Column], params: Params) -> Pipeline:
    """Return an unfitted pipeline over a frame that has these columns."""
    hyper: Section = getattr(params.model_building, candidate)
    return Pipeline([("prepare", _preparation(columns)), ("model", ESTIMATORS[candidate](**_arguments(hyper)))])


def _arguments(hyper: Section) -> dict[str, Any]:
    arguments = hyper.model_dump()
    if "seed" in arguments:
        arguments["random_state"] = arguments.pop("seed")
    return arguments  # n_jobs stays None: threads would add up the trees in another order


def _preparation(columns: Sequence[Column]) -> ColumnTransformer:
    complete = [c.name for c in columns if c.kind == "numeric" and not c.nullable]
    nullable = [c.name for c in columns if c.kind == "numeric" and c.nullable]
    categorical = [c.name for c in columns if c.kind == "categorical"]
    impute = Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    parts = [("number", StandardScaler(), complete), ("nullable", impute, nullable), ("category", encode, categorical)]
    return ColumnTransformer([part for part in parts if part[2]])
