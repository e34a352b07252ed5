"""Rules, dashboard and documentation against what the services really show, and against each other.

What takes Prometheus's own tools is in tests/compose/test_monitoring_tools.py.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.settings import ROOT
from tests.dashboards import DASHBOARDS, panels, queries
from tests.metrics import Declared, declared
from tests.promql import grouped_labels, selectors

DEPLOY = ROOT / "deploy"
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
SERVICES = ("gateway", "scorer", "trainer", "monitor")
PORTS = {"gateway": 8000, "scorer": 8002, "trainer": 8003, "monitor": 8001}
BY_PROMETHEUS = {"job", "instance"}
FOREIGN: Declared = {
    "up": frozenset(),
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "service"}),
    # As HAProxy 2.6 shows them, which Debian 12 has.
    "haproxy_backend_active_servers": frozenset({"proxy"}),
    "haproxy_frontend_http_responses_total": frozenset({"proxy", "code"}),
}
UNITS = {"none", "short", "percentunit", "s", "bytes", "reqps", "rowsps", "cps"}


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _rules() -> list[dict[str, Any]]:
    return [rule for path in RULES for group in _yaml(path)["groups"] for rule in group["rules"]]


ALERTS = [rule for rule in _rules() if "alert" in rule]
RECORDED = {rule["record"]: rule["expr"] for rule in _rules() if "record" in rule}
EXPRESSIONS = [(rule.get("alert", rule.get("record")), rule["expr"]) for rule in _rules()]
EXPRESSIONS += [query for path in DASHBOARDS for query in queries(path)]
PROMETHEUS = _yaml(DEPLOY / "prometheus" / "prometheus.yml")
JOBS = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}
alerts = pytest.mark.parametrize("alert", ALERTS, ids=lambda a: f"{a['alert']}-{a['labels']['severity']}")
dashboards = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Declared:
    found = dict(FOREIGN)
    for service in declared(tmp_path_factory.mktemp("declared")).values():
        for name, labels in service.items():
            found[name] = found.get(name, frozenset()) | labels
    return found


def _labels(name: str, known: Declared) -> set[str]:
    """Return the labels of a series; of a recorded one those that its expression keeps."""
    if name in RECORDED:
        return grouped_labels(RECORDED[name])
    return set(known[name]) | BY_PROMETHEUS


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_every_query_asks_for_what_there_is(title: str, expression: str, known: Declared) -> None:
    found = selectors(expression)
    assert found
    missing = {name for selector in found for name in selector.names} - known.keys() - RECORDED.keys()
    assert not missing, f"{title} asks for what nobody shows"
    for selector in found:
        for name in selector.names:
            asked = {label for label, _, _ in selector.matchers}
            assert asked <= _labels(name, known), f"{title}: {name} has no such label"
    everything = set[str]().union(*(_labels(name, known) for selector in found for name in selector.names))
    assert grouped_labels(expression) <= everything, f"{title} groups by a label that nothing in it has"


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_every_value_of_a_label_that_is_asked_for_is_said_somewhere(title: str, expression: str) -> None:
    """A wrong outcome="…" would be an alert that never fires."""
    for selector in selectors(expression):
        for label, operator, value in selector.matchers:
            if label in ("job", "proxy", "alertname", "alertstate") or re.search(r"[.*\[+]", value):
                continue
            for word in value.split("|") if operator in ("=~", "!~") else [value]:
                assert re.search(rf'"{re.escape(word)}"', _code(selector.names[0])), f"{title}: {label}={word}"


def _code(metric: str) -> str:
    """Return the code of the service that shows a metric."""
    (service,) = re.findall(rf"^tasador_({'|'.join(SERVICES)})_", metric)
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "services" / service).rglob("*.py")))


@alerts
def test_every_alert_says_what_who_looks_at_it_needs(alert: dict[str, Any]) -> None:
    assert alert["alert"].startswith("Tasador")
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert alert["labels"]["service"] in (*SERVICES, "proxy", "redis", "alertmanager", "{{ $labels.job }}")
    annotations = alert["annotations"]
    assert annotations.keys() == {"summary", "description", "runbook"}
    assert not annotations["summary"].endswith(".")
    assert annotations["description"].endswith((".", "?"))
    assert annotations["runbook"] == f"docs/alerts.md#{alert['alert'].lower()}"


def test_the_page_of_alerts_has_each_and_no_other() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    sections = re.findall(r"^### (Tasador\w+)$", page, re.MULTILINE)
    assert len(sections) == len(set(sections))
    assert set(sections) == {alert["alert"] for alert in ALERTS}


@alerts
def test_every_alert_is_tested_to_fire_and_not_to(alert: dict[str, Any]) -> None:
    checks = [
        check
        for path in (DEPLOY / "prometheus" / "tests").glob("*.yml")
        for group in _yaml(path)["tests"]
        for check in group["alert_rule_test"]
        if check["alertname"] == alert["alert"]
    ]
    severities = {found["exp_labels"]["severity"] for check in checks for found in check["exp_alerts"]}
    assert alert["labels"]["severity"] in severities
    assert any(not check["exp_alerts"] for check in checks)


def test_every_file_of_rules_is_tested() -> None:
    tested = {
        Path(name).name
        for path in (DEPLOY / "prometheus" / "tests").glob("*.yml")
        for name in _yaml(path)["rule_files"]
    }
    assert tested == {path.name for path in RULES}


def test_the_examples_of_alertmanager_differ_from_ours_in_who_is_told_only() -> None:
    ours = _yaml(DEPLOY / "alertmanager" / "alertmanager.yml")
    examples = {path.stem: _yaml(path) for path in (DEPLOY / "alertmanager" / "examples").glob("*.yml")}
    assert set(examples) == {"slack", "pagerduty"}
    for kind, example in examples.items():
        assert (example["route"], example["inhibit_rules"]) == (ours["route"], ours["inhibit_rules"])
        assert [each["name"] for each in example["receivers"]] == [each["name"] for each in ours["receivers"]]
        assert all(each[f"{kind}_configs"] for each in example["receivers"])
        secrets = re.findall(r"\w+_file: (\S+)", (DEPLOY / "alertmanager" / "examples" / f"{kind}.yml").read_text())
        assert secrets
        assert all(path.startswith("/run/secrets/") for path in secrets)


def test_every_service_is_scraped_where_compose_starts_it() -> None:
    compose = _yaml(ROOT / "docker-compose.yml")["services"]
    for service, port in PORTS.items():
        (found,) = JOBS[service]["dns_sd_configs"]
        assert (found["names"], found["type"], found["port"]) == ([service], "A", port)
        assert service in compose
    assert JOBS["proxy"]["static_configs"][0]["targets"] == ["proxy:8404"]
    assert {"proxy", "prometheus", "alertmanager"} <= compose.keys() & JOBS.keys()
    (alertmanagers,) = PROMETHEUS["alerting"]["alertmanagers"]
    assert alertmanagers["static_configs"][0]["targets"] == ["alertmanager:9093"]


def test_alerts_speak_of_jobs_that_are_scraped() -> None:
    named = {
        job
        for _, expression in EXPRESSIONS
        for job in re.findall(r'job=~?"([^"]*)"', expression)
        for job in job.split("|")
    }
    assert named <= JOBS.keys()
    assert set(PORTS) | {"proxy", "alertmanager"} <= named


def test_the_proxy_has_the_parts_that_are_asked_for() -> None:
    configuration = (DEPLOY / "proxy" / "haproxy.cfg").read_text(encoding="utf-8")
    asked = {
        part for _, expression in EXPRESSIONS for part in re.findall(r'haproxy_(\w+?)_\w+\{proxy="(\w+)"', expression)
    }
    assert asked == {("backend", "ready"), ("frontend", "requests")}
    for kind, name in asked:
        assert re.search(rf"^{kind} {name}$", configuration, re.MULTILINE)


@dashboards
def test_panels_have_ids_of_their_own_and_do_not_overlap(path: Path) -> None:
    found = panels(path)
    assert len({panel["id"] for panel in found}) == len(found)
    taken: set[tuple[int, int]] = set()
    for panel in found:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@dashboards
def test_every_panel_says_what_it_shows(path: Path) -> None:
    for panel in panels(path):
        if panel["type"] == "row":
            continue
        assert panel["type"] in ("timeseries", "stat", "table", "bargauge")
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["targets"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            assert target["legendFormat"], panel["title"]
            assert target["expr"].strip() == target["expr"] != ""
            assert target["instant"] != target["range"]
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert (panel["type"] == "table") == (target.get("format") == "table")


@dashboards
def test_legends_speak_of_labels_that_the_query_keeps(path: Path, known: Declared) -> None:
    for panel in panels(path):
        for target in panel.get("targets", ()):
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            kept = grouped_labels(target["expr"])
            if not re.search(r"\b(sum|max|min|count|avg)\b", target["expr"]):
                kept = {label for s in selectors(target["expr"]) for name in s.names for label in _labels(name, known)}
            assert shown <= kept, panel["title"]


@dashboards
def test_the_dashboard_uses_the_data_source_that_is_provisioned(path: Path) -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = _yaml(provisioning / "datasources" / "prometheus.yml")["datasources"]
    (variable,) = json.loads(path.read_text(encoding="utf-8"))["templating"]["list"]
    chosen = (variable["name"], variable["query"], variable["current"]["value"])
    assert chosen == ("datasource", source["type"], source["uid"])
    assert source["url"] == "http://prometheus:9090"
    slowest = max(
        _seconds(job.get("scrape_interval", PROMETHEUS["global"]["scrape_interval"])) for job in JOBS.values()
    )
    assert _seconds(source["jsonData"]["timeInterval"]) == slowest


def test_grafana_reads_the_directory_that_compose_mounts() -> None:
    (provider,) = _yaml(DEPLOY / "grafana" / "provisioning" / "dashboards" / "tasador.yml")["providers"]
    mounts = [mount.split(":") for mount in _yaml(ROOT / "docker-compose.yml")["services"]["grafana"]["volumes"]]
    assert ["./deploy/grafana/dashboards", provider["options"]["path"], "ro"] in mounts
    assert ["./deploy/grafana/provisioning", "/etc/grafana/provisioning", "ro"] in mounts


def test_every_metric_is_documented(tmp_path: Path) -> None:
    """The monitor's have a test of their own."""
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(tasador_(?:gateway|scorer|trainer)_\w+)(?:\{[\w,]+\})?`", page))
    shown = {name for service in declared(tmp_path).values() for name in service if name.startswith("tasador_")}
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown if not name.startswith("tasador_monitor_")}
    assert documented == shown


def _seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text[:-1])
