from typing import get_args

import numpy as np
import pandas as pd
import pytest

from services.trainer.candidates import ESTIMATORS, build_pipeline, candidates
from services.trainer.columns import Column
from shared.params import Candidate
from tests.tables import some_params

COLUMNS = (
    Column("full", "numeric", nullable=False),
    Column("gaps", "numeric", nullable=True),
    Column("word", "categorical", nullable=False),
)


def test_every_candidate_of_params_has_an_estimator() -> None:
    assert set(ESTIMATORS) == set(get_args(Candidate))


def test_all_candidates_are_trained_unless_one_is_forced() -> None:
    assert len(candidates(some_params())) == 4
    assert candidates(some_params(selection={"only": "ridge"})) == ("ridge",)


def test_each_kind_of_column_gets_its_preparation() -> None:
    transformers = build_pipeline("ridge", COLUMNS, some_params())["prepare"].transformers

    assert [(label, columns) for label, _, columns in transformers] == [
        ("number", ["full"]),
        ("nullable", ["gaps"]),
        ("category", ["word"]),
    ]


def test_a_kind_that_no_column_has_is_left_out() -> None:
    assert len(build_pipeline("ridge", COLUMNS[:1], some_params())["prepare"].transformers) == 1


def test_estimators_see_dense_rows_however_many_categories_there_are() -> None:
    frame = pd.DataFrame({"word": pd.Series([f"w{i}" for i in range(100)], dtype="str")})
    prepare = build_pipeline("ridge", COLUMNS[2:], some_params())["prepare"]

    assert isinstance(prepare.fit_transform(frame), np.ndarray)


def test_hyper_parameters_reach_the_estimator() -> None:
    params = some_params(model_building={"random_forest": {"n_estimators": 7, "max_depth": 3, "seed": 5}})
    model = build_pipeline("random_forest", COLUMNS, params)["model"]

    assert (model.n_estimators, model.max_depth, model.random_state) == (7, 3, 5)


@pytest.mark.parametrize("candidate", ESTIMATORS)
def test_trees_are_added_up_in_one_thread(candidate: Candidate) -> None:
    assert getattr(build_pipeline(candidate, COLUMNS, some_params())["model"], "n_jobs", None) is None


@pytest.mark.parametrize("candidate", ["random_forest", "gradient_boosting"])
def test_the_same_seed_gives_the_same_model(candidate: Candidate) -> None:
    building = {"random_forest": {"n_estimators": 5}, "gradient_boosting": {"n_estimators": 5, "subsample": 0.5}}
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 2)), rng.normal(size=80)
    first, second = (
        build_pipeline(candidate, COLUMNS, some_params(model_building=building))["model"].fit(x, y) for _ in range(2)
    )

    assert first.predict(x).tolist() == second.predict(x).tolist()
