from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.trainer.dataset import Dataset, load_dataset
from services.trainer.evaluate import Evaluation, evaluate_candidates, importance, scores, select
from services.trainer.split import Split, make_split
from shared.params import Params
from tests.tables import parcel_project


def silent(stage: str, done: int, total: int) -> None:
    """Hear of progress and say nothing."""


class Project:
    def __init__(self, directory: Path, **selection: object) -> None:
        self.params: Params = parcel_project(directory, selection={"cv": 3, **selection})
        self.dataset: Dataset = load_dataset(self.params, directory)
        self.split: Split = make_split(self.dataset.digests, 0.2, 3, 42)

    def evaluate(self) -> tuple[Evaluation, ...]:
        return evaluate_candidates(self.dataset, self.split, self.params, silent)


def test_scores_of_a_small_example() -> None:
    found = scores(np.array([1.0, 2.0, 3.0, 6.0]), np.array([2.0, 2.0, 3.0, 3.0]))

    assert found == pytest.approx({"rmse": np.sqrt(10 / 4), "mae": 1.0, "r2": 1 - 10 / 14})


def test_r2_of_equal_values_is_zero() -> None:
    assert scores(np.array([2.0, 2.0]), np.array([1.0, 3.0]))["r2"] == 0.0


def test_each_candidate_is_scored_on_train_folds_and_test(tmp_path: Path) -> None:
    for evaluation in Project(tmp_path).evaluate():
        metrics = evaluation.metrics()

        assert len(evaluation.folds) == 3
        assert set(metrics.train) == set(metrics.cv_mean) == set(metrics.cv_std) == set(metrics.test)
        assert metrics.cv_mean["rmse"] == pytest.approx(np.mean([fold["rmse"] for fold in evaluation.folds]))
        assert metrics.test["r2"] > 0.5


def test_progress_counts_every_fold_of_every_candidate(tmp_path: Path) -> None:
    project, heard = Project(tmp_path), list[tuple[str, int, int]]()

    evaluate_candidates(project.dataset, project.split, project.params, lambda *said: heard.append(said))

    assert heard == [("cross-validation", done, 12) for done in range(1, 13)]


def test_out_of_fold_predictions_come_from_pipelines_that_did_not_see_the_row(tmp_path: Path) -> None:
    project = Project(tmp_path, only="random_forest")
    (evaluation,) = project.evaluate()
    actual = project.dataset.target[project.split.train]
    first = project.split.folds == 0

    assert scores(actual[first], evaluation.out_of_fold[first]) == evaluation.folds[0]
    assert scores(actual, evaluation.out_of_fold)["rmse"] > 1.2 * evaluation.train["rmse"]


def test_the_test_rows_are_not_fitted(tmp_path: Path) -> None:
    project = Project(tmp_path, only="ridge")
    (before,) = project.evaluate()
    target = project.dataset.target.copy()
    target[project.split.test] += 1000
    project.dataset = replace(project.dataset, target=target)
    (after,) = project.evaluate()

    assert after.pipeline["model"].coef_.tolist() == before.pipeline["model"].coef_.tolist()
    assert after.test["rmse"] > 900


def test_the_lowest_error_over_the_folds_wins_whatever_the_test_says(tmp_path: Path) -> None:
    good, bad, *_ = Project(tmp_path).evaluate()
    good = replace(good, folds=({"rmse": 1.0}, {"rmse": 1.2}), test={"rmse": 9.0})
    bad = replace(bad, folds=({"rmse": 1.1}, {"rmse": 1.2}), test={"rmse": 0.1})

    assert select([bad, good], "rmse") is good


def test_importance_names_encoded_columns_largest_first(tmp_path: Path) -> None:
    (evaluation,) = Project(tmp_path, only="ridge").evaluate()
    found = importance(evaluation.pipeline)

    assert found[0][0] == "distance"
    assert "carrier_Übersee" in dict(found)
    assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)
