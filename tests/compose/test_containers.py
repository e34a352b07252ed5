"""What `docker compose up` starts: images, what a container may do, who can reach it, and what it is told."""

import json
import re
from collections import Counter
from collections.abc import Sequence

import httpx
import pytest

from shared.settings import ROOT
from tasador.client import Client
from tests.compose.commands import CommandFailed, run
from tests.compose.rows import predicted_at_once, some_rows
from tests.compose.stack import REVISION, ComposeStack, write_env

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300, func_only=True)]

SERVICES = {
    "alertmanager": 1,
    "gateway": 1,
    "mlflow": 1,
    "monitor": 1,
    "prometheus": 1,
    "proxy": 1,
    "scorer": 2,
    "trainer": 1,
    "valkey": 1,
}
PUBLISHED = {"proxy": 8000, "monitor": 8001, "mlflow": 5000, "prometheus": 9090, "alertmanager": 9093}
OURS = ("gateway", "scorer", "monitor", "trainer")
USER = "10001"
PAGE = (ROOT / "docs/how-to/docker-compose.md").read_text()
SIZES = {name: int(size) for name, size in re.findall(r"^\| `tasador-(\w+)` \| (\d+) MB \|$", PAGE, re.MULTILINE)}
TRAINING = ("matplotlib", "mlflow", "onnx", "pandas", "scipy", "sklearn")
INSTALLERS = ("pip", "setuptools", "uv", "wheel")


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("target", [*OURS, "proxy"])
def test_an_image_is_as_small_as_its_page_says_and_says_what_it_is(target: str) -> None:
    image = json.loads(run("docker", "image", "inspect", f"tasador-{target}:test"))[0]
    # In MB; the base images of other processors and days are larger or smaller by so much.
    assert image["Size"] / 1_000_000 == pytest.approx(SIZES[target], abs=40)
    labels = image["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == f"Tasador {target}"
    assert labels["org.opencontainers.image.revision"] == REVISION
    assert labels["org.opencontainers.image.version"] == "0.1.0"
    assert labels["org.opencontainers.image.description"]


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("target", OURS)
def test_an_image_holds_its_own_service_and_nothing_to_install_with(target: str) -> None:
    assert run_in(target, "ls", "/app", "/app/services").split("\n\n") == [
        "/app:\nservices\nshared",
        f"/app/services:\n__init__.py\n{target}\n",
    ]
    assert importable(target, INSTALLERS) == []
    assert run_in(target, "sh", "-c", "command -v pip pip3 uv || true") == ""


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("target", ["gateway", "scorer", "monitor"])
def test_an_image_that_serves_cannot_train(target: str) -> None:
    assert importable(target, TRAINING) == (["scipy"] if target == "monitor" else [])  # which tests drift with it


@pytest.mark.usefixtures("images")
def test_the_image_that_trains_is_seen_to_be_able_to() -> None:
    assert importable("trainer", TRAINING) == sorted(TRAINING)


def test_everything_comes_up_and_predicts_through_the_proxy(stack: ComposeStack, client: Client) -> None:
    assert Counter(container.service for container in stack.ps()) == SERVICES
    assert {(container.state, container.health) for container in stack.ps()} == {("running", "healthy")}
    rows = some_rows(20)
    assert [client.predict(row).prediction for row in rows] == predicted_at_once(client, rows)
    assert client.health().status == "healthy"


def test_a_browser_gets_the_pages_and_all_they_need(stack: ComposeStack) -> None:
    with httpx.Client(base_url=stack.url("proxy")) as http:
        page = http.get("/docs").raise_for_status().text
        assets = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert assets
        for asset in assets:
            assert asset.startswith("/"), "nothing is loaded from elsewhere"
            http.get(asset).raise_for_status()


def test_nothing_but_what_people_need_has_a_port_and_that_on_loopback(stack: ComposeStack) -> None:
    published = {
        container.service: {
            port: hosts for port, hosts in stack.inspect(container)["NetworkSettings"]["Ports"].items() if hosts
        }
        for container in stack.ps()
    }
    assert {service: ports for service, ports in published.items() if ports} == {
        service: {f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(stack.ports[service])}]}
        for service, port in PUBLISHED.items()
    }


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_runs_without_privileges_on_a_file_system_that_it_cannot_change(
    stack: ComposeStack, service: str
) -> None:
    container = stack.ps(service)[0]
    status = dict(line.split(":\t", 1) for line in stack.execute(container, "cat", "/proc/1/status").splitlines())
    user = status["Uid"].split()[0]
    assert user != "0"
    assert user == USER or service not in OURS
    assert {status[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {""}
    assert status["NoNewPrivs"] == "1"
    with pytest.raises(CommandFailed, match="Read-only file system"):
        stack.execute(container, "touch", "/anything")


def test_only_those_that_need_it_reach_valkey_and_with_the_password(stack: ComposeStack) -> None:
    valkey = stack.only("valkey")
    ask = 'echo "$(valkey-cli ping) $(REDISCLI_AUTH=$(cat /run/secrets/redis_password) valkey-cli ping)"'
    assert stack.execute(valkey, "sh", "-c", ask) == "NOAUTH Authentication required. PONG\n"
    reach = "exec 3<>/dev/tcp/valkey/6379"
    with pytest.raises(CommandFailed, match="valkey"):
        stack.execute(stack.only("proxy"), "bash", "-c", reach)
    stack.execute(stack.only("gateway"), "bash", "-c", reach)  # this test would see it


@pytest.mark.usefixtures("stack")
def test_a_password_is_nowhere_but_in_its_file(stack: ComposeStack) -> None:
    password = (stack.directory / "redis_password").read_text().strip()
    for service in OURS:
        container = stack.ps(service)[0]
        assert password not in json.dumps(stack.inspect(container))
        assert password not in stack.logs(service)


def test_a_misspelt_setting_ends_the_service_with_its_name(stack: ComposeStack) -> None:
    env_file = stack.directory / "misspelt"
    write_env(env_file, {**stack.variables, "ENV_FILE": env_file, "TASADOR_GATEWAY_CHUNKROWS": 5})
    with pytest.raises(CommandFailed, match="TASADOR_GATEWAY_CHUNKROWS") as failed:
        stack.compose("run", "--rm", "--no-deps", "gateway", env_file=env_file)
    assert "ended with 2" in str(failed.value)


def run_in(target: str, *argv: str) -> str:
    return run("docker", "run", "--rm", "--network", "none", f"tasador-{target}:test", *argv)


def importable(target: str, modules: Sequence[str]) -> list[str]:
    """Return which of these modules there are, for the service's Python or for that of the base image."""
    look = "import importlib.util, sys; print(*(m for m in sys.argv[1:] if importlib.util.find_spec(m)))"
    both = 'for python in python /usr/local/bin/python; do "$python" -c "$@"; done'
    return sorted({*run_in(target, "sh", "-c", both, "sh", look, *modules).split()})
