"""The proxy in front of something that does what no gateway does when told to: keep silent, and die at work."""

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.gateway.settings import GatewaySettings
from tests.compose.conftest import running
from tests.compose.stack import ComposeStack

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120, func_only=True)]

GATEWAY = """\
import asyncio, collections, json, resource

resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
asked = collections.Counter()

async def answer(reader, writer):
    try:
        while True:
            first, *lines = (await reader.readuntil(b"\\r\\n\\r\\n")).decode().split("\\r\\n")
            path = first.split()[1]
            headers = [line.split(": ", 1) for line in lines if line]
            await reader.readexactly(sum(int(value) for name, value in headers if name.lower() == "content-length"))
            asked[path] += 1
            if path.endswith("?swallow"):
                return
            if path == "/events":
                writer.write(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n2\\r\\n:\\n\\r\\n")
                await asyncio.sleep(600)
            ids = [value for name, value in headers if name.lower() == "x-request-id"]
            body = json.dumps({"ids": ids, "asked": asked}).encode()
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%b" % (len(body), body))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()

async def main():
    async with await asyncio.start_server(answer, "0.0.0.0", 8000, backlog=4096) as server:
        await server.serve_forever()

asyncio.run(main())
"""
WAITERS = """\
import asyncio, resource, socket, sys, urllib.request

resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

proxy = socket.gethostbyname("proxy")  # once: the engine's DNS is slower than all the rest

async def wait():
    reader, writer = await asyncio.open_connection(proxy, 8000)
    writer.write(b"GET /events HTTP/1.1\\r\\nHost: proxy\\r\\n\\r\\n")
    return await reader.readuntil(b"\\r\\n\\r\\n"), writer

def predict():
    with urllib.request.urlopen(f"http://{proxy}:8000/predict", b"{}", timeout=30) as answer:
        return answer.status

async def main():
    waiting = []
    for _ in range(int(sys.argv[1])):
        waiting.append(await asyncio.wait_for(wait(), 30))
    print(len(waiting), await asyncio.to_thread(predict))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, images: None) -> Iterator[ComposeStack]:
    directory = tmp_path_factory.mktemp("proxy")
    override = directory / "override.yml"
    gateway = json.dumps({"image": "tasador-monitor:test", "command": ["python", "-c", GATEWAY.replace("$", "$$")]})
    override.write_text(f"services: {{gateway: {{depends_on: !reset null, <<: {gateway}}}}}\n")
    stack = ComposeStack(directory, "proxy", override=override)
    with running(stack, "proxy"):
        yield stack


def test_those_who_wait_take_nobodys_place(stack: ComposeStack) -> None:
    """A gateway counts them apart, so that predictions are answered however many there are."""
    waiting = GatewaySettings.model_fields["gateway_max_waiting"].default
    said = stack.execute(stack.only("gateway"), "python", "-c", WAITERS, str(waiting + 10))
    assert said.split() == [str(waiting + 10), "200"]


def test_an_event_is_passed_on_when_it_comes(stack: ComposeStack) -> None:
    delays = []
    with httpx.Client(base_url=stack.url("proxy"), timeout=30) as client:
        for _ in range(5):
            asked = time.monotonic()
            with client.stream("GET", "/events") as events:
                next(events.iter_raw())
            delays.append(time.monotonic() - asked)
    assert min(delays) < 0.15, "the kernel would keep it for 0.2 seconds"


@pytest.mark.parametrize(("path", "times"), [("/jobs", 1), ("/admin/retrain", 1), ("/predict", 4)])
def test_only_what_changes_nothing_is_asked_again(stack: ComposeStack, path: str, times: int) -> None:
    lost = httpx.post(f"{stack.url('proxy')}{path}?swallow", content=b"{}", timeout=30)
    assert (lost.status_code, lost.json()["type"]) == (502, "/problems/gateway-lost")
    assert ask(stack)["asked"][f"{path}?swallow"] == times


def test_an_id_is_the_same_for_proxy_and_gateway(stack: ComposeStack) -> None:
    assert ask(stack, "order/7")["ids"] == ["order/7"]
    assert ask(stack, "first", "second")["ids"] == ["first"]
    (given,) = ask(stack)["ids"]
    assert len(given) == len(str(uuid4()))


@pytest.mark.parametrize("given", ["of two words", "one,two", "x" * 129, "{}"])
def test_an_id_that_no_gateway_takes_is_replaced(stack: ComposeStack, given: str) -> None:
    lost = httpx.post(f"{stack.url('proxy')}/jobs?swallow", headers={"X-Request-ID": given}, timeout=30)
    (id_,) = ask(stack, given)["ids"]
    assert len(id_) == len(lost.json()["request_id"]) == len(str(uuid4()))
    assert stack.wait(lambda: stack.events("proxy", request_id=lost.json()["request_id"]))


def ask(stack: ComposeStack, *ids: str) -> Any:
    headers = [("X-Request-ID", given) for given in ids]
    return httpx.post(f"{stack.url('proxy')}/echo", headers=headers, timeout=30).raise_for_status().json()
