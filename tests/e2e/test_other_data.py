"""Another table, with categories and missing values: nothing but params.yaml says so."""

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasador.client import Invalid
from tests.e2e.stack import LocalStack
from tests.pipelines import a_table, a_target

PARAMS = """
model: {name: parcels}
data: {source: parcels.csv, target: cost, unit: EUR}
model_building:
  random_forest: {n_estimators: 30, max_depth: 8}
  gradient_boosting: {n_estimators: 30}
selection: {cv: 3, only: random_forest}
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    table = a_table(600)
    return table.assign(cost=a_target(table))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame) -> Iterator[LocalStack]:
    directory = tmp_path_factory.mktemp("parcels")
    table.to_csv(directory / "parcels.csv", index=False)
    (directory / "params.yaml").write_text(PARAMS)
    stack = LocalStack(directory, params_path=directory / "params.yaml", scorers=1)
    try:
        yield stack.start()
    finally:
        stack.kill()


def records(table: pd.DataFrame) -> list[dict[str, object]]:
    plain = table.drop(columns="cost").astype(object)
    return plain.where(plain.notna(), None).to_dict("records")  # type: ignore[return-value]


def test_categories_and_nulls_go_through_every_path(stack: LocalStack, table: pd.DataFrame, tmp_path: Path) -> None:
    rows = records(table)
    with stack.client() as client:
        expected = client.predict_batch(rows).predictions
        assert None not in expected
        assert [client.predict(row).prediction for row in rows[:30]] == expected[:30]

        path = tmp_path / "rows.csv"
        table.to_csv(path, index=False)  # nulls are empty cells; the target is one column too many
        job = client.wait(client.submit(path).id, timeout=60)
        assert job.ignored_columns == ["cost"]
        assert [result.prediction for result in client.results(job.id)] == expected


def test_an_unknown_category_is_scored_with_a_warning_and_a_null_where_none_was_seen_is_refused(
    stack: LocalStack, table: pd.DataFrame
) -> None:
    row = records(table)[0]
    with stack.client() as client:
        warned = client.predict({**row, "place": "moon"})
        assert [(warning.field, warning.code) for warning in warned.warnings] == [("place", "unknown_category")]
        with pytest.raises(Invalid, match="count"):
            client.predict({**row, "count": None})


def test_a_shifted_feature_is_reported_as_drifted_and_the_others_are_not(
    stack: LocalStack, table: pd.DataFrame
) -> None:
    rows = records(table)
    shifted = [{**row, "count": float(np.float64(row["count"]) + 100)} for row in rows]  # type: ignore[arg-type]
    with stack.client() as client:
        for _ in range(5):  # more than a window of them
            client.predict_batch(shifted)

    def drifted() -> bool:
        features = stack.get("monitor", "/drift")["features"]
        return {name for name, found in features.items() if found["drifted"]} == {"count"}

    stack.wait(drifted)


def test_a_restarted_monitor_has_forgotten_nothing(stack: LocalStack, table: pd.DataFrame) -> None:
    def counted() -> int:
        total: int = stack.get("monitor", "/stats")["lifetime"]["all"]["total_predictions"]
        return total

    with stack.client() as client:
        client.predict_batch(records(table))
        answered = client.metrics().total_predictions + sum(job.rows.done for job in client.jobs().jobs)
    stack.wait(lambda: counted() == answered)  # events are on their way for a moment
    killed = stack.pids()["monitor"]
    stack.send("monitor", signal.SIGKILL)
    stack.wait(lambda: stack.pids()["monitor"] != killed and counted() == answered)
