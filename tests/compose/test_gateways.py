"""Three gateways behind one address: all are used, and that one of them ends, dies or changes its model is not seen."""

from collections.abc import Iterator
from functools import partial
from uuid import uuid4

import httpx
import pytest

from tasador.client import Client
from tests.compose.load import Load
from tests.compose.rows import predicted_at_once, some_rows, write_params
from tests.compose.stack import ComposeStack, Container

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300, func_only=True)]

GATEWAYS = 3
ROWS = some_rows(300, seed=2)


@pytest.fixture(scope="module", autouse=True)
def _one_in_the_end(stack: ComposeStack) -> Iterator[None]:
    yield
    stack.scale(gateway=1)
    stack.wait(lambda: len(spread_over(stack)) == 1)


@pytest.fixture
def gateways(stack: ComposeStack, client: Client) -> list[Container]:
    """All of them: they get requests, and each has said where it is."""
    if len(spread_over(stack)) != GATEWAYS:
        stack.scale(gateway=GATEWAYS)
        stack.wait(lambda: len(spread_over(stack)) == GATEWAYS)
    stack.wait(lambda: len(addresses(client, "gateway")) == GATEWAYS)
    return stack.ps("gateway")


@pytest.mark.usefixtures("gateways")
def test_requests_reach_all_of_them(stack: ComposeStack, client: Client) -> None:
    before = answered(stack, client)
    load = Load(stack, ROWS)
    with load.running():
        load.goes_on()
    assert load.failures() == []
    added = {address: count - before[address] for address, count in answered(stack, client).items()}
    assert len(added) == GATEWAYS
    assert sum(added.values()) == len(load.answers)
    assert min(added.values()) > len(load.answers) / GATEWAYS / 2


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_no_prediction_fails_when_one_of_them_is_taken_away(
    stack: ComposeStack, gateways: list[Container], how: str
) -> None:
    load = Load(stack, ROWS)
    with load.running():
        load.goes_on()
        {"kill": stack.kill, "stop": stack.stop}[how](gateways[0])
        load.goes_on()
        stack.start(gateways[0])
        stack.wait(lambda: len(spread_over(stack)) == GATEWAYS)
        load.goes_on()
    assert load.failures() == []


def test_no_prediction_fails_when_one_of_them_crashes(stack: ComposeStack, gateways: list[Container]) -> None:
    """It is back so soon that the proxy may not have noticed, and answers before it has a model."""
    load = Load(stack, ROWS)
    with load.running():
        load.goes_on()
        for gateway in gateways:
            stack.crash(gateway)
            stack.wait(partial(has_restarted, stack, gateway))
            load.goes_on()
            stack.wait(lambda: len(spread_over(stack)) == GATEWAYS)
    assert load.failures() == []


@pytest.mark.usefixtures("gateways")
def test_a_retrained_model_takes_over_everywhere_and_no_prediction_fails(stack: ComposeStack, client: Client) -> None:
    before = client.model_info()
    values = {before.version: predicted_at_once(client, ROWS)}
    write_params(stack.directory / "params.yaml", trees=40 + int(before.version))
    load = Load(stack, ROWS)
    with load.running():
        load.goes_on()
        trained = client.wait_operation(client.retrain(reason="more data").id, timeout=200)
        assert trained.state == "succeeded", trained.detail
        # More trees are other predictions, and hardly better ones: it may have been held back.
        operation = client.wait_operation(client.promote(trained.result["version"], reason="a test").id, timeout=60)
        assert operation.result["converged"], operation.result
        load.goes_on()
    after = client.model_info()
    assert (after.version, after.epoch) == (operation.result["version"], (before.epoch or 0) + 1)
    values[after.version] = predicted_at_once(client, ROWS)
    assert values[after.version] != values[before.version], "this test would not see them mixed"

    assert load.failures() == []
    assert [answer for answer in load.answers if answer.prediction != values[answer.version][answer.row]] == []
    versions = [answer.version for answer in load.answers]
    assert (versions[0], set(versions[-100:])) == (before.version, {after.version})

    assert serving(stack, client) == {"gateway": [after.version] * 3, "scorer": [after.version] * 2}
    stack.wait(lambda: seen_by_prometheus(stack, "gateway") == [after.version] * 3)
    stack.wait(lambda: seen_by_prometheus(stack, "scorer") == [after.version] * 2)


@pytest.mark.usefixtures("gateways")
def test_every_replica_tells_of_a_reload(stack: ComposeStack, client: Client) -> None:
    operation = client.wait_operation(client.reload(reason="to see").id, timeout=60)
    assert (operation.state, operation.result["converged"]) == ("succeeded", True)


def test_without_any_the_proxy_says_so_in_the_shape_of_all_errors(
    stack: ComposeStack, gateways: list[Container]
) -> None:
    for gateway in gateways:
        stack.kill(gateway)
    stack.wait(lambda: not spread_over(stack))
    request_id = str(uuid4())
    headers = {"X-Request-ID": request_id}
    answer = httpx.post(f"{stack.url('proxy')}/predict", json=ROWS[0], headers=headers, timeout=30)
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json() == {
        "type": "/problems/no-gateway",
        "title": "No gateway",
        "status": 503,
        "detail": "No gateway takes requests; try again.",
        "request_id": request_id,
    }
    (line,) = stack.wait(lambda: stack.events("proxy", request_id=request_id))
    assert (line["service"], line["method"], line["path"], line["status"]) == ("proxy", "POST", "/predict", 503)


def has_restarted(stack: ComposeStack, gateway: Container) -> bool:
    return stack.now(gateway).restarts > gateway.restarts


def spread_over(stack: ComposeStack) -> list[str]:
    """Return the servers that the proxy gives requests to."""
    up = 'haproxy_server_status{proxy="ready",server="'
    metrics = stack.metrics("http://proxy:8404")
    return [name for name, value in metrics.items() if name.startswith(up) and 'state="UP"' in name and value]


def answered(stack: ComposeStack, client: Client) -> dict[str, float]:
    """Return how many predictions each gateway says to have answered, by address."""
    name = "tasador_gateway_requests_total{"
    return {
        address: sum(
            value
            for sample, value in stack.metrics(address).items()
            if sample.startswith(name) and 'route="/predict"' in sample
        )
        for address in addresses(client, "gateway")
    }


def serving(stack: ComposeStack, client: Client) -> dict[str, list[str]]:
    """Return the versions that the replicas of each service say to serve."""
    return {
        service: [version for address in addresses(client, service) for version in versions_in(stack.metrics(address))]
        for service in ("gateway", "scorer")
    }


def versions_in(metrics: dict[str, float]) -> list[str]:
    return [name.split('version="')[1].split('"')[0] for name in metrics if "_model_info{" in name]


def seen_by_prometheus(stack: ComposeStack, service: str) -> list[str]:
    found = stack.get("prometheus", "/api/v1/query", query=f"tasador_{service}_model_info")["data"]["result"]
    return [sample["metric"]["version"] for sample in found]


def addresses(client: Client, service: str) -> list[str]:
    return [replica.address for replica in client.replicas().replicas if replica.service == service]
