"""What workflows run: scripts as processes, against a real gateway, and against one that answers as it is told."""

import asyncio
import importlib.util
import json
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from redis.asyncio import Redis

from services.trainer.commands import CommandFailed, Lane, Report
from shared.broker import connect
from shared.events import Operation, RetrainRequested
from shared.keys import Keys
from shared.replica import live_replicas
from shared.settings import ROOT, CommonSettings
from shared.store import Store
from shared.tasks import end
from tests.artifacts import a_champion
from tests.integration.test_gateway_process import a_process, announced
from tests.processes import ServiceProcess
from tests.waiting import eventually

RETRAIN = ROOT / ".github/scripts/retrain.py"
SMOKE = ROOT / "deploy/smoke.py"
NOBODY = "http://127.0.0.1:9"
Answer = tuple[int, dict[str, str], str]
"""Status, headers and body."""


class Running:
    """A script, and what it says."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._said = ""
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._said += line.decode()

    async def says(self, text: str) -> None:
        await eventually(lambda: asyncio.sleep(0, text in self._said))

    async def outcome(self) -> tuple[int | None, str]:
        await asyncio.wait_for(self._reading, 60)
        return await self._process.wait(), self._said


async def start(script: Path, *arguments: str, **environment: str) -> Running:
    command = [sys.executable, str(script), *arguments]
    return Running(await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=STDOUT))


async def run(script: Path, *arguments: str, **environment: str) -> tuple[int | None, str]:
    return await (await start(script, *arguments, **environment)).outcome()


@dataclass
class Deployed:
    """A gateway with a model; the test carries out its commands in place of a trainer."""

    process: ServiceProcess
    redis: Redis
    redis_url: str
    url: str

    @asynccontextmanager
    async def trainer(self, train: Callable[[Report], Awaitable[dict[str, Any]]]) -> AsyncIterator[None]:
        async def handle(_: RetrainRequested, report: Report) -> dict[str, Any]:
            return await train(report)

        redis = connect(CommonSettings(redis_url=self.redis_url, model_name="model"))
        lane = asyncio.create_task(Lane(redis, Keys(), {RetrainRequested: handle}).run())
        try:
            yield
        finally:
            await end([lane])
            await redis.aclose()

    async def operations(self) -> list[Operation]:
        keys = [key async for key in self.redis.scan_iter(Keys().operation("*"))]
        texts: Any = await self.redis.mget(keys) if keys else []
        return [Operation.model_validate_json(text) for text in texts]


@pytest.fixture
async def deployed(tmp_path: Path, redis_url: str, redis: Redis, store: Store) -> AsyncIterator[Deployed]:
    await a_champion(store)
    with a_process(tmp_path, redis_url, store) as process:
        yield Deployed(process, redis, redis_url, (await announced(redis)).address)


async def test_a_training_is_asked_for_and_its_result_is_told(deployed: Deployed) -> None:
    async def train(_: Report) -> dict[str, Any]:
        return {"version": "2", "promoted": True}

    async with deployed.trainer(train):
        code, said = await run(RETRAIN, GATEWAY_URL=f"{deployed.url}/", REASON="a test", REQUEST_ID="github-1-1")
    assert code == 0, said
    assert said.splitlines()[-1] == 'retrain: result {"promoted": true, "version": "2"}'
    (operation,) = await deployed.operations()
    assert (operation.reason, operation.request_id) == ("a test", "github-1-1")


async def test_a_training_that_failed_fails_with_its_words_and_on_one_line(deployed: Deployed) -> None:
    async def train(_: Report) -> dict[str, Any]:
        raise CommandFailed("the column 'price' is gone\n::stop-commands::x")

    async with deployed.trainer(train):
        code, said = await run(RETRAIN, GATEWAY_URL=deployed.url)
    assert code == 1
    assert "::error title=Retrain::the training failed: the column 'price' is gone%0A::stop-commands::x\n" in said
    assert not [line for line in said.splitlines() if line.startswith("::stop")]


async def test_a_gateway_that_is_killed_meanwhile_is_waited_for(
    deployed: Deployed, tmp_path: Path, store: Store
) -> None:
    async def train(_: Report) -> dict[str, Any]:
        await script.says("accepted")
        deployed.process.kill()
        await script.says("no answer")
        return {"version": "2"}

    script = await start(RETRAIN, GATEWAY_URL=deployed.url)
    async with deployed.trainer(train):
        await script.says("no answer")
        with a_process(tmp_path, deployed.redis_url, store, gateway_port=deployed.url.rsplit(":", 1)[1]):
            code, said = await script.outcome()
    assert code == 0, said
    assert said.splitlines()[-1] == 'retrain: result {"version": "2"}'


async def test_a_training_that_takes_too_long_goes_on_by_its_name(deployed: Deployed) -> None:
    code, said = await run(RETRAIN, GATEWAY_URL=deployed.url, WAIT_MINUTES="0.01")
    (operation,) = await deployed.operations()
    assert code == 1
    assert f"still queued after 0.01 minutes; it goes on as operation {operation.id}" in said


@pytest.mark.parametrize("url", ["", "tasador.internal", "ftp://x"])
async def test_an_address_that_is_none_is_named(url: str) -> None:
    code, said = await run(RETRAIN, GATEWAY_URL=url)
    assert code == 1
    assert "GATEWAY_URL must be the address of a gateway" in said


@dataclass
class Front:
    """A proxy, say: answers with each of these in turn, and then with the last."""

    answers: list[Answer]
    received: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = head.split(" ")
        self.received.append((method, path, headers))
        status, more, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        more = {"content-length": str(len(body)), "connection": "close"} | more
        writer.write("\r\n".join([f"HTTP/1.1 {status} x", *(f"{k}: {v}" for k, v in more.items()), "", body]).encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def front(*answers: Answer) -> AsyncIterator[Front]:
    found = Front(list(answers))
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield found


def operation(state: str, detail: str = "") -> str:
    return json.dumps({"id": "5f", "state": state, "detail": detail, "result": {}})


BUSY = json.dumps({"title": "The queue cannot be reached", "detail": "Redis is away"})
SOON = {"retry-after": "0"}


async def test_a_command_that_was_not_accepted_is_given_again_and_the_authorization_goes_along() -> None:
    async with front((503, SOON, BUSY), (429, SOON, ""), (202, {}, operation("queued")), (502, {}, "<html>"),
                     (200, {}, operation("succeeded"))) as proxy:  # fmt: skip
        code, said = await run(RETRAIN, GATEWAY_URL=f"{proxy.url}/tasador", GATEWAY_AUTHORIZATION="Bearer x")
    assert code == 0, said
    assert "not now: HTTP status 503: The queue cannot be reached: Redis is away" in said
    assert [method for method, _, _ in proxy.received] == ["POST", "POST", "POST", "GET", "GET"]
    assert proxy.received[-1][1].startswith("/tasador/admin/operations/5f?wait=")
    assert {headers["authorization"] for _, _, headers in proxy.received} == {"Bearer x"}
    assert "Bearer" not in said


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((502, {}, ""), "HTTP status 502"),
        ((401, {}, "who are you?"), "HTTP status 401: who are you?"),
        ((302, {"location": NOBODY}, ""), "HTTP status 302"),
        ((200, {}, "<html>"), "what answers is not a gateway of Tasador"),
        ((200, {}, "{}"), "what answers is not a gateway of Tasador"),
    ],
)
async def test_a_command_that_may_have_arrived_is_given_once(answer: Answer, says: str) -> None:
    async with front(answer) as proxy:
        code, said = await run(RETRAIN, GATEWAY_URL=proxy.url)
    assert code == 1
    assert says in said
    assert len(proxy.received) == 1


async def test_progress_is_told_once_for_each_step() -> None:
    steps: list[Answer] = [
        (200, {}, operation("running", detail)) for detail in ("fold 1 of 2", "fold 1 of 2", "::fold\n::2")
    ]
    async with front((202, {}, operation("queued")), *steps, (200, {}, operation("succeeded"))) as proxy:
        _, said = await run(RETRAIN, GATEWAY_URL=proxy.url)
    assert said.splitlines()[1:3] == ["retrain: running fold 1 of 2", "retrain: running ::fold ::2"]
    assert len(said.splitlines()) == 5


async def test_an_operation_that_is_not_known_any_more_is_not_waited_for() -> None:
    async with front((202, {}, operation("queued")), (404, {}, "")) as proxy:
        code, said = await run(RETRAIN, GATEWAY_URL=proxy.url)
    assert code == 1
    assert "HTTP status 404" in said


def test_an_outage_that_lasts_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    retrain = loaded(RETRAIN)
    monkeypatch.setattr(retrain, "OUTAGE", 0.05)
    monkeypatch.setattr(retrain, "PAUSE", 0.01)
    with pytest.raises(retrain.Unreachable):
        retrain.follow(retrain.Gateway(NOBODY, "", ""), {"id": "5f", "state": "queued"}, 1)


def loaded(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_a_deployed_gateway_is_asked_for_a_prediction(deployed: Deployed) -> None:
    code, said = await run(SMOKE, deployed.url)
    assert code == 0, said
    assert said.startswith("model version 1 predicts ")


async def test_a_gateway_without_a_model_does_not_pass(
    tmp_path: Path, redis_url: str, redis: Redis, store: Store
) -> None:
    async def address() -> str:
        return next((replica.address for replica in await live_replicas(redis, Keys(), ("gateway",))), "")

    with a_process(tmp_path, redis_url, store):
        code, said = await run(SMOKE, await eventually(address))
    assert code == 1
    assert "/problems/no-model" in said


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((200, {}, '{"signature": {"features": []}, "prediction": NaN}'), "ValueError"),
        ((200, {}, '{"signature": {"features": []}}'), "KeyError"),
        ((200, {}, "[]"), "TypeError"),
        ((503, {}, BUSY), "Redis is away"),
    ],
)
async def test_what_is_no_prediction_does_not_pass(answer: Answer, says: str) -> None:
    async with front(answer) as proxy:
        code, said = await run(SMOKE, proxy.url)
    assert code == 1
    assert says in said


async def test_nobody_does_not_pass() -> None:
    code, said = await run(SMOKE, NOBODY)
    assert code == 1
    assert "no prediction" in said
