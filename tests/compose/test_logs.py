"""One id through the logs of all containers, and to whoever is told by webhook."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.webhooks.signing import key_of, signature
from tasador.client import Client
from tests.compose.commands import run
from tests.compose.rows import some_rows, write_csv
from tests.compose.stack import ComposeStack
from tests.unit.webhooks.test_signing import SECRET

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300, func_only=True)]

RECEIVER = """\
import http.server, json

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        print(json.dumps({"headers": headers, "body": body}), flush=True)
        self.send_response(204)
        self.end_headers()

http.server.HTTPServer(("", 8080), Handler).serve_forever()
"""


@pytest.fixture
def receiver(stack: ComposeStack) -> Iterator[str]:
    """The name of a container that prints what it is sent. Others reach it as `receiver`, which settings allow."""
    name = f"{stack.project}-receiver"
    network = f"{stack.project}_default"
    image = "tasador-monitor:test"
    run(
        "docker",
        "run",
        "--rm",
        "--detach",
        "--init",
        "--name",
        name,
        "--network",
        network,
        "--network-alias",
        "receiver",
        image,
        "python",
        "-c",
        RECEIVER,
    )
    yield name
    run("docker", "rm", "--force", name)


def test_a_job_is_followed_from_its_request_to_its_webhook(
    stack: ComposeStack, client: Client, receiver: str, tmp_path: Path
) -> None:
    request_id = f"order/{uuid4()}"
    table = write_csv(tmp_path / "rows.csv", some_rows(900, seed=5))
    answer = httpx.post(
        f"{stack.url('proxy')}/jobs",
        params={"webhook": "http://receiver:8080/hook"},
        content=table.read_bytes(),
        headers={"Content-Type": "text/csv", "X-Request-ID": request_id},
        timeout=60,
    )
    assert answer.raise_for_status().headers["x-request-id"] == request_id
    job_id = answer.json()["id"]
    assert client.wait(job_id, timeout=60).state == "completed"
    sent = stack.wait(lambda: [json.loads(line) for line in run("docker", "logs", receiver).splitlines()])

    assert told(stack, "gateway", request_id) == ["job accepted"]
    stack.wait(lambda: told(stack, "scorer", request_id) == ["job started", "job finished"])
    stack.wait(lambda: sorted(told(stack, "monitor", request_id)) == ["job finished", "webhook"])
    for service in ("gateway", "scorer", "monitor"):
        lines = stack.events(service, request_id=request_id)
        assert {line["job_id"] for line in lines} == {job_id}
        assert {line["service"] for line in lines} == {service}
        assert all(line["replica"] and line["timestamp"] for line in lines)

    (message,) = sent
    headers, body = message["headers"], message["body"]
    assert json.loads(body)["data"]["id"] == job_id
    due = signature([key_of(SECRET)], headers["webhook-id"], int(headers["webhook-timestamp"]), body.encode())
    assert headers["webhook-signature"] == due


@pytest.fixture
def two_versions(client: Client) -> None:
    if len(client.models().versions) < 2:
        assert client.wait_operation(client.retrain().id, timeout=200).state == "succeeded"


@pytest.mark.usefixtures("two_versions")
def test_a_command_is_followed_to_all_that_carry_it_out(stack: ComposeStack) -> None:
    request_id = str(uuid4())
    answer = httpx.post(
        f"{stack.url('proxy')}/admin/rollback",
        params={"wait": 60},
        json={"reason": "to see who hears of it"},
        headers={"X-Request-ID": request_id},
        timeout=90,
    )
    operation = answer.raise_for_status().json()
    assert operation["state"] == "succeeded", operation
    swapped = ["accepting a candidate", "serving"]
    steps = ["command taken", "promotion staged", "rolled_back", "command succeeded"]
    stack.wait(lambda: told(stack, "trainer", request_id) == steps)
    stack.wait(lambda: told(stack, "gateway", request_id) == ["command given", *swapped])
    scorers = len(stack.ps("scorer"))
    stack.wait(lambda: told_by_each(stack, "scorer", request_id) == [swapped] * scorers)


def test_every_line_of_our_services_can_be_read_by_a_machine(stack: ComposeStack) -> None:
    for service in ("gateway", "scorer", "monitor"):
        for line in stack.logs(service).splitlines():
            document: Any = json.loads(line)
            assert {"service", "replica", "level", "event", "timestamp"} <= set(document), line


def told(stack: ComposeStack, service: str, request_id: str) -> list[str]:
    return [line["event"] for line in stack.events(service, request_id=request_id)]


def told_by_each(stack: ComposeStack, service: str, request_id: str) -> list[list[str]]:
    """Return what each replica has told."""
    told = defaultdict(list)
    for line in stack.events(service, request_id=request_id):
        told[line["replica"]].append(line["event"])
    return list(told.values())
