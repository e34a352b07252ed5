"""The loop closes: drift, an alert, a training on what happened, a better model, and quiet again; or none is better."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.e2e.stack import LocalStack

PARAMS = """
model: {name: rents}
data: {source: rents.csv, target: rent, unit: EUR}
model_building:
  gradient_boosting: {n_estimators: 60}
selection: {cv: 3, only: gradient_boosting}
drift: {window_rows: 1000}
quality: {min_labels: 100}
retrain: {automatic: true, after: 2, cooldown: 0, per_day: 8, labelled_rows: true}
"""
# On a slow machine drift asks before labels are joined: that training is held back, and spends of the budget.
BATCH = 500

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def flats(rows: int, seed: int, center: float = 0.0, old: float = 0.0) -> pd.DataFrame:
    """A table of flats. Above a size that the first one never has, the rent falls."""
    rng = np.random.default_rng(seed)
    size, age = rng.normal(center, 1.0, rows), rng.normal(old, 1.0, rows)
    place = rng.choice(["north", "south"], rows)
    rent = np.where(size < 3, 50 * size, 150 - 60 * (size - 3)) - 5 * age + 10 * (place == "south")
    return pd.DataFrame({"size": size, "age": age, "place": place, "rent": rent + rng.normal(0, 3, rows)})


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    directory = tmp_path_factory.mktemp("rents")
    flats(300, seed=1).to_csv(directory / "rents.csv", index=False)
    (directory / "params.yaml").write_text(PARAMS)
    stack = LocalStack(
        directory,
        params_path=directory / "params.yaml",
        scorers=1,
        monitor_evaluate_seconds=2,
        monitor_log_seconds=1,
    )
    try:
        yield stack.start()
    finally:
        stack.kill()


def serve(stack: LocalStack, table: pd.DataFrame) -> list[tuple[str, int, float]]:
    """Predict rows in batches; return request, index and what really happened of each."""
    said = []
    with stack.client() as client:
        for start in range(0, len(table), BATCH):
            part = table.iloc[start : start + BATCH]
            rows: Any = part.drop(columns="rent").to_dict("records")
            answer = client.predict_batch(rows)
            assert answer.errors == []
            said += [(answer.request_id, i, float(rent)) for i, rent in enumerate(part["rent"])]
    return said


def firing(stack: LocalStack) -> set[str]:
    return {
        alert["subject"] for alert in stack.get("monitor", "/alerts?state=firing")["alerts"] if alert["rule"] == "drift"
    }


def evaluations(stack: LocalStack) -> int:
    return len(stack.get("monitor", "/evaluations")["evaluations"])


def decisions(stack: LocalStack) -> list[dict[str, Any]]:
    """What became of trainings, oldest first."""
    found = [entry for entry in stack.get("gateway", "/models")["history"] if entry.get("decision")]
    return sorted(found, key=lambda entry: str(entry["at"]))


def test_normal_traffic_raises_no_alert(stack: LocalStack) -> None:
    serve(stack, flats(2000, seed=2))
    stack.wait(lambda: stack.get("monitor", "/drift")["n"] >= 1000)
    seen = evaluations(stack)
    stack.wait(lambda: evaluations(stack) >= seen + 3)
    assert firing(stack) == set()
    assert stack.get("monitor", "/health")["status"] == "healthy"


def test_a_shifted_feature_is_named_the_model_is_trained_anew_on_what_happened_and_the_alert_resolves(
    stack: LocalStack,
) -> None:
    said = serve(stack, flats(6000, seed=3, center=5.0))
    with stack.client() as client:
        client.feedback({"request_id": request, "index": i, "actual": actual} for request, i, actual in said)
    stack.wait(lambda: "size" in firing(stack), within=90)
    assert "age" not in firing(stack)

    stack.wait(lambda: stack.get("gateway", "/model/info")["version"] != "1", within=240)
    _, *later = [entry["decision"]["trigger"] for entry in decisions(stack) if entry["action"] == "promoted"]
    assert later
    assert set(later) <= {"drift", "quality"}
    with stack.client() as client:
        stack.wait(lambda: client.replicas().converged)
    after = serve(stack, flats(2000, seed=4, center=5.0))
    assert len(after) == 2000
    stack.wait(lambda: firing(stack) == set(), within=120)
    resolved = stack.get("monitor", "/alerts?state=resolved")["alerts"]
    assert "size" in {alert["subject"] for alert in resolved}


def everything_is_learned(stack: LocalStack, labels: int) -> None:
    """Labels are joined in parts, and a training may have come between: another one with all of them could win."""
    stack.wait(lambda: labelled(stack) >= labels)
    with stack.client() as client:
        assert client.wait_operation(client.retrain().id, timeout=240).state == "succeeded"
        stack.wait(lambda: client.replicas().converged)


def labelled(stack: LocalStack) -> int:
    versions = stack.get("monitor", "/quality")["versions"].values()
    return sum(version["lifetime"]["quality"]["n"] for version in versions)


def test_drift_alone_does_not_promote_and_why_is_in_the_history(stack: LocalStack) -> None:
    everything_is_learned(stack, labels=6000)
    before = stack.get("gateway", "/model/info")["version"]
    count = len(decisions(stack))
    serve(stack, flats(3000, seed=6, center=5.0, old=4.0))
    stack.wait(lambda: "age" in firing(stack), within=90)
    stack.wait(lambda: len(decisions(stack)) > count, within=240)
    refused = decisions(stack)[count]
    assert (refused["action"], refused["decision"]["trigger"]) == ("held_back", "drift")
    assert stack.get("gateway", "/model/info")["version"] == before
    assert "age" in firing(stack)


def test_the_new_model_is_better_where_the_old_one_was_wrong_and_the_figures_say_so(stack: LocalStack) -> None:
    said = serve(stack, flats(1000, seed=5, center=5.0))
    with stack.client() as client:
        client.feedback({"request_id": request, "index": i, "actual": actual} for request, i, actual in said)

    def since_the_first() -> list[dict[str, Any]]:
        versions = stack.get("monitor", "/quality")["versions"]
        return [found["lifetime"]["quality"] for version, found in versions.items() if version != "1"]

    stack.wait(lambda: sum(quality["n"] for quality in since_the_first()) >= 1000)
    old = stack.get("monitor", "/quality")["versions"]["1"]["lifetime"]["quality"]["rmse"]
    assert all(new["rmse"]["high"] < old["low"] / 3 for new in since_the_first() if new["n"] >= 200)
