"""Builders of tables and of fitted pipelines over them, small enough to fit in milliseconds."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

NUMBERS = ["length", "weight", "count"]
TEXTS = ["place", "grade"]


def a_table(rows: int = 300, *, nulls: bool = True, seed: int = 0) -> pd.DataFrame:
    """Three numbers and two categories; `count` and `grade` never hold a null."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "place": pd.Series(rng.choice(["north", "south", "east", "west"], rows), dtype="str"),
            "length": rng.normal(10, 3, rows).round(2),
            "weight": rng.lognormal(0, 2, rows),
            "grade": pd.Series(rng.choice(["a", "b", "c"], rows), dtype="str"),
            "count": rng.integers(0, 20, rows),
        }
    )
    for name in ("place", "length", "weight") if nulls else ():
        frame.loc[rng.random(rows) < 0.1, name] = None
    return frame


def a_target(table: pd.DataFrame) -> NDArray[np.float64]:
    noise = np.random.default_rng(1).normal(size=len(table))
    known = table.fillna({"length": 5.0, "weight": 3.0, "place": "nowhere"})
    values: NDArray[np.float64] = (
        known["length"] * 3 - np.log1p(known["weight"]) + (known["place"] == "east") * 7 + known["count"] / 3 + noise
    ).to_numpy()
    return values


def preparation(kind: str) -> ColumnTransformer:
    """Return one of the ways to prepare `a_table()` that the exporter knows."""
    return ColumnTransformer(PREPARATIONS[kind]())


def a_pipeline(estimator: Any, kind: str, table: pd.DataFrame, target: Any = None) -> Pipeline:
    """Return a fitted pipeline."""
    pipeline = Pipeline([("prepare", preparation(kind)), ("model", estimator)])
    return pipeline.fit(table, a_target(table) if target is None else target)


def one_hot(**options: Any) -> OneHotEncoder:
    return OneHotEncoder(**{"handle_unknown": "ignore", "sparse_output": False, **options})


def ordinal(**options: Any) -> OrdinalEncoder:
    return OrdinalEncoder(**{"handle_unknown": "use_encoded_value", "unknown_value": -1, **options})


def _scaled_numbers(**options: Any) -> Pipeline:
    return Pipeline([("impute", SimpleImputer(**{"strategy": "median", **options})), ("scale", StandardScaler())])


def _filled(strategy: str, encoder: Any) -> Pipeline:
    fill = {"fill_value": "missing"} if strategy == "constant" else {}
    return Pipeline([("impute", SimpleImputer(strategy=strategy, **fill)), ("encode", encoder)])


# "complete" wants a table without nulls; the kinds in TAKES_NULL need an estimator that takes NaN.
PREPARATIONS: dict[str, Any] = {
    "complete": lambda: [("number", StandardScaler(), NUMBERS), ("text", one_hot(), TEXTS)],
    "unscaled": lambda: [("number", SimpleImputer(), NUMBERS), ("text", one_hot(), TEXTS)],
    "imputed": lambda: [("number", _scaled_numbers(), NUMBERS), ("text", one_hot(), TEXTS)],
    "indicator": lambda: [
        ("text", _filled("constant", one_hot()), TEXTS),
        ("number", _scaled_numbers(add_indicator=True), ["weight", "count", "length"]),
    ],
    "scaled first": lambda: [
        ("number", Pipeline([("scale", StandardScaler()), ("impute", SimpleImputer())]), NUMBERS),
        ("text", _filled("most_frequent", ordinal()), TEXTS),
    ],
    "ordinal imputed": lambda: [
        ("number", _scaled_numbers(strategy="constant", fill_value=-1.5), NUMBERS),
        ("text", Pipeline([("encode", ordinal()), ("impute", SimpleImputer(strategy="most_frequent"))]), TEXTS),
    ],
    "null code": lambda: [
        ("text", ordinal(encoded_missing_value=-2, unknown_value=9), TEXTS),
        ("number", _scaled_numbers(), NUMBERS),
    ],
    "as it is": lambda: [("number", "passthrough", NUMBERS), ("text", ordinal(), TEXTS)],
    "unknown is null": lambda: [
        ("number", StandardScaler(), NUMBERS),
        ("text", ordinal(unknown_value=np.nan, encoded_missing_value=-2), TEXTS),
    ],
}
TAKES_NULL = ("as it is", "unknown is null")
