"""What can be seen of the stack from outside: Prometheus, rules and dashboard, Alertmanager, MLflow, the monitor."""

from collections import Counter
from typing import Any

import httpx
import pytest

from shared.settings import ROOT
from tasador.client import Client
from tests.compose.rows import some_rows
from tests.compose.stack import ComposeStack
from tests.dashboards import DASHBOARDS, queries

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300, func_only=True)]

SCRAPED = ("gateway", "scorer", "trainer", "monitor", "proxy", "prometheus", "alertmanager")
ONLY_IN_TROUBLE = {
    "What is wrong",
    "Requests refused and failed",
    "Share of requests that failed",
    "Features that have drifted",
    "Nulls",
    "Outside the range of the training",
    "Categories that training has not seen",
    "What the monitor alerts about",
    "Live error",
}
"""Panels that are empty while all is well, or while nobody has said what really happened."""
RULES = {path.name for path in (ROOT / "deploy" / "prometheus" / "rules").glob("*.yml")}


@pytest.fixture(scope="module")
def traffic(stack: ComposeStack) -> None:
    """Some of everything that is measured, and a second of it when the first was scraped: rates need two samples."""
    stack.scale(scorer=2)
    rows = some_rows(300, seed=3)
    with stack.client() as client:
        for path in range(2):
            for row in rows[:20]:
                client.predict(row)
            client.predict_batch(rows)
            client.wait(client.submit(rows).id, timeout=60)
            if not path:
                stack.wait(lambda: answer_of(stack, 'tasador_gateway_predictions_total{mode="batch"} > 0'))


@pytest.mark.usefixtures("traffic")
def test_prometheus_scrapes_every_replica(stack: ComposeStack) -> None:
    expected = Counter({service: len(stack.ps(service)) for service in SCRAPED})
    assert expected["scorer"] > 1

    def scraped() -> bool:
        targets = stack.get("prometheus", "/api/v1/targets")["data"]["activeTargets"]
        assert {target["lastError"] for target in targets} == {""}
        assert {target["health"] for target in targets} == {"up"}
        assert Counter(target["labels"]["job"] for target in targets) == expected
        return True

    stack.wait(scraped)


def test_prometheus_evaluates_every_rule_and_tells_alertmanager(stack: ComposeStack) -> None:
    def evaluated() -> list[Any]:
        groups = stack.get("prometheus", "/api/v1/rules")["data"]["groups"]
        assert {(rule["health"], rule.get("lastError", "")) for group in groups for rule in group["rules"]} == {
            ("ok", "")
        }
        return [group["file"].rsplit("/", 1)[-1] for group in groups]

    assert set(stack.wait(evaluated)) == RULES
    told = stack.get("prometheus", "/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
    assert [manager["url"] for manager in told] == ["http://alertmanager:9093/api/v2/alerts"]
    assert httpx.get(f"{stack.url('alertmanager')}/-/ready").is_success


@pytest.mark.usefixtures("traffic")
@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_of_the_dashboard_has_something_to_show(stack: ComposeStack, dashboard: Any) -> None:
    def all_have() -> bool:
        asked = [(panel, query) for panel, query in queries(dashboard) if panel not in ONLY_IN_TROUBLE]
        assert [(panel, query) for panel, query in asked if not answer_of(stack, query)] == []
        return True

    stack.wait(all_have)
    for _, query in queries(dashboard):
        answer_of(stack, query)  # those that may be empty are understood, too


@pytest.mark.usefixtures("traffic")
def test_the_monitor_counts_every_path(stack: ComposeStack, client: Client) -> None:
    def by_mode() -> dict[str, int]:
        found: dict[str, int] = stack.get("monitor", "/stats")["lifetime"]["all"]["by_mode"]
        return found

    before = by_mode()
    rows = some_rows(300, seed=4)
    for row in rows[:20]:
        client.predict(row)
    client.predict_batch(rows[:100])
    client.wait(client.submit(rows).id, timeout=60)
    added = {"single": 20, "batch": 100, "job": 300}
    stack.wait(lambda: {mode: by_mode()[mode] - before[mode] for mode in added} == added)


def test_mlflow_shows_the_run_of_the_version_in_service_and_calls_it_champion(
    stack: ComposeStack, client: Client
) -> None:
    champion = next(version for version in client.models().versions if version.state == "champion")

    def alias() -> dict[str, Any]:
        asked = {"name": "boston-housing", "alias": "champion"}
        found: dict[str, Any] = mlflow(stack, "registered-models/alias", **asked)["model_version"]
        assert found["version"] == champion.version
        return found

    assert stack.wait(alias)["run_id"] == champion.mlflow_run_id
    run = mlflow(stack, "runs/get", run_id=champion.mlflow_run_id)["run"]
    assert run["info"]["status"] == "FINISHED"
    logged = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    assert champion.metrics is not None
    assert logged["test_rmse"] == champion.metrics["test"]["rmse"]
    files = mlflow(stack, "artifacts/list", run_id=champion.mlflow_run_id, path="plots")["files"]
    picture = httpx.get(
        f"{stack.url('mlflow')}/get-artifact", params={"run_id": champion.mlflow_run_id, "path": files[0]["path"]}
    )
    assert picture.raise_for_status().content.startswith(b"\x89PNG")


def test_mlflow_does_not_answer_by_a_name_that_somebody_else_gave_it(stack: ComposeStack) -> None:
    assert httpx.get(stack.url("mlflow")).is_success
    assert httpx.get(stack.url("mlflow"), headers={"Host": "evil.example"}).status_code == httpx.codes.FORBIDDEN


def answer_of(stack: ComposeStack, query: str) -> list[Any]:
    found: list[Any] = stack.get("prometheus", "/api/v1/query", query=query)["data"]["result"]
    return found


def mlflow(stack: ComposeStack, what: str, **parameters: str) -> Any:
    return stack.get("mlflow", f"/api/2.0/mlflow/{what}", **parameters)
