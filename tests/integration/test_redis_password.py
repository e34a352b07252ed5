"""A Redis with a password: with the right one everything works, and without it everybody says what to set."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.broker import connect, refusal
from shared.keys import Keys
from shared.replica import ReplicaInfo, live_replicas
from shared.settings import ROOT, CommonSettings
from shared.store import Store
from tests.artifacts import a_champion
from tests.ports import free_port
from tests.processes import ServiceProcess
from tests.valkey import ValkeyServer
from tests.waiting import eventually

PASSWORD = "p@s:s/w%rd#ö"
WANTED = "Redis wants a password: set TASADOR_REDIS_PASSWORD"
WRONG = "Redis refuses the password: correct TASADOR_REDIS_PASSWORD"


@dataclass
class Guarded:
    """A server that wants a password, and somebody who was let in before it did."""

    server: ValkeyServer
    owner: Redis
    directory: Path

    @property
    def url(self) -> str:
        return self.server.url

    def service(self, name: str, **settings: object) -> tuple[ServiceProcess, str]:
        """Return a service, and the address of its health."""
        port = free_port()
        common = {
            "redis_url": self.url,
            "state_dir": self.directory,
            "store_url": (self.directory / "store").as_uri(),
            "model_name": "model",
            "log_format": "json",
            "trainer_train_if_missing": False,
            f"{name}_port": port,
        }
        return ServiceProcess(name, self.directory, **(common | settings)), f"http://127.0.0.1:{port}/health"

    async def replica(self, service: str) -> ReplicaInfo:
        found = await live_replicas(self.owner, Keys(), [service])
        assert found
        return found[0]


async def get(address: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        try:
            return await client.get(address)
        except httpx.TransportError as error:
            raise ConnectionError from error  # it is starting


@pytest.fixture
async def guarded(tmp_path: Path, store: Store) -> AsyncIterator[Guarded]:
    await a_champion(store)
    with ValkeyServer(tmp_path / "valkey") as server:
        owner = Redis.from_url(server.url, decode_responses=True, single_connection_client=True)
        await owner.config_set("requirepass", PASSWORD)
        yield Guarded(server, owner, tmp_path)
        await owner.aclose()


@pytest.mark.parametrize("service", ["gateway", "scorer", "trainer", "monitor"])
async def test_a_service_says_what_to_set_and_goes_on_by_itself(service: str, guarded: Guarded) -> None:
    process, address = guarded.service(service)
    with process:

        async def told() -> bool:
            return WANTED in (await get(address)).text and WANTED in process.log.read_text()

        await eventually(told)
        assert process.log.read_text().count(WANTED) == 1  # not every second
        assert "Traceback" not in process.log.read_text()
        await guarded.owner.config_set("requirepass", "")

        async def well() -> bool:
            await guarded.replica(service)
            return WANTED not in (await get(address)).text

        await eventually(well)


@pytest.mark.parametrize(
    ("service", "state"),
    [("gateway", "starting"), ("scorer", "ready"), ("trainer", "ready"), ("monitor", "ready")],  # without a scorer
)
async def test_with_the_password_from_a_file_it_works(service: str, state: str, guarded: Guarded) -> None:
    secret = guarded.directory / "secret"
    secret.write_text(PASSWORD + "\n")
    process, _ = guarded.service(service, redis_password_file=secret)
    with process:

        async def well() -> bool:
            return (await guarded.replica(service)).state == state

        await eventually(well)
    assert "redis refuses us" not in process.log.read_text()
    assert PASSWORD[:3] not in process.log.read_text()


async def test_the_health_of_a_gateway_has_a_code_for_it(guarded: Guarded) -> None:
    process, address = guarded.service("gateway", redis_password="hunter2")
    with process:

        async def warned() -> dict[str, str]:
            return {each["code"]: each["detail"] for each in (await get(address)).json()["warnings"]}

        assert (await eventually(warned))["redis_refused"].startswith(WRONG)
    assert "hunter2" not in process.log.read_text()


async def test_a_refusal_is_told_from_an_outage(guarded: Guarded) -> None:
    async def why(user: str) -> str:
        url = guarded.url.replace("redis://", f"redis://{user}")
        async with aclosing(connect(CommonSettings(redis_url=SecretStr(url)))) as redis:
            try:
                await redis.set("other", "value")
            except (RedisError, OSError) as error:
                return refusal(error) or "away"
            return "in"

    await guarded.owner.acl_setuser(
        "small", enabled=True, passwords=["+secret"], keys=["tasador:*"], categories=["+@all"]
    )
    assert (await why("")).startswith(WANTED)
    assert (await why(":hunter2@")).startswith(WRONG)
    assert (await why("nobody:hunter2@")).startswith(WRONG)
    assert (await why("small:secret@")).startswith("Redis denies its user what we need: No permissions")
    guarded.server.kill()
    assert await why("") == "away"


@pytest.mark.parametrize("command", ["up", "train", "doctor"])
async def test_the_command_line_does_not_wait_for_what_will_not_come(command: str, guarded: Guarded) -> None:
    settings = {"TASADOR_REDIS_URL": guarded.url, "TASADOR_STATE_DIR": str(guarded.directory), "COLUMNS": "300"}
    settings |= {f"TASADOR_{name}_PORT": str(free_port()) for name in ("GATEWAY", "MONITOR")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tasador", command, cwd=ROOT, env=os.environ | settings, stdout=PIPE, stderr=STDOUT
    )
    async with asyncio.timeout(40):
        said, _ = await process.communicate()
    assert process.returncode == 1, said.decode()
    assert WANTED in said.decode()
