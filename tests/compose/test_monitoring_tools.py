"""What Prometheus's and Alertmanager's own tools say of our configuration, in the images that compose runs."""

import io
import json
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.settings import ROOT
from tests.containers import new_container
from tests.dashboards import DASHBOARDS, queries
from tests.waiting import eventually

pytestmark = pytest.mark.docker

DEPLOY = ROOT / "deploy"
HOW_TO = ROOT / "docs" / "how-to" / "prometheus-and-grafana.md"
AMTOOL = ("amtool", "--alertmanager.url=http://127.0.0.1:9093")
WITH_OURS = (  # a file can only be copied into a container that was started
    "until [ -e /etc/alertmanager/complete ]; do sleep 0.1; done; exec alertmanager"
    " --config.file=/etc/alertmanager/alertmanager.yml --storage.path=/alertmanager --cluster.listen-address="
)
EXAMPLES = sorted((DEPLOY / "alertmanager" / "examples").glob("*.yml"))
RULE_TESTS = sorted((DEPLOY / "prometheus" / "tests").glob("*.yml"))


class Tools:
    """A container of an image, into which files are copied: a mount would need the engine to be on this machine."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def run(self, *command: str) -> str:
        """Return what a command says; it must succeed."""
        code, output = self._container.exec(list(command))
        said: str = output.decode()
        assert code == 0, f"{' '.join(command)}\n{said}"
        return said

    def copy(self, files: dict[str, bytes]) -> None:
        """Write files, by their paths from the root on."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name.removeprefix("/"))
                member.size, member.mode = len(content), 0o644
                tar.addfile(member, io.BytesIO(content))
        assert self._container.get_wrapped_container().put_archive("/", archive.getvalue())


@contextmanager
def _started(service: str, **how: Any) -> Iterator[Tools]:
    """Start the image of a service of the compose file, with its configuration where compose mounts it."""
    image = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"][service]["image"]
    with new_container(image, **how) as container:
        tools = Tools(container)
        directory = DEPLOY / service
        files = {path.relative_to(directory): path.read_bytes() for path in sorted(directory.rglob("*.yml"))}
        tools.copy({f"/etc/{service}/{name}": content for name, content in files.items()})
        yield tools


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Tools]:
    """With promtool; Prometheus itself does not run."""
    with _started("prometheus", entrypoint="sleep", command="600") as tools:
        yield tools


@pytest.fixture(scope="module")
def alertmanager() -> Iterator[Tools]:
    """Running, with our configuration."""
    with _started("alertmanager", entrypoint=["sh", "-c", WITH_OURS]) as tools:
        tools.copy({"/etc/alertmanager/complete": b""})
        tools.run(
            "timeout", "30", "sh", "-c", f"until {' '.join(AMTOOL)} config show > /dev/null 2>&1; do sleep 0.1; done"
        )
        yield tools


def test_prometheus_takes_its_configuration(prometheus: Tools) -> None:
    said = prometheus.run("promtool", "check", "config", "--lint=all", "--lint-fatal", "/etc/prometheus/prometheus.yml")
    assert f"{len(list((DEPLOY / 'prometheus' / 'rules').glob('*.yml')))} rule files found" in said


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_every_alert_fires_when_it_should_and_not_otherwise(prometheus: Tools, path: Path) -> None:
    prometheus.run("promtool", "test", "rules", f"/etc/prometheus/tests/{path.name}")


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_query_of_the_dashboard_is_promql(prometheus: Tools, path: Path) -> None:
    rules = [{"record": f"query:{i}:{i}", "expr": expression} for i, (_, expression) in enumerate(queries(path))]
    text = yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}, allow_unicode=True)
    prometheus.copy({"/etc/prometheus/queries.yml": text.encode()})
    said = prometheus.run("promtool", "check", "rules", "--lint=none", "/etc/prometheus/queries.yml")
    assert f"{len(rules)} rules found" in said


@pytest.mark.parametrize("name", ["alertmanager.yml", *(f"examples/{path.name}" for path in EXAMPLES)])
def test_alertmanager_takes_its_configuration(alertmanager: Tools, name: str) -> None:
    said = alertmanager.run("amtool", "check-config", f"/etc/alertmanager/{name}")
    assert "5 inhibit rules" in said


@pytest.mark.parametrize(
    ("severity", "receiver"), [("critical", "on-call"), ("warning", "team"), ("info", "team"), ("other", "team")]
)
def test_alerts_go_to_whom_they_concern(alertmanager: Tools, severity: str, receiver: str) -> None:
    test = ["amtool", "config", "routes", "test", "--config.file=/etc/alertmanager/alertmanager.yml"]
    alertmanager.run(*test, f"--verify.receivers={receiver}", "alertname=TasadorRedisDown", f"severity={severity}")


LONG_OVER = ("--start=2000-01-01T00:00:00Z", "--end=2000-01-02T00:00:00Z")
FOLLOWS = [  # a cause, what follows from it, and what does not
    (
        "TasadorRedisMemory service=redis severity=critical",
        "TasadorRedisMemory service=redis severity=warning",
        "TasadorRedisUnreachable service=redis severity=warning",
    ),
    (
        "TasadorRedisDown service=redis severity=critical",
        "TasadorNoScorer service=scorer severity=critical needs=redis",
        "TasadorPredictSlow service=gateway severity=warning",
    ),
    (
        "TasadorServiceDown service=monitor severity=warning",
        "TasadorDrift service=monitor severity=warning",
        "TasadorRestarting service=scorer severity=warning",
    ),
    (
        "TasadorServiceDown service=trainer severity=warning",
        "TasadorTrainingFailed service=trainer severity=warning",
        "TasadorServiceDown service=scorer severity=critical",
    ),
    (
        "TasadorNoGatewayReady service=gateway severity=critical",
        "TasadorProxyWithoutGateway service=gateway severity=critical",
        "TasadorErrors service=gateway severity=critical",
    ),
    (
        "TasadorNoScorer service=scorer severity=critical",
        "TasadorBacklogStuck service=scorer severity=critical",
        "TasadorJobsFailed service=scorer severity=warning",
    ),
]


@pytest.mark.parametrize("alerts", FOLLOWS, ids=lambda alerts: "-".join(alert.split()[0] for alert in alerts))
async def test_only_what_follows_from_an_alert_is_not_told_beside_it(
    alertmanager: Tools, alerts: tuple[str, str, str]
) -> None:
    for alert in alerts:
        alertmanager.run(*AMTOOL, "alert", "add", *alert.split())

    def told(*which: str) -> list[str]:
        found = json.loads(alertmanager.run(*AMTOOL, "alert", "query", *which, "-o", "json"))
        return sorted(each["labels"]["alertname"] for each in found)

    cause, follows, other = (alert.split()[0] for alert in alerts)

    async def settled() -> bool:
        return told("--inhibited") == [follows]

    await eventually(settled)
    assert told() == sorted([cause, other])
    for alert in alerts:  # over, so that they are not in the way of the next ones
        alertmanager.run(*AMTOOL, "alert", "add", *LONG_OVER, *alert.split())


def test_the_receivers_of_the_how_to_are_taken(alertmanager: Tools) -> None:
    ours = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8"))
    blocks = re.findall(r"```yaml\n(receivers:\n.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks):
        text = yaml.safe_dump(ours | yaml.safe_load(block))
        alertmanager.copy({f"/etc/alertmanager/how-to-{number}.yml": text.encode()})
        alertmanager.run("amtool", "check-config", f"/etc/alertmanager/how-to-{number}.yml")
